"""The scripted origin and its stage, with TLS on either side: see scripted.py.

Clients and origins are of Python's ``ssl`` here, so they share no code with the gateway.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
from collections.abc import Iterator
from functools import cache

import attrs

from tests.kit.certificates import Pair, certificates
from tests.kit.gateway import PATIENCE, Conversation, RunningGateway, application, gateway
from tests.kit.stage import ORIGIN, DataPort, OriginControl, ScriptedOrigin, Stage, connect, no_mistakes

PORTS = range(29400, 30400)
NAME = "ftp.example.com"

_next_port = itertools.cycle(PORTS)
_TCP_CLOSE = 7  # of Linux's tcp_info: both directions are over, as behind a reset


def tls(mode: str, more: str = "", **tables: str) -> str:
    """The TOML for one of the modes, with the keys that it needs.

    :param more: keys of the same table.
    :param tables: keys of others.
    """
    keys = [f'mode = "{mode}"']
    if mode in ("flexible", "full", "strict"):
        server = certificates().server
        keys += [f'certificate = "{server.certificate}"', f'key = "{server.key}"']
    if mode == "strict":
        keys += [f'origin_ca = "{certificates().ca}"', f'origin_name = "{NAME}"']
    lines = ["[application.tls]", *keys, more]
    for name, text in tables.items():
        lines += [f"[application.{name}]", text]
    return "\n".join(lines)


@cache
def origin_context(version: ssl.TLSVersion | None = None, pair: Pair | None = None) -> ssl.SSLContext:
    """What an origin shows."""
    pair = pair or certificates().server
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


@cache
def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """What a client trusts."""
    context = ssl.create_default_context(cafile=str(certificates().ca))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def secure_client(
    connection: socket.socket, version: ssl.TLSVersion | None = None, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    """Shakes hands as a client."""
    return client_context(version).wrap_socket(
        connection, server_hostname=NAME, session=session, suppress_ragged_eofs=False
    )


def secure_origin(connection: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Shakes hands as a server."""
    return context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False)


@attrs.define(eq=False)
class SecureStage:
    """A stage whose client and origin may speak TLS.

    :param version: the only one that they speak.
    :param private: the origin's context for its data connections; None where they are in the clear.
    """

    on: Stage
    stack: contextlib.ExitStack
    version: ssl.TLSVersion | None = None
    private: ssl.SSLContext | None = None

    @property
    def running(self) -> RunningGateway:
        return self.on.running

    @property
    def client(self) -> Conversation:
        return self.on.client

    @property
    def control(self) -> OriginControl:
        return self.on.control

    @property
    def session(self) -> ssl.SSLSession | None:
        """What the client's control connection gives its data connections to resume."""
        assert isinstance(self.client.socket, ssl.SSLSocket)
        return self.client.socket.session

    def auth(self) -> None:
        """The client's control connection becomes secure."""
        assert self.client.ask(b"AUTH TLS").startswith(b"234 ")
        self.client.socket = secure_client(self.client.socket, self.version)

    def protect(self) -> None:
        """And its data connections as well."""
        self.auth()
        assert self.client.ask(b"PBSZ 0").startswith(b"200 ")
        assert self.client.ask(b"PROT P").startswith(b"200 ")

    def passive(self) -> DataPort:
        """The client asks for a data port, and is told of one; where the origin listens."""
        return self.on.passive(data=data_port())

    def begin(self, command: bytes, data: DataPort) -> socket.socket:
        """Up to the origin's 150; the origin's data connection, secure if it is to be."""
        self.client.send(command + b"\r\n")
        self.control.expect(command)
        at_origin = data.accept()
        if self.private is not None:
            at_origin = secure_origin(at_origin, self.private)
        self.control.say(b"150 Here it comes.")
        assert self.client.reply() == b"150 Here it comes."
        return self.stack.enter_context(at_origin)

    def secure(self, connection: socket.socket) -> ssl.SSLSocket:
        """A data connection of the client's, resumed."""
        return self.stack.enter_context(secure_client(connection, self.version, self.session))

    def transfer(self, command: bytes) -> tuple[ssl.SSLSocket, socket.socket]:
        """Begins a transfer: the client's data connection and the origin's."""
        data = self.passive()
        at_client = self.on.dial(data.port)
        at_origin = self.begin(command, data)
        return self.secure(at_client), at_origin

    def another(self, source: str = "127.0.0.1") -> SecureStage:
        """A second session of the same gateway and origin, greeted."""
        return _greeted(self.running, self.on.origin, self.stack, self.version, self.private, source)


