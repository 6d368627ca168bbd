"""The hands on the control connection: bytes become events, and actions are carried out."""
