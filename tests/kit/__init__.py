"""The kit: pieces that tests of several folders share, one idea a file."""

PATIENCE = 20.0
"""Seconds that a test waits for an event that must happen."""
