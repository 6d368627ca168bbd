"""The kit: pieces that tests of several folders share, one idea a file."""

PATIENCE = 60.0
"""Seconds that a test waits for an event that must happen, on a slow machine and under coverage, too."""
