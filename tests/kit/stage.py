"""An FTP origin without manners: a test says, word by word, what it does on its control and data connections.

Most tests play both ends themselves, turn by turn, since the gateway between them runs in a thread of its own. Where
the origin has to answer while the test does something else, it plays a script in a thread.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from gateway.addresses import Network, SocketAddress
from gateway.data.route import Route
from tests.kit.gateway import PATIENCE, Conversation, RunningGateway, application, gateway, in_reactor, reactor
from tests.kit.mistakes import Planted, failure_of

ORIGIN = "127.0.0.3"  # not where the gateway listens, so that data ports can be mirrored
PORTS = range(24000, 26000)
READY = b"220 Ready."
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(64))

_next_port = itertools.cycle(PORTS)


@attrs.define(eq=False)
class DataPort:
    """A port that the origin listens on for data."""

    listener: socket.socket
    _crowd: list[socket.socket] = attrs.field(factory=list, init=False)

    @classmethod
    def at(cls, host: str, port: int | None = None, backlog: int = 5) -> DataPort:
        """Listens on this port, or on the next free one of `PORTS`."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for candidate in _next_port if port is None else [port]:
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
    def deaf(cls, host: str) -> DataPort:
        """Its queue of connections is full: who connects now gets no answer."""
        port = cls.at(host, backlog=0)
        for _ in range(8):
            waiting = socket.socket()
            port._crowd.append(waiting)
            waiting.setblocking(False)
            waiting.connect_ex(port.listener.getsockname())
        return port

    @property
    def host(self) -> str:
        return self.listener.getsockname()[0]

    @property
    def port(self) -> int:
        return self.listener.getsockname()[1]

    @property
    def numbers(self) -> bytes:
        """As a 227 names it."""
        return commas(self.host, self.port)

    def accept(self) -> socket.socket:
        """Waits for a connection."""
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE)
        return connection

    def accept_now(self) -> socket.socket | None:
        """The connection that was made already, if there is one."""
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
    """A control connection, at the origin's end."""

    def hear(self) -> bytes:
        """The next command, without its CRLF; b'' at the end of the connection.

        That may be a reset, where the gateway gave up before it read the greeting.
        """
        try:
            return self.line()
        except ConnectionResetError:
            return b""

    def expect(self, command: bytes) -> None:
        """The next command is this one."""
        heard = self.hear()
        assert heard == command, f"{heard!r} instead of {command!r}"

    def say(self, reply: bytes) -> None:
        """Sends a reply, CRLF added."""
        self.send(reply + b"\r\n")

    def answer_login(self) -> None:
        """Lets a user in."""
        assert self.hear().startswith(b"USER ")
        self.say(b"331 Password, please.")
        assert self.hear().startswith(b"PASS ")
        self.say(b"230 Come in.")

    def data_port(self) -> DataPort:
        """Listens for data where this connection was made to."""
        return DataPort.at(self.socket.getsockname()[0])

    def answer_passive(self, data: DataPort | None = None) -> DataPort:
        """Hears EPSV or PASV and names a data port, a new one by default."""
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
    """Where the origin listens. At its end it closes what it accepted."""

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


Owned = TypeVar("Owned", DataPort, socket.socket, Conversation, OriginControl)


