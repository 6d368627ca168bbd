"""A light FTP origin: where vsftpd, with two processes a session, would cost more than what is measured.

Run as ``python -m benchmarks.origin HOST``. Everyone may log in; every file is `FILE`; it speaks what a proxy needs.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from collections.abc import Callable
from itertools import cycle

import attrs

from benchmarks.network import CONTROL, DATA, listen

FILE = b"\0" * 1024
REPLIES = {
    b"USER": b"331 Password required.",
    b"PASS": b"230 Logged in.",
    b"TYPE": b"200 Type set.",
    b"NOOP": b"200 OK.",
    b"SYST": b"215 UNIX Type: L8",
    b"PWD": b'257 "/" is the current directory.',
    b"FEAT": b"211-Features:\r\n EPSV\r\n211 End.",
    b"QUIT": b"221 Bye.",
}


@attrs.define(eq=False)
class Loop:
    """Calls what waits for a descriptor."""

    host: str
    epoll: select.epoll = attrs.field(factory=select.epoll)
    actions: dict[int, Callable[[], None]] = attrs.field(factory=dict)
    ports: cycle[int] = attrs.field(factory=lambda: cycle(DATA))

    def add(self, sock: socket.socket, action: Callable[[], None]) -> None:
        """Calls it whenever the socket can be read."""
        self.actions[sock.fileno()] = action
        self.epoll.register(sock.fileno(), select.EPOLLIN)

    def close(self, sock: socket.socket) -> None:
        """Closes a socket; the kernel forgets its registration."""
        self.actions.pop(sock.fileno(), None)
        sock.close()

    def run(self) -> None:
        """Serves until it is killed."""
        listener = listen((self.host, CONTROL), 4096)
        self.add(listener, lambda: Session(self, listener.accept()[0]).begin())
        while True:
            for descriptor, _ in self.epoll.poll():
                if action := self.actions.get(descriptor):
                    action()


@attrs.define(eq=False)
class Session:
    """One control connection."""

    loop: Loop
    control: socket.socket
    buffer: bytes = b""
    passive: socket.socket | None = None

    def begin(self) -> None:
        """Greets."""
        self.control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.loop.add(self.control, self.read)
        self.reply(b"220 Ready.")

    def reply(self, line: bytes) -> None:
        """Sends it; a client that is gone is found out by reading."""
        with contextlib.suppress(OSError):
            self.control.send(line + b"\r\n")

    def read(self) -> None:
        """Answers the commands that came."""
        try:
            received = self.control.recv(4096)
        except ConnectionError:
            received = b""
        *lines, self.buffer = (self.buffer + received).split(b"\r\n")
        for line in lines:
            self.answer(line[:4].strip().upper())
        if not received or b"QUIT" in lines:
            if self.passive is not None:
                self.loop.close(self.passive)
            self.loop.close(self.control)

    def answer(self, verb: bytes) -> None:
        """Performs a command."""
        if verb in (b"EPSV", b"PASV"):
            port = self.listen()
            host = self.loop.host.replace(".", ",").encode()
            self.reply(
                b"229 Entering Extended Passive Mode (|||%d|)." % port
                if verb == b"EPSV"
                else b"227 Entering Passive Mode (%b,%d,%d)." % (host, *divmod(port, 256))
            )
        elif verb == b"RETR" and self.passive is not None:
            self.reply(b"150 Here it comes.")
            self.loop.add(self.passive, self.send)
        else:
            self.reply(REPLIES.get(verb, b"500 Not understood."))

    def listen(self) -> int:
        """Opens the next passive port that is free."""
        if self.passive is not None:
            self.loop.close(self.passive)
        for port in self.loop.ports:
            with contextlib.suppress(OSError):
                self.passive = listen((self.loop.host, port), 1)
                return port
        raise AssertionError("cycles do not end")

    def send(self) -> None:
        """Gives the file to who came to the passive port."""
        assert self.passive is not None
        with self.passive.accept()[0] as data:
            data.sendall(FILE)
        self.loop.close(self.passive)
        self.passive = None
        self.reply(b"226 Done.")


if __name__ == "__main__":
    Loop(sys.argv[1]).run()
