"""The applications that run, and how each is made from its configuration."""
