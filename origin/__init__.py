"""pyftpdlib, embedded: an FTP server to stand behind the gateway in demo, tests and benchmarks."""

from origin.server import Origin

__all__ = ["Origin"]
