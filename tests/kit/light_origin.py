"""A light FTP origin for the benchmarks and the soak tests: processor time that it does not take is the gateway's.

Run as a program, it prints a line once it listens, and serves until it is killed. Anyone may log in. RETR sends as
many bytes as its argument says, or a kibibyte where that is no number; STOR and APPE take in everything.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import socket
from collections.abc import Callable
from itertools import cycle

import attrs

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
DOWNLOADS, UPLOADS = (b"RETR", b"LIST"), (b"STOR", b"APPE")
LISTING = b"-rw-r--r-- 1 ftp ftp 1000 Jan  1 00:00 file\r\n" * 10
SMALL = 1024  # bytes of a file whose name is not a number
CHUNK = memoryview(bytes(1 << 16))


@attrs.define(eq=False)
class Origin:
    """The event loop: it calls the action that waits for a descriptor."""

    host: str
    ports: cycle[int]
    epoll: select.epoll = attrs.field(factory=select.epoll)
    actions: dict[int, Callable[[], None]] = attrs.field(factory=dict)

    def watch(self, sock: socket.socket, action: Callable[[], None], events: int = select.EPOLLIN) -> None:
        """Calls the action whenever the socket can be read, or is ready for other events."""
        self.actions[sock.fileno()] = action
        self.epoll.register(sock.fileno(), events)

    def close(self, sock: socket.socket) -> None:
        """Closes a socket; the kernel forgets its registration."""
        self.actions.pop(sock.fileno(), None)
        sock.close()

    def run(self, port: int) -> None:
        """Serves until it is killed."""
        with socket.create_server((self.host, port), backlog=4096) as listener:
            self.watch(listener, lambda: ControlConnection(self, listener.accept()[0]).begin())
            listener.setblocking(False)
            print("light origin ready", flush=True)
            while True:
                for descriptor, _ in self.epoll.poll():
                    try:
                        if action := self.actions.get(descriptor):
                            action()
                    except BlockingIOError:  # the event was for an earlier socket with this number
                        pass


@attrs.define(eq=False)
class ControlConnection:
    """One client's commands, and the transfer that runs for it."""

    origin: Origin
    control: socket.socket
    buffer: bytes = b""
    passive: socket.socket | None = None
    data: socket.socket | None = None
    left: int = 0  # bytes of a download still to send

    def begin(self) -> None:
        """Greets the client."""
        self.control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.origin.watch(self.control, self.read)
        self.reply(b"220 Ready.")

    def reply(self, line: bytes) -> None:
        """Sends a reply; if the client is gone, reading finds out."""
        with contextlib.suppress(OSError):
            self.control.send(line + b"\r\n")

    def read(self) -> None:
        """Answers the commands that came."""
        try:
            received = self.control.recv(4096, socket.MSG_DONTWAIT)
        except ConnectionError:
            received = b""
        *lines, self.buffer = (self.buffer + received).split(b"\r\n")
        for line in lines:
            verb, _, argument = line.partition(b" ")
            self.answer(verb.upper(), argument)
        if not received or b"QUIT" in lines:
            self.stop_listening()
            self.stop_transfer()
            self.origin.close(self.control)

    def answer(self, verb: bytes, argument: bytes) -> None:
        """Performs a command."""
        if verb in (b"EPSV", b"PASV"):
            port = self.listen()
            host = self.origin.host.replace(".", ",").encode()
            self.reply(
                b"229 Entering Extended Passive Mode (|||%d|)." % port
                if verb == b"EPSV"
                else b"227 Entering Passive Mode (%b,%d,%d)." % (host, *divmod(port, 256))
            )
        elif verb in (*DOWNLOADS, *UPLOADS):
            if self.passive is None:
                self.reply(b"425 PASV first.")
            else:
                self.origin.watch(self.passive, lambda: self.transfer(verb, argument))
        else:
            self.reply(REPLIES.get(verb, b"500 Not understood."))

    def listen(self) -> int:
        """Opens the next passive port that is free."""
        self.stop_listening()
        for port in self.origin.ports:
            with contextlib.suppress(OSError):
                self.passive = socket.create_server((self.origin.host, port), backlog=1)
                self.passive.setblocking(False)
                return port
        raise AssertionError("cycles do not end")

    def transfer(self, verb: bytes, argument: bytes) -> None:
        """Begins a transfer with the client that came to the passive port."""
        assert self.passive is not None
        self.data = self.passive.accept()[0]
        self.stop_listening()
        self.reply(b"150 Here it comes.")
        if verb in UPLOADS:
            self.origin.watch(self.data, self.take)
        elif verb == b"LIST":
            self.data.sendall(LISTING)
            self.end(b"226 Done.")
        else:
            self.left = int(argument) if argument.isdigit() else SMALL
            if self.give():
                self.origin.watch(self.data, self.give, select.EPOLLOUT)

    def give(self) -> bool:
        """Sends a chunk; gives whether more is to follow."""
        assert self.data is not None
        try:
            self.left -= self.data.send(CHUNK[: self.left], socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            self.end(b"426 Broken off.")
            return False
        if not self.left:
            self.end(b"226 Done.")
        return bool(self.left)

    def take(self) -> None:
        """Receives a chunk, and throws it away."""
        assert self.data is not None
        try:
            received = self.data.recv(len(CHUNK), socket.MSG_DONTWAIT)
        except (ConnectionError, TimeoutError):
            self.end(b"426 Broken off.")
        else:
            if not received:
                self.end(b"226 Done.")

    def end(self, reply: bytes) -> None:
        """Ends the transfer."""
        self.stop_transfer()
        self.reply(reply)

    def stop_transfer(self) -> None:
        """Closes the data connection, if there is one."""
        if self.data is not None:
            self.origin.close(self.data)
            self.data = None

    def stop_listening(self) -> None:
        """Closes the passive port, if there is one."""
        if self.passive is not None:
            self.origin.close(self.passive)
            self.passive = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    for number in ("port", "first", "last"):
        parser.add_argument(number, type=int)
    parser.add_argument("--nice", type=int, default=0)
    options = parser.parse_args()
    os.nice(options.nice)
    Origin(options.host, cycle(range(options.first, options.last + 1))).run(options.port)


if __name__ == "__main__":
    main()
