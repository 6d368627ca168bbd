"""A protective gateway in front of FTP servers."""
