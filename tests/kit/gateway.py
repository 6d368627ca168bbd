"""Runs gateways for the integration tests: in this process, with real sockets, the reactor in a thread of its own.

So a test is plain, blocking code, as its clients are. What it waits for, it waits for as an event of the gateway's.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.internet.threads import blockingCallFromThread
from zope.interface import implementer

from gateway import config
from gateway.service import Gateway

reactor: Any = _reactor
T = TypeVar("T")
PATIENCE = 20.0  # seconds that a test waits for what must happen


_thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False})


def _start_reactor() -> None:
    if not _thread.is_alive():
        running = threading.Event()
        reactor.callWhenRunning(running.set)
        _thread.start()
        running.wait()


def stop_reactor() -> None:
    """Ends its thread, for good: at the end of the run."""
    if _thread.is_alive():
        reactor.callFromThread(reactor.stop)
        _thread.join()


def in_reactor(function: Callable[..., T], *arguments: object) -> T:
    """Calls it in the reactor's thread, and waits for what it gives, or for the Deferred that it gives."""
    _start_reactor()
    return blockingCallFromThread(reactor, function, *arguments)


@attrs.define(eq=False)
class Journal:
    """The gateway's events, as they are written."""

    _records: list[dict[str, Any]] = attrs.field(factory=list)
    _changed: threading.Condition = attrs.field(factory=threading.Condition)

    def read(self, descriptor: int) -> None:
        """Takes JSON lines until the pipe ends."""
        with os.fdopen(descriptor) as stream:
            for line in stream:
                with self._changed:
                    self._records.append(json.loads(line))
                    self._changed.notify_all()

    def all(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The records of that name so far whose fields have these values."""
        wanted = {"event": event, **fields}
        with self._changed:
            return [record for record in self._records if wanted.items() <= record.items()]

    def wait(self, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """Waits until there are so many; gives the last of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.all(event, **fields)) >= count, PATIENCE):
                raise AssertionError(f"no {event} {fields} in {self._records}")
            return self.all(event, **fields)[count - 1]


@attrs.define(eq=False)
class RunningGateway:
    """A gateway that listens.

    :param doors: for each application's name, where it listens.
    """

    service: Gateway
    journal: Journal
    doors: dict[str, list[tuple[str, int]]]

    @property
    def places(self) -> dict[str, tuple[str, int]]:
        """For each application's name, where it listens first."""
        return {name: places[0] for name, places in self.doors.items()}

    @property
    def address(self) -> tuple[str, int]:
        """Where the first application listens."""
        return next(iter(self.places.values()))


@contextlib.contextmanager
def gateway(toml: str, directory: Path = Path()) -> Iterator[RunningGateway]:
    """Runs the configuration; ``listen`` may use port 0. Afterwards every session has ended and nothing is left."""
    journal = Journal()
    read_end, write_end = os.pipe()
    reader = threading.Thread(target=journal.read, args=(read_end,), daemon=True)
    reader.start()
    text = f'{toml}\n[events]\npath = "/dev/fd/{write_end}"\n'

    def give_up(sentence: str) -> None:
        raise AssertionError(sentence)

    service = Gateway(reactor, lambda: config.parse(text, directory), give_up)
    try:
        in_reactor(service.privilegedStartService)
        in_reactor(service.startService)
        yield RunningGateway(service, journal, in_reactor(_doors, service))
    finally:
        in_reactor(service.stopService)
        os.close(write_end)
        reader.join()


@contextlib.contextmanager
def names(addresses: dict[str, str]) -> Iterator[None]:
    """Lets these host names resolve, at once, to their addresses, as they are in the dictionary at that moment."""
    ours = _Names(addresses)
    ours.others = in_reactor(reactor.installNameResolver, ours)
    try:
        yield
    finally:
        in_reactor(reactor.installNameResolver, ours.others)


@implementer(IHostResolution)
@attrs.frozen
class _Resolution:
    name: str

    def cancel(self) -> None:
        """It is over at once."""


@implementer(IHostnameResolver)
@attrs.define(eq=False)
class _Names:
    addresses: dict[str, str]
    others: Any = attrs.field(default=None, init=False)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        if hostName not in self.addresses:
            others: IHostResolution = self.others.resolveHostName(
                resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
            )
            return others
        address = self.addresses[hostName]
        kind = IPv6Address if ":" in address else IPv4Address
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        if addressTypes is None or kind in addressTypes:
            resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


def _doors(service: Gateway) -> dict[str, list[tuple[str, int]]]:
    doors: dict[str, list[tuple[str, int]]] = {}
    for control_port in service.registry.ports.values():
        assert control_port.listening is not None
        host: Any = control_port.listening.getHost()
        doors.setdefault(control_port.application.name, []).append((host.host, host.port))
    return doors


def application(
    origin: tuple[str, int],
    data_ports: range,
    *,
    public_ports: range | None = None,
    name: str = "ftp.example.com",
    listen: str | list[str] = "tcp:0:interface=127.0.0.1",
    more: str = "",
) -> str:
    """The TOML of one application; ``public_ports`` maps the data ports, ``more`` goes behind its keys."""
    host, port = origin
    host = f"[{host}]" if ":" in host else host
    ports = f'"{data_ports[0]}-{data_ports[-1]}"'
    if public_ports is not None:
        ports = f'{{ origin = {ports}, public = "{public_ports[0]}-{public_ports[-1]}" }}'
    return f"""
        [[application]]
        name = "{name}"
        listen = {json.dumps(listen)}
        origin = "{host}:{port}"
        data_ports = {ports}
        {more}
    """


@attrs.define(eq=False)
class Conversation:
    """A control connection, spoken by hand."""

    socket: socket.socket
    received: bytes = b""

    @classmethod
    def to(cls, address: tuple[str, int]) -> Conversation:
        """Connects; the greeting is not read yet."""
        return cls(socket.create_connection(address, timeout=PATIENCE))

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
        """Closes it."""
        self.socket.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
