"""The judge of one control connection: events in, actions out. Pure: no clock, no socket, no Twisted."""
