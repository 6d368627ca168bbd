"""The registry of applications that run, and the change to those of another configuration.

A change is prepared first: everything new is read and bound, and nothing that runs notices. Then it is committed,
which cannot fail, or abandoned. An application that stays equal, its files included, is not touched. A removed
application stops listening; its sessions go on as they began, and the rest of it goes with the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import attrs
from twisted.internet.defer import Deferred, DeferredList

from gateway import config
from gateway.applications import building
from gateway.applications.building import CannotStart, FileKey, Shared
from gateway.applications.listening import bind
from gateway.applications.shortage import Shortage
from gateway.applications.watching import Look, Watch
from gateway.config import Config, Geo
from gateway.data.bandwidth import Bandwidth
from gateway.data.port import DataPorts
from gateway.guard.access_files import AccessFile
from gateway.guard.admission import Known
from gateway.guard.counts import Counts
from gateway.net.acceptor import Acceptor
from gateway.net.reactor import Reactor
from gateway.relay.control_port import ControlPort
from gateway.relay.public import PublicHost
from gateway.relay.terms import SessionTerms
from gateway.threads import in_own_thread


@attrs.frozen(eq=False)
class Running:
    """One application that runs.

    :param wanted: its configuration.
    :param files: everything that was read from its files; other objects after a file changed.
    :param terms: the terms of its new sessions, its records of clients among them.
    """

    wanted: config.Application
    files: tuple[object, ...] = attrs.field(repr=False)
    terms: SessionTerms = attrs.field(repr=False)

    def is_still(self, wanted: config.Application, files: tuple[object, ...]) -> bool:
        """Whether the running application is already the one that a configuration asks for."""
        return self.wanted == wanted and self.files == files


@attrs.frozen(eq=False)
class Parts:
    """The parts of a gateway: the applications, the ports of their clients, and the public addresses that they name.

    :param applications: the applications, by name.
    :param ports: the control ports, by endpoint.
    :param publics: the public addresses, by the host that the configuration names.
    :param watches: the watches over the files of access rules.
    """

    applications: Mapping[str, Running] = attrs.field(factory=dict)
    ports: Mapping[str, ControlPort] = attrs.field(factory=dict)
    publics: Mapping[str, PublicHost] = attrs.field(factory=dict)
    watches: Mapping[FileKey, Watch] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Built:
    """The parts of another configuration before its ports are bound.

    :param looks: the watches that are kept, each with its last look, and with a look that is as new as the rest.
    """

    applications: dict[str, Running]
    publics: dict[str, PublicHost]
    watches: dict[FileKey, Watch]
    looks: list[tuple[Watch, Look, Look]]


@attrs.frozen(eq=False)
class Change:
    """A prepared change: all that it needs exists, and nothing runs differently yet.

    Exactly one of the two is called, once.

    :param commit: puts the change into effect; it cannot fail. It does nothing if the gateway stops meanwhile.
    :param abandon: closes the ports that were bound for it.
    """

    commit: Callable[[], None]
    abandon: Callable[[], None]


@attrs.define(eq=False)
class Registry:
    """All applications of one gateway.

    One change at a time: before the next one is prepared, the last one is committed or abandoned.

    :param note: writes an event down.
    """

    reactor: Reactor = attrs.field(repr=False)
    note: Callable[..., None] = attrs.field(repr=False)
    _now: Parts = attrs.field(factory=Parts, init=False)
    _leaving: set[ControlPort] = attrs.field(factory=set, init=False)
    _closing: bool = attrs.field(default=False, init=False)
    _data_ports: DataPorts = attrs.field(init=False, repr=False)
    _shortage: Shortage = attrs.field(init=False, repr=False)
    _sessions: Counts = attrs.field(factory=Counts, init=False, repr=False)
    # The records of clients, by application; they live as long as a session or a control port has them.
    _known: WeakValueDictionary[str, Known] = attrs.field(factory=WeakValueDictionary, init=False, repr=False)
    _numbers: Iterator[int] = attrs.field(factory=lambda: count(1), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._data_ports = DataPorts(self.reactor)
        self._shortage = Shortage(self.reactor, self.note)

    @property
    def applications(self) -> Mapping[str, Running]:
        """The applications that clients can reach, by name."""
        return self._now.applications

    @property
    def ports(self) -> Mapping[str, ControlPort]:
        """The control ports that listen, by endpoint."""
        return self._now.ports

    @property
    def leaving(self) -> frozenset[ControlPort]:
        """The control ports that no longer listen but still have sessions."""
        return frozenset(self._leaving)

    @property
    def known(self) -> Mapping[str, Known]:
        """The records of clients, by application; those of a removed one stay until its last session ends."""
        return dict(self._known)

    @property
    def sessions(self) -> int:
        """The number of sessions now."""
        return self._sessions.total

    # A change

    async def prepare(self, wanted: Config) -> Change:
        """Prepares the change to a configuration. Files are read in a thread.

        :raises CannotStart: where a file or a port cannot be used; then nothing is left of the change.
        """
        self._check_open()
        return self._bind(wanted, await in_own_thread(self.reactor, self._build, wanted))

    def prepare_now(self, wanted: Config) -> Change:
        """Prepares the change without a thread, while nothing runs that would have to wait."""
        return self._bind(wanted, self._build(wanted))

    def _build(self, wanted: Config) -> Built:
        """Builds the new parts, and keeps the rest. It changes nothing, and may run in a thread."""
        now = self._now
        hosts = {application.public_address for application in wanted.applications} - {None}
        publics = {host: now.publics.get(host) or PublicHost(host, self.note) for host in hosts if host}
        shared = Shared(self._data_ports, publics, self.note)
        built = Built({}, publics, {}, [])
        for application in wanted.applications:
            keys = tuple(building.file_keys(application, wanted.geo))
            for key in keys:
                if key not in built.watches:
                    self._watch(key, built)
            access_files = {key: built.watches[key].file for key in keys}
            built.applications[application.name] = self._running(application, wanted.geo, shared, access_files)
        return built

    def _watch(self, key: FileKey, built: Built) -> None:
        watch = self._now.watches.get(key)
        if watch is None:
            built.watches[key] = Watch.of(*key, self.note)
            return
        before = watch.last
        built.watches[key] = watch
        built.looks.append((watch, before, watch.look()))

    def _running(
        self, wanted: config.Application, geo: Geo, shared: Shared, access_files: Mapping[FileKey, AccessFile[Any]]
    ) -> Running:
        before, files = self._now.applications.get(wanted.name), (*building.files(wanted.tls), *access_files.values())
        if before is not None and before.is_still(wanted, files):
            return before
        known = self._known.get(wanted.name) or Known(self._sessions)
        bandwidth = Bandwidth(wanted.limits.bandwidth, wanted.limits.bandwidth_per_session, self.reactor.seconds)
        if before is not None and before.terms.data.bandwidth == bandwidth:
            bandwidth = before.terms.data.bandwidth  # new sessions share it with those that run
        guard = building.guard(wanted, geo, access_files, known, self.reactor.seconds)
        return Running(wanted, files, building.application(wanted, shared, guard, bandwidth))

    def _bind(self, wanted: Config, built: Built) -> Change:
        ports: dict[str, ControlPort] = {}
        bound: list[Acceptor] = []

        def abandon() -> None:
            for port in bound:
                port.close()

        try:
            self._check_open()
            for running in built.applications.values():
                for place in running.wanted.listen:
                    port = self._now.ports.get(place)
                    if port is None:
                        port = ControlPort(self.reactor, running.terms, running.wanted.timeouts.drain, self._numbers)
                        port.listening = bind(self.reactor, place, port, self._shortage.refuse)
                        bound.append(port.listening)
                    ports[place] = port
        except BaseException:
            abandon()
            raise

        before = self._now

        def commit() -> None:
            assert self._now is before, "another change came between"
            if self._closing:  # since the change was prepared
                abandon()
                return
            for watch, last, look in built.looks:
                watch.take(last, look)
            self._replace(Parts(built.applications, ports, built.publics, built.watches))
            self._shortage.prepare()
            self._sessions.limit, self._data_ports.limit = wanted.limits.sessions, wanted.limits.data_ports
            for port in bound:
                port.start()

        return Change(commit, abandon)

    def _replace(self, parts: Parts) -> None:
        before, self._now = self._now, parts
        for name, running in parts.applications.items():
            self._known[name] = running.terms.guard.known
            for place in running.wanted.listen:
                port = parts.ports[place]
                port.terms, port.drain = running.terms, running.wanted.timeouts.drain
        for place in before.ports.keys() - parts.ports.keys():
            self._retire(before.ports[place])
        for host in before.publics.keys() - parts.publics.keys():
            before.publics[host].stop()
        for host in parts.publics.keys() - before.publics.keys():
            parts.publics[host].start(self.reactor.nameResolver, self.reactor)
        for key in before.watches.keys() - parts.watches.keys():
            before.watches[key].stop()
        for key in parts.watches.keys() - before.watches.keys():
            parts.watches[key].start(self.reactor)

    def _retire(self, port: ControlPort) -> None:
        port.shut()
        self._leaving.add(port)
        port.empty().addCallback(lambda _: self._leaving.discard(port))

    def _check_open(self) -> None:
        if self._closing:
            raise CannotStart("the gateway is stopping")

    # The end

    def clear(self) -> Deferred[list[tuple[bool, None]]]:
        """Lets no more clients in, and lets transfers end in time. Fires when every session is over."""
        self._closing = True
        return DeferredList([port.clear() for port in self._every_port])

    def hurry(self) -> None:
        """Ends every session now."""
        for port in self._every_port:
            port.hurry()

    def close(self) -> None:
        """Stops the resolution of the public addresses and the watches over files, and spares no descriptor."""
        self._shortage.close()
        for public in self._now.publics.values():
            public.stop()
        for watch in self._now.watches.values():
            watch.stop()

    @property
    def _every_port(self) -> tuple[ControlPort, ...]:
        return (*self._now.ports.values(), *self._leaving)
