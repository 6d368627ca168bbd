"""The observers: events, and the places where they are written."""
