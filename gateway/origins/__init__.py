"""The origins: the FTP servers that sessions go to."""
