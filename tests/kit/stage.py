"""The stage: a gateway between a client and a scripted origin, both played by the test, in the clear or with TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, TypeVar

import attrs

from gateway.addresses import Network, SocketAddress
from gateway.data.route import Route
from tests.kit.certificates import certificates
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import RunningGateway, application, gateway, tls_table
from tests.kit.mistakes import no_mistakes
from tests.kit.ports import scripted
from tests.kit.scripted import ORIGIN, DataPort, OriginControl, ScriptedOrigin
from tests.kit.sockets import read_all
from tests.kit.tls import NAME, origin_context, secure_client, secure_origin

READY = b"220 Ready."
Owned = TypeVar("Owned", DataPort, socket.socket, Conversation, OriginControl)


@attrs.define(eq=False)
class Stage:
    """A gateway, a client that reached it, and the origin's end of the same session.

    :param version: the only version of TLS that both ends speak.
    :param private: the origin's TLS context for its data connections; None where they are in the clear.
    :param protected: whether the client's data connections have TLS.
    :param connections: the data connections of either end so far.
    """

    running: RunningGateway
    origin: ScriptedOrigin
    client: Conversation
    control: OriginControl
    _stack: contextlib.ExitStack
    version: ssl.TLSVersion | None = None
    private: ssl.SSLContext | None = None
    protected: bool = attrs.field(default=False, init=False)
    connections: list[socket.socket] = attrs.field(factory=list, init=False)

    def exchange(self, command: bytes, reply: bytes) -> bytes:
        """Sends a command as the client; the origin hears it and replies. Gives the reply that the client gets."""
        self.client.send(command + b"\r\n")
        self.control.expect(command)
        self.control.say(reply)
        return self.client.reply()

    def login(self) -> None:
        """Logs the client in."""
        self.exchange(b"USER user", b"331 Password, please.")
        assert self.exchange(b"PASS secret", b"230 Come in.") == b"230 Come in."

    def auth(self) -> None:
        """Makes the client's control connection secure."""
        assert self.client.ask(b"AUTH TLS").startswith(b"234 ")
        self.client.socket = secure_client(self.client.socket, self.version)

    def protect(self) -> None:
        """Makes the client's data connections secure as well."""
        self.auth()
        assert self.client.ask(b"PBSZ 0").startswith(b"200 ")
        assert self.client.ask(b"PROT P").startswith(b"200 ")
        self.protected = True

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session of the control connection, for data connections to resume."""
        assert isinstance(self.client.socket, ssl.SSLSocket)
        return self.client.socket.session

    def passive(self, command: bytes = b"EPSV", data: DataPort | None = None) -> DataPort:
        """Asks for a data port as the client, and tells it of one; gives the port at which the origin listens."""
        self.client.send(command + b"\r\n")
        data = self.own(self.control.answer_passive(data))
        reply = self.client.reply()
        assert reply[:3] in (b"229", b"227"), reply
        return data

    def listens(self, port: int) -> bool:
        """Whether the gateway accepts a client at that port."""
        try:
            connect((self.running.address[0], port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def dial(self, port: int, source: str = "127.0.0.1") -> socket.socket:
        """Connects to a data port of the gateway's as the client."""
        return self._keep(connect((self.running.address[0], port), source))

    def accept(self, data: DataPort) -> socket.socket:
        """Accepts the gateway's connection to a data port of the origin's, and makes it secure where it should be."""
        connection = data.accept()
        return self._keep(connection if self.private is None else secure_origin(connection, self.private))

    def secure(self, connection: socket.socket) -> ssl.SSLSocket:
        """Makes a data connection of the client's secure, resumed."""
        return self.own(secure_client(connection, self.version, self.session))

    def begin(self, command: bytes, data: DataPort) -> socket.socket:
        """Begins a transfer with a client that is there, up to the origin's 150; gives the origin's connection."""
        self.client.send(command + b"\r\n")
        self.control.expect(command)
        at_origin = self.accept(data)
        self.control.say(b"150 Here it comes.")
        assert self.client.reply() == b"150 Here it comes."
        return at_origin

    def transfer(self, command: bytes) -> tuple[socket.socket, socket.socket]:
        """Begins a transfer, up to the origin's 150; gives the client's data connection and the origin's."""
        data = self.passive()
        at_client = self.dial(data.port)
        at_origin = self.begin(command, data)
        return self.secure(at_client) if self.protected else at_client, at_origin

    def another(self, source: str = "127.0.0.1", greeting: bytes | None = READY) -> Stage:
        """A second session of the same gateway and origin."""
        return _meet(self.running, self.origin, self._stack, source, greeting, self.version, self.private)

    def own(self, closing: Owned) -> Owned:
        """Closes the object at the end of the test."""
        return self._stack.enter_context(closing)

    def _keep(self, connection: socket.socket) -> socket.socket:
        self.connections.append(connection)
        return self.own(connection)


