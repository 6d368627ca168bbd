"""A control connection that a test speaks by hand."""

from __future__ import annotations

import socket

import attrs

from tests.kit import PATIENCE


def connect(address: tuple[str, int], source: str = "127.0.0.1") -> socket.socket:
    """A connection from the source address."""
    return socket.create_connection(address, PATIENCE, (source, 0))


@attrs.define(eq=False)
class Conversation:
    """One control connection, spoken by hand."""

    socket: socket.socket
    received: bytes = b""

    @classmethod
    def to(cls, address: tuple[str, int]) -> Conversation:
        """Connects; the greeting is not read yet."""
        return cls(socket.create_connection(address, PATIENCE))

    def send(self, data: bytes) -> None:
        """Sends these bytes, nothing added."""
        self.socket.sendall(data)

    def line(self) -> bytes:
        """The next line, without its CRLF; b'' at the end of the connection."""
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = self.socket.recv(1)
            if not byte:
                break
            line += byte
        self.received += line
        return bytes(line).removesuffix(b"\r\n")

    def reply(self) -> bytes:
        """The next reply, all of its lines, without the last CRLF."""
        first = self.line()
        lines = [first]
        while first[3:4] == b"-" and lines[-1][:4] != first[:3] + b" ":
            lines.append(self.line())
        return b"\r\n".join(lines)

    def ask(self, command: bytes) -> bytes:
        """Sends a command, CRLF added; gives the reply."""
        self.send(command + b"\r\n")
        return self.reply()

    def login(self, user: str = "user", password: str = "secret") -> None:
        """Reads the greeting and logs in."""
        assert self.reply().startswith(b"220")
        assert self.ask(b"USER " + user.encode()).startswith(b"331")
        assert self.ask(b"PASS " + password.encode()).startswith(b"230")

    def at_end(self) -> bool:
        """Whether nothing follows but the end of the connection; waits for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Closes the connection."""
        self.socket.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
