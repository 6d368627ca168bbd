"""An FTP origin without manners: a test decides, word by word, what it does on its control and data connections.

Most tests play both ends themselves, turn by turn, since the gateway between them runs in a thread of its own. Where
the origin has to answer while the test does something else, it plays a script in a thread.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import cache

import attrs

from tests.kit import PATIENCE
from tests.kit.conversation import Conversation
from tests.kit.passive import commas
from tests.kit.ports import scripted
from tests.kit.tls import secure_origin

ORIGIN = "127.0.0.3"
"""The address of the origin: not the gateway's, so that data ports can be mirrored."""


@cache
def _next_port() -> Iterator[int]:
    return itertools.cycle(scripted())


@attrs.define(eq=False)
class DataPort:
    """A port that the origin listens on for data."""

    listener: socket.socket
    _crowd: list[socket.socket] = attrs.field(factory=list, init=False)

    @classmethod
    def at(cls, host: str, port: int | None = None, backlog: int = 5) -> DataPort:
        """Listens on this port, or on the next free one of `scripted()`."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for candidate in _next_port() if port is None else [port]:
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.settimeout(PATIENCE)
            try:
                listener.bind((host, candidate))
            except OSError:
                listener.close()
                continue
            listener.listen(backlog)
            return cls(listener)
        raise AssertionError(f"port {port} of {host} is taken")

    @classmethod
    def deaf(cls, host: str, port: int | None = None) -> DataPort:
        """Listens with a full queue of connections: a new connection gets no answer."""
        deaf = cls.at(host, port, backlog=0)
        for _ in range(8):
            waiting = socket.socket()
            deaf._crowd.append(waiting)
            waiting.setblocking(False)
            waiting.connect_ex(deaf.listener.getsockname())
        return deaf

    @property
    def host(self) -> str:
        return self.listener.getsockname()[0]

    @property
    def port(self) -> int:
        return self.listener.getsockname()[1]

    @property
    def numbers(self) -> bytes:
        """The numbers of its address and port in a 227."""
        return commas(self.host, self.port)

    def accept(self) -> socket.socket:
        """Waits for a connection."""
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE)
        return connection

    def accept_now(self) -> socket.socket | None:
        """The connection that was already made, if there is one."""
        self.listener.settimeout(0)
        try:
            return self.accept()
        except BlockingIOError:
            return None
        finally:
            self.listener.settimeout(PATIENCE)

    def close(self) -> None:
        for connection in (self.listener, *self._crowd):
            connection.close()

    def __enter__(self) -> DataPort:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@attrs.define(eq=False)
class OriginControl(Conversation):
    """The origin's end of a control connection."""

    def hear(self) -> bytes:
        """The next command, without its CRLF; b'' at the end of the connection.

        The end may be a reset, where the gateway gave up before it read the greeting.
        """
        try:
            return self.line()
        except ConnectionResetError:
            return b""

    def expect(self, command: bytes) -> None:
        """Checks that the next command is this one."""
        heard = self.hear()
        assert heard == command, f"{heard!r} instead of {command!r}"

    def say(self, reply: bytes) -> None:
        """Sends a reply, CRLF added."""
        self.send(reply + b"\r\n")

    def answer_login(self) -> None:
        """Accepts any user's login."""
        assert self.hear().startswith(b"USER ")
        self.say(b"331 Password, please.")
        assert self.hear().startswith(b"PASS ")
        self.say(b"230 Come in.")

    def become_secure(self, context: ssl.SSLContext) -> None:
        """Does as a gateway asks that wants TLS on both channels."""
        self.expect(b"AUTH TLS")
        self.say(b"234 Go on.")
        self.socket = secure_origin(self.socket, context)
        for command in (b"PBSZ 0", b"PROT P"):
            self.expect(command)
            self.say(b"200 Fine.")

    def data_port(self) -> DataPort:
        """Listens for data at the address to which this connection was made."""
        return DataPort.at(self.socket.getsockname()[0])

    def answer_passive(self, data: DataPort | None = None) -> DataPort:
        """Answers EPSV or PASV with a data port, by default a new one."""
        command = self.hear()
        data = data or self.data_port()
        if command.startswith(b"EPSV"):
            self.say(b"229 Entering Extended Passive Mode (|||%d|)" % data.port)
        else:
            assert command == b"PASV", command
            self.say(b"227 Entering Passive Mode (%s)." % data.numbers)
        return data


Script = Callable[[OriginControl], None]


@attrs.define(eq=False)
class ScriptedOrigin:
    """A listening origin. At its end it closes all that it accepted."""

    listener: socket.socket
    _accepted: list[socket.socket] = attrs.field(factory=list, init=False)
    _players: list[threading.Thread] = attrs.field(factory=list, init=False)
    _mistakes: list[BaseException] = attrs.field(factory=list, init=False)

    @classmethod
    def at(cls, host: str = ORIGIN) -> ScriptedOrigin:
        """Listens on any port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)
        listener.settimeout(PATIENCE)
        return cls(listener)

    @property
    def address(self) -> tuple[str, int]:
        host, port, *_ = self.listener.getsockname()
        return host, port

    def accept(self) -> OriginControl:
        """Waits for a control connection."""
        connection, _ = self.listener.accept()
        self._accepted.append(connection)
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return OriginControl(connection)

    def play(self, script: Script, sessions: int = 1) -> None:
        """Accepts so many control connections, and plays the script on each, all in threads."""

        def perform() -> None:
            try:
                with self.accept() as control:
                    script(control)
            except BaseException as mistake:
                self._mistakes.append(mistake)

        for _ in range(sessions):
            player = threading.Thread(target=perform)
            self._players.append(player)
            player.start()

    def __enter__(self) -> ScriptedOrigin:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # the test failed: nobody is waited for
            self._hang_up()
        for player in self._players:
            player.join()
        self._hang_up()
        self.listener.close()
        if self._mistakes and kind is None:
            raise self._mistakes[0]

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        for connection in self._accepted:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
