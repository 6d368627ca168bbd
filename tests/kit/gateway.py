"""Gateways for the tests: in this process, with real sockets and the reactor in a thread of its own.

A test waits for the gateway's events in its journal.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from gateway import config
from gateway.observe import writer
from gateway.observe.records import Record
from gateway.service import Gateway
from tests.kit import PATIENCE
from tests.kit.certificates import Pair, certificates
from tests.kit.reactor import in_reactor, reactor

writer.TICK = 0.005  # tests look often


@attrs.frozen
class Mark(Record):
    """A test looks at the events now: all that came before are written once this one is."""

    name = "mark"

    number: int

    def fields(self) -> dict[str, Any]:
        return {"number": self.number}


@attrs.define(eq=False)
class Journal:
    """The gateway's events as they are written.

    :param note: writes an event down, while the gateway runs.
    """

    note: Callable[[Record], None] | None = None
    _records: list[dict[str, Any]] = attrs.field(factory=list)
    _changed: threading.Condition = attrs.field(factory=threading.Condition)
    _marks: Iterator[int] = attrs.field(factory=itertools.count)
    _marked: int = -1

    def read(self, descriptor: int) -> None:
        """Takes JSON lines until the pipe ends."""
        with os.fdopen(descriptor) as stream:
            for line in stream:
                record = json.loads(line)
                with self._changed:
                    if record["event"] == Mark.name:
                        self._marked = record["number"]
                    else:
                        self._records.append(record)
                    self._changed.notify_all()

    def all(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The records of that name, up to this moment, whose fields have these values."""
        if self.note is not None:
            mark = next(self._marks)
            self.note(Mark(mark))
            with self._changed:
                assert self._changed.wait_for(lambda: self._marked >= mark, PATIENCE), "nothing is written"
        return self._so_far(event, **fields)

    def wait(self, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """Waits until there are so many records; gives the last of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._so_far(event, **fields)) >= count, PATIENCE):
                raise AssertionError(f"no {event} {fields} in {self._records}")
            return self._so_far(event, **fields)[count - 1]

    def _so_far(self, event: str, **fields: object) -> list[dict[str, Any]]:
        wanted = {"event": event, **fields}
        with self._changed:
            return [record for record in self._records if wanted.items() <= record.items()]


@attrs.define(eq=False)
class RunningGateway:
    """A gateway that listens.

    :param doors: the addresses at which each application listens, by its name.
    """

    service: Gateway
    journal: Journal
    doors: dict[str, list[tuple[str, int]]]

    @property
    def places(self) -> dict[str, tuple[str, int]]:
        """The first address at which each application listens, by its name."""
        return {name: places[0] for name, places in self.doors.items()}

    @property
    def address(self) -> tuple[str, int]:
        """The address at which the first application listens."""
        return next(iter(self.places.values()))


@contextlib.contextmanager
def gateway(toml: str, directory: Path = Path()) -> Iterator[RunningGateway]:
    """Runs the configuration; ``listen`` may use port 0. At the end all sessions are over, and nothing is left."""
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
        journal.note = service.journal.note
        yield RunningGateway(service, journal, in_reactor(_doors, service))
    finally:
        journal.note = None
        in_reactor(service.stopService)
        os.close(write_end)
        reader.join()


@contextlib.contextmanager
def names(addresses: dict[str, str]) -> Iterator[None]:
    """Makes these host names resolve, at once, to the addresses that the dictionary holds at that moment."""
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
        """Does nothing: the resolution is over at once."""


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
        doors.setdefault(control_port.terms.name, []).append(control_port.listening.address)
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
    """The TOML of one application; ``public_ports`` maps the data ports, ``more`` comes after its keys."""
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


def tls_table(mode: str, pair: Pair | Path | None = None, **keys: str | bool | Path) -> str:
    """The TOML of an application's TLS.

    :param pair: the certificate that the gateway offers in this mode: by default a good one; or a directory.
    :param keys: further keys of the table.
    """
    shown = pair or certificates().server
    values: dict[str, str | bool | Path] = {"mode": mode}
    if mode in ("flexible", "full", "strict"):
        values |= {"certificate": shown} if isinstance(shown, Path) else attrs.asdict(shown)
    values |= keys
    texts = {key: json.dumps(value if isinstance(value, bool) else str(value)) for key, value in values.items()}
    return "\n".join(["[application.tls]", *(f"{key} = {text}" for key, text in texts.items())])
