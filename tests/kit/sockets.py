"""Sockets in a test's hands: read to the end, filled, reset, or watched for silence."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from tests.kit import PATIENCE

FULL = b"FULL"
"""The message in a datagram socket that has no more room."""


def reset(connection: socket.socket) -> None:
    """Closes the connection so that the peer sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_all(connection: socket.socket) -> bytes:
    """The bytes up to the peer's end of file."""
    received = bytearray()
    while chunk := connection.recv(1 << 16):
        received += chunk
    return bytes(received)


def read_exactly(connection: socket.socket, count: int) -> bytes:
    """The next so many bytes; fewer where the peer's end of file comes first."""
    received = bytearray()
    while len(received) < count and (chunk := connection.recv(count - len(received))):
        received += chunk
    return bytes(received)


def was_reset(connection: socket.socket) -> bool:
    """Whether the connection ends, or ended, with a reset: anything but an end of file."""
    try:
        read_all(connection)
    except ConnectionResetError:
        return True
    return False


def silent(connection: socket.socket, seconds: float = 0.2) -> bool:
    """Whether nothing comes for that long."""
    return not select.select([connection], [], [], seconds)[0]


def in_background(work: Callable[..., object], *arguments: object) -> threading.Thread:
    """Does the work in a thread."""
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


def fill(connection: socket.socket, limit: int, quiet: float = 0.3, pattern: bytes = b"\0") -> int:
    """Sends the pattern over and over until nothing more is taken for ``quiet`` seconds, or ``limit`` bytes were.

    :returns: the number of bytes taken.
    """
    sent = 0
    block = pattern * (1 + (1 << 16) // len(pattern))
    connection.settimeout(quiet)
    with contextlib.suppress(TimeoutError):
        while sent < limit:
            sent += connection.send(block[sent % len(pattern) :][: limit - sent])
    connection.settimeout(PATIENCE)
    return sent


def full(receiver: socket.socket, path: Path) -> int:
    """Binds a datagram socket to a path, and sends it messages until it has no room; gives their number."""
    receiver.bind(str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(str(path))
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sender.send(FULL):
                sent += 1
    return sent
