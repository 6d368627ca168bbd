"""The hands on the control connection: they turn bytes into events, and carry actions out."""
