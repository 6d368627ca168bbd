"""`Origin`: an FTP server in a thread of its own."""

import ipaddress
import os
import socket
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import Attribute, define, field, frozen
from attrs.converters import optional
from OpenSSL import SSL

from origin.dialects import DIALECTS, PLAIN
from origin.faults import FAULTS
from origin.listener import (
    DummyAuthorizer,
    FTPHandler,
    ImplicitTLSHandler,
    IOLoop,
    Listener,
    PassivePort,
    TLS_FTPHandler,
    Waker,
)
from origin.speaker import Speaker
from origin.tls import server_context

Address = tuple[str, int]


def render_address(address: Address) -> str:
    """``host:port``, with brackets around an IPv6 host."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_directory(_: Any, __: "Attribute[Path]", root: Path) -> None:
    if not root.is_dir():
        raise ValueError(f"the root is not a directory: {root}")


def _is_address(_: Any, __: "Attribute[Address]", listen: Address) -> None:
    host, port = listen
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(f"not a host to listen on: {host!r}") from None
    if not 0 <= port <= 65535:
        raise ValueError(f"not a port to listen on: {port}")


def _are_ports(_: Any, __: "Attribute[range | None]", ports: range | None) -> None:
    if ports is not None and not (ports and min(ports) >= 1 and max(ports) <= 65535):
        raise ValueError("passive ports must be one port or more, all between 1 and 65535")


def _is_ipv4(_: Any, __: "Attribute[str | None]", address: str | None) -> None:
    if address is not None:
        try:
            ipaddress.IPv4Address(address)
        except ValueError:
            raise ValueError(f"the masquerade address is not an IPv4 address: {address!r}") from None


def _are_users(_: Any, __: "Attribute[Mapping[str, str]]", users: Mapping[str, str]) -> None:
    if "" in users:
        raise ValueError("a user has no name")
    if "anonymous" in users:  # pyftpdlib would accept any password
        raise ValueError("'anonymous' cannot be a user with a password")


def _is_dialect(_: Any, __: "Attribute[str | None]", name: str | None) -> None:
    if name is not None and name not in DIALECTS:
        raise ValueError(f"not a dialect: {name!r}; there are {', '.join(DIALECTS)}")


def _is_fault(_: Any, __: "Attribute[str | None]", name: str | None) -> None:
    if name is not None and name not in FAULTS:
        raise ValueError(f"not a fault: {name!r}; there are {', '.join(FAULTS)}")


@frozen
class _Running:
    """The parts of an origin that exist between start and stop."""

    address: Address
    waker: socket.socket
    thread: threading.Thread


@define(eq=False)
class Origin:
    """An FTP server (RFC 959, 2428, 3659, 4217) over one directory, for passive and active mode.

    Any number may run in one process. The values are checked at construction, which raises ValueError:

    - `root`: the directory that every user sees as ``/``
    - `listen`: the host and port of the control connection; port 0 takes a free one
    - `passive_ports`: the ports for data connections; None takes free ones. While the whole range is in use,
    pyftpdlib takes a free port outside it
    - `masquerade_address`: the IPv4 address that 227 replies name; None names the address the client reached
    - `users`: passwords by user name
    - `anonymous`: let in the user ``anonymous``, with any password
    - `writable`: every user may change everything below the root; otherwise only read
    - `certificate` and `key`: files in PEM; with them the origin takes AUTH TLS
    - `tls_required`: USER and PASS only once TLS is on, PASV and its kin only after PROT P; pyftpdlib says 550
    - `implicit_tls`: TLS from the first byte on; data connections are clear until PROT P, as with AUTH TLS
    - `dialect`: the name of the dialect that it speaks, from `origin.dialects.DIALECTS`; None for pyftpdlib's own
    - `fault`: the name of its misbehaviour, from `origin.faults.FAULTS`; None for none
    """

    root: Path = field(converter=Path, validator=_is_directory)
    listen: Address = field(default=("127.0.0.2", 0), kw_only=True, validator=_is_address)
    passive_ports: range | None = field(default=None, kw_only=True, validator=_are_ports)
    masquerade_address: str | None = field(default=None, kw_only=True, validator=_is_ipv4)
    users: Mapping[str, str] = field(factory=dict, kw_only=True, validator=_are_users)
    anonymous: bool = field(default=False, kw_only=True)
    writable: bool = field(default=False, kw_only=True)
    certificate: Path | None = field(default=None, kw_only=True, converter=optional(Path))
    key: Path | None = field(default=None, kw_only=True, converter=optional(Path))
    tls_required: bool = field(default=False, kw_only=True)
    implicit_tls: bool = field(default=False, kw_only=True)
    dialect: str | None = field(default=None, kw_only=True, validator=_is_dialect)
    fault: str | None = field(default=None, kw_only=True, validator=_is_fault)
    _tls: SSL.Context | None = field(init=False, repr=False)
    _running: _Running | None = field(default=None, init=False)

    @_tls.default
    def _read_certificate(self) -> SSL.Context | None:
        if self.certificate is not None and self.key is not None:
            return server_context(self.certificate, self.key)
        if self.certificate is not None or self.key is not None:
            raise ValueError("a certificate and its key belong together")
        if self.tls_required or self.implicit_tls:
            raise ValueError("TLS needs a certificate and its key")
        return None

    def start(self) -> None:
        """Return once the origin listens.

        Raises OSError, with a sentence that names the address, where it cannot bind, and RuntimeError when it
        is started already.
        """
        if self._running is not None:
            raise RuntimeError("the origin is started already")
        session = self._session_class()
        loop = IOLoop()
        try:
            listener = Listener(self._bind(), session, loop)
            ours, watched = socket.socketpair()
            Waker(watched, loop)
        except BaseException:
            loop.close()
            raise
        thread = threading.Thread(target=loop.loop, name=f"origin of {self.root}", daemon=True)
        thread.start()
        self._running = _Running(listener.address, ours, thread)

    def stop(self) -> None:
        """Return once every session and socket is closed and the thread has ended.

        Does nothing when the origin is not started, so it may be called twice.
        """
        running, self._running = self._running, None
        if running is not None:
            running.waker.close()
            running.thread.join()

    @property
    def address(self) -> Address:
        """The bound host and port. Raises RuntimeError when the origin is not started."""
        if self._running is None:
            raise RuntimeError("the origin is not started")
        return self._running.address

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET6 if ":" in self.listen[0] else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(self.listen)
        except OSError as error:
            bound.close()
            sentence = f"cannot listen on {render_address(self.listen)}: {error.strerror}"
            raise OSError(error.errno, sentence) from error
        return bound

    def _session_class(self) -> type[Any]:
        """A handler class for this origin alone, because pyftpdlib keeps its options in class attributes."""
        options = {
            "authorizer": self._authorizer(),
            "passive_ports": self.passive_ports,
            "masquerade_address": self.masquerade_address,
            "passive_dtp": PassivePort,
        }
        handler = FTPHandler
        if self._tls is not None:
            handler = ImplicitTLSHandler if self.implicit_tls else TLS_FTPHandler
            options |= {
                "ssl_context": self._tls,
                "tls_control_required": self.tls_required,
                "tls_data_required": self.tls_required,
            }
        if self.dialect is None and self.fault is None:
            return type("Session", (handler,), options)
        dialect = PLAIN if self.dialect is None else DIALECTS[self.dialect]
        commands = {name: row for name, row in handler.proto_cmds.items() if name not in dialect.unknown}
        options |= {"dialect": dialect, "proto_cmds": commands}
        return type("Session", (Speaker if self.fault is None else FAULTS[self.fault], handler), options)

    def _authorizer(self) -> DummyAuthorizer:
        permissions = DummyAuthorizer.read_perms + (DummyAuthorizer.write_perms if self.writable else "")
        authorizer = DummyAuthorizer()
        for name, password in self.users.items():
            authorizer.add_user(name, password, os.fspath(self.root), perm=permissions)
        if self.anonymous:
            # pyftpdlib warns of an anonymous user who may write, but `writable` asks for exactly that.
            with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
                authorizer.add_anonymous(os.fspath(self.root), perm=permissions)
        return authorizer
