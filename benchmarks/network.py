"""The network of the benchmark: each program listens at a loopback address of its own, all at the same ports."""

from __future__ import annotations

import socket

CONTROL = 2121
DATA = range(20000, 20100)
"""The origin's passive ports, below those that Linux gives to outgoing connections."""

ORIGIN = "127.0.10.1"
USER = "tester"
PASSWORD = "correct horse"
CIPHER = "TLS_AES_256_GCM_SHA384"
"""The cipher that OpenSSL chooses with OpenSSL in TLS 1.3: the first choice of both."""


def host(number: int) -> str:
    """The loopback address of the peer with that number."""
    return f"127.0.10.{10 + number}"


def listen(address: tuple[str, int], backlog: int = 1024) -> socket.socket:
    """A socket that listens and never blocks."""
    listener = socket.create_server(address, backlog=backlog)
    listener.setblocking(False)
    return listener
