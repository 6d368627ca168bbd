"""An FTP server to stand behind the gateway in demo, tests and benchmarks: pyftpdlib, embedded."""

from origin.server import Origin

__all__ = ["Origin"]
