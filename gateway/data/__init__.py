"""The data channel: its port, its two legs, the pump between them. Knows nothing of FTP."""
