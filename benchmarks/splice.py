"""A bare relay of TCP connections by splice(2): the upper limit for any relay in Python.

Run it as ``python -m benchmarks.splice LISTEN ORIGIN``, with two IPv4 addresses. It knows nothing of FTP, checks
nothing, and mirrors the control port and the passive ports.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
from collections.abc import Callable
from fcntl import F_SETPIPE_SZ, fcntl
from functools import partial

import attrs

from benchmarks.network import CONTROL, DATA, listen

SIZE = 1 << 20
FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


@attrs.define(eq=False)
class Way:
    """One direction, from one socket to another."""

    source: socket.socket
    target: socket.socket
    pipe: tuple[int, int] = attrs.field(factory=os.pipe)
    held: int = 0
    over: bool = False

    def move(self) -> None:
        """Moves all bytes that can be moved now."""
        reader, writer = self.pipe
        with contextlib.suppress(BlockingIOError):
            while not self.over:
                if not self.held:
                    self.held = os.splice(self.source.fileno(), writer, SIZE, flags=FLAGS)
                    self.over = not self.held
                while self.held:
                    self.held -= os.splice(reader, self.target.fileno(), self.held, flags=FLAGS)
            self.target.shutdown(socket.SHUT_WR)


def relay(epoll: select.epoll, actions: dict[int, Callable[[], None]], client: socket.socket, origin: str) -> None:
    """Joins a client's connection with one to the same port of the origin."""
    server = socket.create_connection((origin, client.getsockname()[1]))
    ways = Way(client, server), Way(server, client)

    def ready() -> None:
        for way in ways:
            if not way.over:
                try:
                    way.move()
                except OSError:  # one of them broke: the other is closed, too
                    ways[0].over = ways[1].over = True
        if ways[0].over and ways[1].over:
            for way in ways:
                actions.pop(way.source.fileno(), None)
                way.source.close()
                os.close(way.pipe[0])
                os.close(way.pipe[1])

    for way in ways:
        fcntl(way.pipe[1], F_SETPIPE_SZ, SIZE)
        way.source.setblocking(False)
        way.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        actions[way.source.fileno()] = ready
        epoll.register(way.source.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def main(host: str, origin: str) -> None:
    """Serves until it is killed."""
    epoll = select.epoll()
    actions: dict[int, Callable[[], None]] = {}

    def accept(listener: socket.socket) -> None:
        relay(epoll, actions, listener.accept()[0], origin)

    for port in (CONTROL, *DATA):
        listener = listen((host, port))
        actions[listener.fileno()] = partial(accept, listener)
        epoll.register(listener.fileno(), select.EPOLLIN)
    while True:
        for descriptor, _ in epoll.poll():
            if action := actions.get(descriptor):
                action()


if __name__ == "__main__":
    main(*sys.argv[1:])