def read_whole(connection: socket.socket) -> bytes:
    """What comes until the end of a stream as it is due."""
    received = bytearray()
    with contextlib.suppress(ssl.SSLZeroReturnError):  # so is close_notify called where ours was the first
        while chunk := connection.recv(1 << 16):
            received += chunk
    return bytes(received)


def ending(connection: socket.socket) -> str:
    """Reads to the end of a stream, and tells how it was said: "whole", "cut" or "reset"."""
    try:
        read_whole(connection)
    except ssl.SSLEOFError:  # either of the last two
        state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return "reset" if state == _TCP_CLOSE else "cut"
    except ConnectionResetError:
        return "reset"
    return "whole"


def cut(connection: socket.socket) -> None:
    """Ends a stream of TLS with a FIN, and without the close_notify that is due before it."""
    socket.socket.shutdown(connection, socket.SHUT_WR)


def finish(connection: socket.socket) -> None:
    """Ends a stream as is due; it can still be read."""
    if isinstance(connection, ssl.SSLSocket):
        connection.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):  # the peer's own close_notify is not waited for
            connection.unwrap()
        connection.settimeout(PATIENCE)
    socket.socket.shutdown(connection, socket.SHUT_WR)


def data_port() -> DataPort:
    """Where the origin listens: the next free one of `PORTS`."""
    for port in itertools.islice(_next_port, len(PORTS)):
        with contextlib.suppress(AssertionError):
            return DataPort.at(ORIGIN, port)
    raise AssertionError("every port is taken")


def _greeted(
    running: RunningGateway,
    origin: ScriptedOrigin,
    stack: contextlib.ExitStack,
    version: ssl.TLSVersion | None,
    private: ssl.SSLContext | None,
    source: str = "127.0.0.1",
) -> SecureStage:
    client = stack.enter_context(Conversation(connect(running.address, source)))
    control = stack.enter_context(origin.accept())
    control.say(b"220 Ready.")
    if private is not None:
        secure_control(control, private)
    assert client.reply().startswith(b"220 ")
    return SecureStage(Stage(running, origin, client, control, stack), stack, version, private)


def secure_control(control: OriginControl, context: ssl.SSLContext) -> None:
    """The origin does as the gateway asks."""
    control.expect(b"AUTH TLS")
    control.say(b"234 Go on.")
    control.socket = secure_origin(control.socket, context)
    for command in (b"PBSZ 0", b"PROT P"):
        control.expect(command)
        control.say(b"200 Fine.")


@contextlib.contextmanager
def behind(more: str, ports: range = PORTS) -> Iterator[tuple[RunningGateway, ScriptedOrigin]]:
    """A gateway in front of a scripted origin; nobody came yet."""
    with (
        no_mistakes(),
        ScriptedOrigin.at() as origin,
        gateway(application(origin.address, ports, more=more)) as running,
    ):
        yield running, origin


@contextlib.contextmanager
def ungreeted(more: str) -> Iterator[tuple[RunningGateway, Conversation, OriginControl]]:
    """A gateway, a client, and the origin's end of the same session; the origin has said nothing yet."""
    with (
        behind(more) as (running, origin),
        Conversation(connect(running.address)) as client,
        origin.accept() as control,
    ):
        yield running, client, control


@contextlib.contextmanager
def staged(
    more: str,
    *,
    ports: range = PORTS,
    version: ssl.TLSVersion | None = None,
    private: ssl.SSLContext | None = None,
) -> Iterator[SecureStage]:
    """A gateway with this configuration, and one session, greeted; the client is not secure yet.

    :param version: what both ends speak.
    :param private: the context of an origin that is to have TLS.
    """
    with behind(more, ports) as (running, origin), contextlib.ExitStack() as stack:
        yield _greeted(running, origin, stack, version, private)


@contextlib.contextmanager
def secure_stage(
    mode: str, more: str = "", *, version: ssl.TLSVersion | None = None, **tables: str
) -> Iterator[SecureStage]:
    """The same in one of the modes: see ``tls``."""
    private = origin_context(version) if mode in ("full", "strict") else None
    with staged(tls(mode, more, **tables), version=version, private=private) as on:
        yield on
