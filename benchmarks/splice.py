"""A bare relay of TCP connections by splice(2): what any relay in Python could reach at the most.

Run as ``python -m benchmarks.splice LISTEN ORIGIN``, two IPv4 addresses. It knows nothing of FTP, checks nothing, and
mirrors the control port and the passive ports.
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

from benchmarks.network import CONTROL, DATA, listen

SIZE = 1 << 20
FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
FULL, DONE = -1, 0


def splice(source: int, target: int, most: int) -> int:
    """How many bytes it moved; `DONE` at the source's end, `FULL` where one of them is not ready."""
    try:
        return os.splice(source, target, most, flags=FLAGS)
    except BlockingIOError:
        return FULL
    except OSError:  # a reset
        return DONE


def relay(epoll: select.epoll, actions: dict[int, Callable[[int], None]], client: socket.socket, origin: str) -> None:
    """Joins a client's connection with one to the same port of the origin."""
    server = socket.create_connection((origin, client.getsockname()[1]))
    pipes: list[int] = []
    wanted = dict.fromkeys((client.fileno(), server.fileno()), select.EPOLLIN)
    open_ways = [client, server]

    def want(descriptor: int, event: int, on: bool) -> None:
        before = wanted[descriptor]
        wanted[descriptor] = before | event if on else before & ~event
        if wanted[descriptor] != before:
            epoll.modify(descriptor, wanted[descriptor])

    def way(source: socket.socket, target: socket.socket) -> Callable[[], None]:
        reader, writer = os.pipe()
        pipes.extend((reader, writer))
        fcntl(writer, F_SETPIPE_SZ, SIZE)
        held = 0

        def move() -> None:
            nonlocal held
            count = splice(source.fileno(), writer, SIZE) if held == 0 else FULL
            held += max(count, 0)
            while held and (moved := splice(reader, target.fileno(), held)) > 0:
                held -= moved
            want(source.fileno(), select.EPOLLIN, held == 0 and count != DONE)
            want(target.fileno(), select.EPOLLOUT, held > 0)
            if count == DONE:
                with contextlib.suppress(OSError):
                    target.shutdown(socket.SHUT_WR)
                open_ways.remove(source)
                if not open_ways:
                    for each in (client, server):
                        del actions[each.fileno()]
                        each.close()
                    for pipe in pipes:
                        os.close(pipe)

        return move

    there, back = way(client, server), way(server, client)

    def ready(read: Callable[[], None], write: Callable[[], None], own: socket.socket, event: int) -> None:
        if event & select.EPOLLOUT:
            write()
        if event & ~select.EPOLLOUT and own in open_ways:
            read()

    for own, read, write in ((client, there, back), (server, back, there)):
        own.setblocking(False)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        actions[own.fileno()] = partial(ready, read, write, own)
        epoll.register(own.fileno(), select.EPOLLIN)


def main(host: str, origin: str) -> None:
    """Serves until it is killed."""
    epoll = select.epoll()
    actions: dict[int, Callable[[int], None]] = {}

    def accept(listener: socket.socket, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            relay(epoll, actions, listener.accept()[0], origin)

    for port in (CONTROL, *DATA):
        listener = listen((host, port))
        actions[listener.fileno()] = partial(accept, listener)
        epoll.register(listener.fileno(), select.EPOLLIN)
    while True:
        for descriptor, event in epoll.poll():
            if descriptor in actions:
                actions[descriptor](event)


if __name__ == "__main__":
    main(*sys.argv[1:])
