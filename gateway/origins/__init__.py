"""The FTP servers that sessions go to."""