@attrs.define(eq=False)
class Stage:
    """A gateway, a client that reached it, and the origin's end of the same session; the test plays both.

    :param connections: for data, of either end, so far.
    """

    running: RunningGateway
    origin: ScriptedOrigin
    client: Conversation
    control: OriginControl
    _stack: contextlib.ExitStack
    connections: list[socket.socket] = attrs.field(factory=list, init=False)

    def exchange(self, command: bytes, reply: bytes) -> bytes:
        """The client sends a command, the origin hears it and replies; what the client gets."""
        self.client.send(command + b"\r\n")
        self.control.expect(command)
        self.control.say(reply)
        return self.client.reply()

    def login(self) -> None:
        """The client logs in."""
        self.exchange(b"USER user", b"331 Password, please.")
        assert self.exchange(b"PASS secret", b"230 Come in.") == b"230 Come in."

    def passive(self, command: bytes = b"EPSV", data: DataPort | None = None) -> DataPort:
        """The client asks for a data port, and is told of one; where the origin listens."""
        self.client.send(command + b"\r\n")
        data = self.own(self.control.answer_passive(data))
        reply = self.client.reply()
        assert reply[:3] in (b"229", b"227"), reply
        return data

    def listens(self, port: int) -> bool:
        """Whether a client is let in at that port of the gateway's."""
        try:
            connect((self.running.address[0], port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def dial(self, port: int, source: str = "127.0.0.1") -> socket.socket:
        """A client connects to a data port of the gateway's."""
        return self._keep(connect((self.running.address[0], port), source))

    def accept(self, data: DataPort) -> socket.socket:
        """The gateway connects to a data port of the origin's."""
        return self._keep(data.accept())

    def _keep(self, connection: socket.socket) -> socket.socket:
        self.connections.append(connection)
        return self.own(connection)

    def transfer(self, command: bytes) -> tuple[socket.socket, socket.socket]:
        """Begins a transfer, up to the origin's 150: the client's data connection and the origin's."""
        data = self.passive()
        at_client = self.dial(data.port)
        self.client.send(command + b"\r\n")
        self.control.expect(command)
        at_origin = self.accept(data)
        self.control.say(b"150 Here it comes.")
        assert self.client.reply() == b"150 Here it comes."
        return at_client, at_origin

    def another(self, source: str = "127.0.0.1", greeting: bytes | None = READY) -> Stage:
        """A second session of the same gateway and origin."""
        return _meet(self.running, self.origin, self._stack, source, greeting)

    def own(self, closing: Owned) -> Owned:
        """Closes it at the end of the test."""
        return self._stack.enter_context(closing)


def relays(on: Stage) -> bool:
    """Whether the session is alive, and the origin heard nothing but what it was told of."""
    return on.exchange(b"NOOP", b"200 Fine.") == b"200 Fine."


def usable(on: Stage) -> bool:
    """Whether the session can still make a transfer, from EPSV to the last byte."""
    at_client, at_origin = on.transfer(b"RETR after")
    at_origin.sendall(b"whole")
    at_origin.close()
    on.control.say(b"226 Done.")
    whole = read_all(at_client) == b"whole"
    at_client.close()
    return on.client.reply() == b"226 Done." and whole


def connect(address: tuple[str, int], source: str = "127.0.0.1") -> socket.socket:
    """A connection from that address."""
    return socket.create_connection(address, PATIENCE, (source, 0))


def _meet(
    running: RunningGateway,
    origin: ScriptedOrigin,
    stack: contextlib.ExitStack,
    source: str,
    greeting: bytes | None,
    header: bytes = b"",
) -> Stage:
    client = stack.enter_context(Conversation(connect(running.address, source)))
    client.send(header)
    control = stack.enter_context(origin.accept())
    if greeting is not None:
        control.say(greeting)
        assert client.reply().startswith(b"220")
    return Stage(running, origin, client, control, stack)


@contextlib.contextmanager
def no_mistakes() -> Iterator[None]:
    """No exception was left to Twisted to log, but for those that the test planted."""
    failures: list[tuple[LogEvent, Failure]] = []

    def observe(event: LogEvent) -> None:
        failure = failure_of(event)
        if failure is not None and not failure.check(Planted):
            failures.append((event, failure))

    globalLogPublisher.addObserver(observe)
    try:
        yield
        assert not failures, formatEvent(failures[0][0]) + failures[0][1].getTraceback()
    finally:
        globalLogPublisher.removeObserver(observe)


@contextlib.contextmanager
def _watched(toml: str) -> Iterator[RunningGateway]:
    """A gateway whose sessions each end exactly once."""
    with no_mistakes(), gateway(toml) as running:
        yield running
    begun, ended = (
        sorted(record["session"] for record in running.journal.all(event)) for event in ("connect", "disconnect")
    )
    assert begun == ended == sorted(set(begun))


@contextlib.contextmanager
def stage(
    more: str = "",
    *,
    host: str = ORIGIN,
    named: str | None = None,
    source: str = "127.0.0.1",
    greeting: bytes | None = READY,
    header: bytes = b"",
    **keys: Any,
) -> Iterator[Stage]:
    """A gateway in front of a scripted origin, and one session.

    :param more: of the application's configuration.
    :param named: the origin's host name, as the gateway is told.
    :param source: the client's address.
    :param greeting: what both ends have heard already; None for nothing.
    :param header: what the client sends first of all.
    :param keys: for `application`.
    """
    keys = {"data_ports": PORTS, **keys}
    with ScriptedOrigin.at(host) as origin:
        toml = application((named or host, origin.address[1]), more=more, **keys)
        with _watched(toml) as running, contextlib.ExitStack() as stack:
            yield _meet(running, origin, stack, source, greeting, header)


@contextlib.contextmanager
def before(origin: tuple[str, int], more: str = "") -> Iterator[RunningGateway]:
    """A gateway in front of whatever is at that address."""
    with _watched(application(origin, PORTS, more=more)) as running:
        yield running


def plain_route(public: SocketAddress, origin: SocketAddress, source: str, peers: Network | None) -> Route:
    """A data channel's way without TLS, PROXY headers and limits."""
    return Route(
        public=public,
        origin=origin,
        source=source,
        peers=peers,
        is_proxy=lambda address: False,
        header=b"",
        throttles=None,
        secure_origin=None,
        secure_client=False,
        connect_timeout=10,
        accept_timeout=30,
        stall_timeout=300,
    )


def commas(host: str, port: int) -> bytes:
    """An IPv4 address and a port, as in a 227."""
    return b"%s,%d,%d" % (host.replace(".", ",").encode(), port >> 8, port & 0xFF)


def reset(connection: socket.socket) -> None:
    """Closes it so that the peer sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_all(connection: socket.socket) -> bytes:
    """What comes until the peer's end of file."""
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
    """Does it in a thread."""
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


def fill(connection: socket.socket, limit: int, quiet: float = 0.3, pattern: bytes = b"\0") -> int:
    """Sends the pattern over and over until nothing more is taken for ``quiet`` seconds, or ``limit`` bytes were.

    :returns: how many bytes were taken.
    """
    sent = 0
    block = pattern * (1 + (1 << 16) // len(pattern))
    connection.settimeout(quiet)
    with contextlib.suppress(TimeoutError):
        while sent < limit:
            sent += connection.send(block[sent % len(pattern) :][: limit - sent])
    connection.settimeout(PATIENCE)
    return sent


def turn() -> None:
    """Lets the reactor do what can be done now: what arrived on its sockets, and what is due."""
    in_reactor(deferLater, reactor, 0)


def descriptors() -> int:
    """How many file descriptors this process has open, once the reactor has closed what it is about to close."""
    turn()
    return len(list(Path("/proc/self/fd").iterdir()))


def reactor_seconds() -> float:
    """The processor time that the reactor's thread has used."""
    return in_reactor(time.thread_time)


def comes_to_rest() -> bool:
    """Whether the reactor is done, sooner or later, with what it has to do now."""
    for _ in range(60):
        before = reactor_seconds()
        time.sleep(0.2)
        if reactor_seconds() - before < 0.03:
            return True
    return False
