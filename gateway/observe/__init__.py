"""Observers: events, and where they are written."""
