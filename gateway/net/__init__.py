"""Sockets on the reactor, of control and data connections alike: legs, TLS on them, dials, PROXY headers."""
