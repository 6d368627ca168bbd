"""The running gateway, built from a configuration: the one place where the parts are joined."""

from __future__ import annotations

import encodings.idna  # noqa: F401  # what resolves a name imports it when it is needed, too late behind --chroot
import os
from collections.abc import Callable, Iterator
from itertools import count

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway import config
from gateway.applications import building
from gateway.applications.building import CannotStart, Shared
from gateway.config import (
    Config,
    ConfigError,
)
from gateway.data.bandwidth import Bandwidth
from gateway.data.port import DataPorts
from gateway.guard.admission import Known
from gateway.guard.counts import Sessions
from gateway.net.reactor import Reactor
from gateway.observe.journal import Journal, JSONLinesSink, LogSink
from gateway.observe.records import Record
from gateway.observe.systemd import notify, notify_reloading
from gateway.relay.control_port import ControlPort
from gateway.relay.public import PublicAddress

# How long clients have to take in the last reply of a gateway that is in a hurry, in seconds.
_HURRY = 0.5

# How many clients may wait to be accepted. A client of FTP speaks second: one that the kernel forgets, its queue
# being full, waits for a greeting that never comes.
_BACKLOG = 1024


@attrs.define(eq=False)
class Gateway(Service):
    """Every application of a configuration.

    :param load: reads the configuration; raises ConfigError.
    :param give_up: called where it cannot start, with a sentence that says why.
    """

    reactor: Reactor = attrs.field(repr=False)
    load: Callable[[], Config] = attrs.field(repr=False)
    give_up: Callable[[str], None] = attrs.field(repr=False)
    _doors: dict[str, ControlPort] = attrs.field(factory=dict, init=False)
    _retired: list[ControlPort] = attrs.field(factory=list, init=False)
    _publics: dict[str, PublicAddress] = attrs.field(factory=dict, init=False, repr=False)
    _journal: Journal = attrs.field(init=False, repr=False)
    _events: JSONLinesSink | None = attrs.field(default=None, init=False, repr=False)
    _events_path: str | None = attrs.field(default=None, init=False, repr=False)
    _over: Deferred[None] = attrs.field(factory=Deferred, init=False, repr=False)
    _data_ports: DataPorts = attrs.field(init=False, repr=False)
    _sessions: Sessions = attrs.field(factory=Sessions, init=False, repr=False)
    _known: dict[str, Known] = attrs.field(factory=dict, init=False, repr=False)  # of clients, by application
    _numbers: Iterator[int] = attrs.field(factory=lambda: count(1), init=False, repr=False)
    _log: Logger = attrs.field(factory=lambda: Logger("gateway"), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._data_ports = DataPorts(self.reactor)
        self._journal = Journal((LogSink(),))

    def privilegedStartService(self) -> None:
        """Binds every port, while the process may still be privileged."""
        super().privilegedStartService()
        try:
            wanted = self.load()
            self._open_doors(wanted)
        except ConfigError as error:
            self.give_up("; ".join(error.mistakes))
        except CannotStart as error:
            self.give_up(str(error))
        else:
            self._events_path = wanted.events.path

    def startService(self) -> None:
        """Says that it is ready, once the reactor runs.

        The event file is opened here, as the user that the process stays: later it is opened again at each reload.
        """
        if not self._doors:  # not every runner has a privileged phase
            self.privilegedStartService()
        try:
            self._keep_books(_open_events(self._events_path))
        except CannotStart as error:
            self.give_up(str(error))
        super().startService()
        self.reactor.callWhenRunning(self._ready)

    def stopService(self) -> Deferred[None]:
        """Lets nobody in any more, lets transfers end in time, and fires when every session is over."""
        super().stopService()
        notify("STOPPING=1")
        cleared = DeferredList([door.clear() for door in self._all_doors])
        if sessions := sum(door.sessions for door in self._all_doors):
            self._log.info("stopping, sessions left: {sessions}; a second signal cuts them", sessions=sessions)
        cleared.addCallback(lambda _: self._stopped())
        return self._over

    def hurry(self) -> None:
        """Ends at once what `stopService` lets go on; hardly waits for clients to take in their last reply."""
        for door in self._all_doors:
            door.hurry()
        self.reactor.callLater(_HURRY, self._stopped)

    def reload(self) -> None:
        """Reads the configuration again: new sessions follow it, running ones go on as they began.

        One that has a mistake, or a port that cannot be bound, is refused whole, and the old one stays.
        """
        if not self.running:
            return
        notify_reloading()
        try:
            self._apply(self.load())
        except ConfigError as error:
            for mistake in error.mistakes:
                self._log.error("configuration not reloaded: {mistake}", mistake=mistake)
        except CannotStart as error:
            self._log.error("configuration not reloaded: {error}", error=error)
        else:
            self._log.info("configuration reloaded: {places}", places=self._places)
        finally:
            notify("READY=1")  # refused or not: it goes on

    def _ready(self) -> None:
        self._log.info("ftp-gateway ready: {places}", places=self._places)
        notify("READY=1")

    @property
    def _places(self) -> str:
        return ", ".join(f"{door.application.name} on {place}" for place, door in self._doors.items())

    @property
    def _all_doors(self) -> tuple[ControlPort, ...]:
        return (*self._doors.values(), *self._retired)

    def _stopped(self) -> None:
        if self._over.called:  # by one who was in a hurry
            return
        for public in self._publics.values():
            public.stop()
        self._keep_books(None)
        self._over.callback(None)

    def _apply(self, wanted: Config) -> None:
        """Makes the gateway what the configuration says, or changes nothing.

        :raises CannotStart: where a port cannot be bound, or the event file not be opened.
        """
        events = _open_events(wanted.events.path)
        try:
            self._open_doors(wanted)
        except CannotStart:
            if events is not None:
                events.close()
            raise
        self._keep_books(events)

    def _open_doors(self, wanted: Config) -> None:
        hosts = {application.public_address for application in wanted.applications} - {None}
        publics = {host: self._publics.get(host) or PublicAddress(host, self._note) for host in hosts if host}
        shared = Shared(self._data_ports, publics, self._note)
        doors: dict[str, ControlPort] = {}
        try:
            for application in wanted.applications:
                known = self._known.setdefault(application.name, Known(self._sessions))
                guard = building.guard(application, wanted.limits.sessions, known)
                running = building.application(application, shared, guard, self._bandwidth(application))
                for place in application.listen:
                    door = doors[place] = ControlPort(
                        self.reactor, running, application.timeouts.drain, self._numbers
                    )
                    if place not in self._doors:
                        door.listening = self._listen(place, door)
        except CannotStart:
            for door in doors.values():
                door.shut()
            raise
        self._data_ports.limit = wanted.limits.data_ports
        self._resolve(publics)
        self._change_doors(doors)

    def _change_doors(self, doors: dict[str, ControlPort]) -> None:
        for place, door in self._doors.items():
            if place not in doors:
                door.shut()
                self._retired.append(door)
            else:
                door.application, door.drain = doors[place].application, doors[place].drain
                doors[place] = door
        self._doors = doors

    def _listen(self, place: str, door: ControlPort) -> Port:
        results: list[Port | Failure] = []
        try:
            endpoint = serverFromString(self.reactor, _with_backlog(place))
        except (KeyError, IndexError) as error:
            raise CannotStart(
                f"{door.application.name} cannot listen on {place}: systemd passed no such socket"
            ) from error
        endpoint.listen(door).addBoth(results.append)
        [result] = results  # these endpoints bind at once
        if isinstance(result, Failure):
            cause = result.value
            if isinstance(cause, CannotListenError):
                cause = cause.socketError
            reason = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else cause
            raise CannotStart(f"{door.application.name} cannot listen on {place}: {reason}")
        return result

    def _keep_books(self, events: JSONLinesSink | None) -> None:
        if self._events is not None:
            self._events.close()
        self._events = events
        self._journal = Journal((LogSink(),) if events is None else (LogSink(), events))

    def _resolve(self, publics: dict[str, PublicAddress]) -> None:
        for host, public in self._publics.items():
            if host not in publics:
                public.stop()
        for host, public in publics.items():
            if host not in self._publics:
                public.start(self.reactor.nameResolver, self.reactor)
        self._publics = publics

    def _note(
        self, record: Record, session: int | None = None, client: str | None = None, application: str | None = None
    ) -> None:
        self._journal.note(record, application, session, client)

    def _bandwidth(self, wanted: config.Application) -> Bandwidth:
        """Where a reload does not change it, new sessions share it with those that run."""
        bandwidth = Bandwidth(wanted.limits.bandwidth, wanted.limits.bandwidth_per_session, self.reactor.seconds)
        running = (door.application for door in self._doors.values())
        shared = (one.bandwidth for one in running if one.name == wanted.name and one.bandwidth == bandwidth)
        return next(shared, bandwidth)


def _with_backlog(place: str) -> str:
    return f"{place}:backlog={_BACKLOG}" if place.startswith(("tcp:", "tcp6:")) and "backlog=" not in place else place


def _open_events(path: str | None) -> JSONLinesSink | None:
    if path is None:
        return None
    try:
        return JSONLinesSink.open(path)
    except OSError as error:
        raise CannotStart(f"events.path: cannot write {path}: {error.strerror}") from error
