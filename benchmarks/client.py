"""An FTP client of the least cost: it leaves the processor to the programs that are measured."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.network import CIPHER, CONTROL, PASSWORD, USER
from tests.kit.passive import passive_port

PATIENCE = 20  # seconds that a reply may take
BUFFER = 1 << 20
STARTED, DONE = (b"125", b"150"), (b"226", b"250")


class Refused(Exception):
    """A reply with an unexpected code."""


class Client:
    """One session.

    :param passive: the command that asks for a data connection, EPSV or PASV.
    :param tls: the context for TLS from the first byte, on both channels; None for none.
    """

    def __init__(self, host: str, passive: bytes = b"EPSV", tls: ssl.SSLContext | None = None) -> None:
        self._host, self._passive, self._tls = host, passive, tls
        self.control = self._connect(CONTROL)
        if tls is not None:
            self.control = self._secure(self.control)
        self._replies = self.control.makefile("rb")
        self._expect(b"220")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the control connection."""
        self._replies.close()
        self.control.close()

    def login(self) -> None:
        """Logs in, for binary transfers."""
        self.command(b"USER " + USER.encode(), b"331")
        self.command(b"PASS " + PASSWORD.encode(), b"230")
        self.command(b"TYPE I", b"200")
        if self._tls is not None:
            # Where TLS ends at a relay that knows no FTP, the origin gets these commands, and refuses them.
            self.command(b"PBSZ 0")
            self.command(b"PROT P")

    def command(self, line: bytes, *codes: bytes) -> bytes:
        """Sends a command; gives the last line of the reply, which must have one of these codes."""
        self.control.sendall(line + b"\r\n")
        return self._expect(*codes)

    def quit(self) -> None:
        """Ends the session, and reads up to its end."""
        self.command(b"QUIT", b"221")
        self._replies.read()

    def retrieve(self, path: str) -> tuple[int, float]:
        """Reads a file and throws it away; gives its size, and the seconds from RETR to its end.

        The kernel throws unencrypted bytes away, uncopied.
        """
        with self._data() as data:
            start = time.perf_counter()
            sink = self._begin(b"RETR " + path.encode(), data)
            buffer, flags, total = bytearray(BUFFER), 0 if self._tls else socket.MSG_TRUNC, 0
            while count := sink.recv_into(buffer, 0, flags):
                total += count
            seconds = time.perf_counter() - start
            sink.close()
        self._expect(*DONE)
        return total, seconds

    def store(self, source: Path, path: str) -> float:
        """Sends a file; gives the seconds from the command to the reply that confirms its end.

        The command is APPE, which takes the same path as STOR: vsftpd would truncate a device before a STOR.
        """
        with source.open("rb") as file, self._data() as data:
            start = time.perf_counter()
            sink = self._begin(b"APPE " + path.encode(), data)
            if isinstance(sink, ssl.SSLSocket):
                buffer = memoryview(bytearray(BUFFER))
                while count := file.readinto(buffer):
                    sink.sendall(buffer[:count])
                sink.setblocking(False)
                with contextlib.suppress(ssl.SSLWantReadError):  # the peer need not answer
                    sink.unwrap()
            else:
                left = os.fstat(file.fileno()).st_size
                while left:
                    left -= os.sendfile(sink.fileno(), file.fileno(), None, left)
                sink.shutdown(socket.SHUT_WR)
            self._expect(*DONE)
            seconds = time.perf_counter() - start
            sink.close()
        return seconds

    def _connect(self, port: int) -> socket.socket:
        sock = socket.create_connection((self._host, port), PATIENCE)
        sock.settimeout(None)  # the kernel keeps the time: one system call for each operation, not two
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _data(self) -> socket.socket:
        return self._connect(passive_port(self.command(self._passive, b"229", b"227")))

    def _begin(self, line: bytes, data: socket.socket) -> socket.socket:
        """Sends the command; gives the data connection, secure where it must be.

        Its handshake waits for no reply: HAProxy dials the origin only after it, and vsftpd replies only after that.
        """
        self.control.sendall(line + b"\r\n")
        sink = self._secure(data)
        self._expect(*STARTED)
        return sink

    def _secure(self, data: socket.socket) -> socket.socket:
        if self._tls is None:
            return data
        secure = self._tls.wrap_socket(data, suppress_ragged_eofs=False)
        if (chosen := secure.cipher()) is None or chosen[0] != CIPHER:
            raise Refused(f"{self._host} chose {chosen}")
        return secure

    def _expect(self, *codes: bytes) -> bytes:
        line = self._replies.readline()
        if line[3:4] == b"-":
            last = line[:3] + b" "
            while line and not line.startswith(last):
                line = self._replies.readline()
        if codes and line[:3] not in codes:
            raise Refused(f"{self._host} said {line!r}, and not {b' or '.join(codes)!r}")
        return line