def relays(on: Stage) -> bool:
    """Whether the session is alive, and the origin hears only the command that it is told of."""
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


def _meet(
    running: RunningGateway,
    origin: ScriptedOrigin,
    stack: contextlib.ExitStack,
    source: str,
    greeting: bytes | None,
    version: ssl.TLSVersion | None = None,
    private: ssl.SSLContext | None = None,
    header: bytes = b"",
) -> Stage:
    client = stack.enter_context(Conversation(connect(running.address, source)))
    client.send(header)
    control = stack.enter_context(origin.accept())
    if greeting is not None:
        control.say(greeting)
        if private is not None:
            control.become_secure(private)
        assert client.reply().startswith(b"220")
    return Stage(running, origin, client, control, stack, version, private)


@contextlib.contextmanager
def before(origin: tuple[str, int], more: str = "", **keys: Any) -> Iterator[RunningGateway]:
    """A gateway in front of a server at that address; each of its sessions ends exactly once.

    :param more: further lines of the application's configuration.
    :param keys: the arguments for `application`.
    """
    keys = {"data_ports": scripted(), **keys}
    with no_mistakes(), gateway(application(origin, more=more, **keys)) as running:
        yield running
    begun, ended = (
        sorted(record["session"] for record in running.journal.all(event)) for event in ("connect", "disconnect")
    )
    assert begun == ended == sorted(set(begun))


@contextlib.contextmanager
def behind(
    more: str = "", *, host: str = ORIGIN, named: str | None = None, **keys: Any
) -> Iterator[tuple[RunningGateway, ScriptedOrigin]]:
    """A gateway in front of a scripted origin; no client has come yet."""
    with ScriptedOrigin.at(host) as origin, before((named or host, origin.address[1]), more, **keys) as running:
        yield running, origin


@contextlib.contextmanager
def ungreeted(more: str) -> Iterator[tuple[RunningGateway, Conversation, OriginControl]]:
    """A gateway, a client, and the origin's end of the same session; the origin has said nothing yet."""
    with stage(more, greeting=None) as on:
        yield on.running, on.client, on.control


@contextlib.contextmanager
def stage(
    more: str = "",
    *,
    host: str = ORIGIN,
    named: str | None = None,
    source: str = "127.0.0.1",
    greeting: bytes | None = READY,
    header: bytes = b"",
    version: ssl.TLSVersion | None = None,
    private: ssl.SSLContext | None = None,
    **keys: Any,
) -> Iterator[Stage]:
    """A gateway in front of a scripted origin, and one session.

    :param more: further lines of the application's configuration.
    :param named: the origin's host name, as the gateway is told.
    :param source: the client's address.
    :param greeting: the greeting that both ends have already heard; None for none.
    :param header: the bytes that the client sends first of all.
    :param version: the only version of TLS that both ends speak.
    :param private: the TLS context of an origin that has TLS; None for none.
    :param keys: the arguments for `application`.
    """
    with behind(more, host=host, named=named, **keys) as (running, origin), contextlib.ExitStack() as stack:
        yield _meet(running, origin, stack, source, greeting, version, private, header)


def trusting(mode: str, **keys: str | bool) -> str:
    """The `tls_table` of a gateway that trusts the scripted origin in strict mode, too."""
    if mode == "strict":
        keys = {"origin_ca": str(certificates().ca), "origin_name": NAME, **keys}
    return tls_table(mode, **keys)


@contextlib.contextmanager
def tls_stage(
    mode: str, more: str = "", *, version: ssl.TLSVersion | None = None, **keys: str | bool
) -> Iterator[Stage]:
    """A stage in one of the modes of TLS. The client is not secure yet.

    :param keys: the arguments for `trusting`.
    """
    private = origin_context(version) if mode in ("full", "strict") else None
    with stage(f"{more}\n{trusting(mode, **keys)}", version=version, private=private) as on:
        yield on


def plain_route(public: SocketAddress, origin: SocketAddress, source: str, peers: Network | None) -> Route:
    """A data channel's route without TLS, PROXY headers and limits."""
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
