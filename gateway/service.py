"""The running gateway, built from a configuration: the one place where the parts are joined."""

from __future__ import annotations

import encodings.idna  # noqa: F401  # what resolves a name imports it when it is needed, too late behind --chroot
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from itertools import count
from pathlib import Path

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorCore
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway import config
from gateway.config import (
    AccessAction,
    AccessDenied,
    Config,
    ConfigError,
    DataPeer,
    DataSessionReuse,
    ProxyHeader,
    Tls,
    TlsMode,
    TlsRequirement,
)
from gateway.config.security import TERMINATING, TO_ORIGIN, certificate_files
from gateway.data.bandwidth import Bandwidth
from gateway.data.leg import Address
from gateway.data.port import DataPorts, Network
from gateway.guard import proxy
from gateway.guard.access import AccessRule, AccessRules
from gateway.guard.admission import Guard, Known, Limits
from gateway.guard.counts import Sessions
from gateway.guard.logins import LoginLimits
from gateway.observe.journal import Journal, JSONLinesSink, LogSink
from gateway.observe.systemd import notify
from gateway.relay.application import Application
from gateway.relay.dial import Reactor as RelayReactor
from gateway.relay.door import Door
from gateway.relay.public import PublicAddress
from gateway.session.events import Deadline
from gateway.session.policy import Policy
from gateway.session.ports import PassivePorts
from gateway.session.security import Requirement, TLSTerms
from gateway.tls.certificates import CertificateError
from gateway.tls.client import OriginTLS
from gateway.tls.server import ServerTLS

# How long a data channel may outlive the origin's word that its transfer failed, in seconds.
_LINGER = 5.0

# How long clients have to take in the last reply of a gateway that is in a hurry, in seconds.
_HURRY = 0.5


class Reactor(RelayReactor, IReactorCore):
    """What the gateway needs of the reactor."""


class CannotStart(Exception):
    """The gateway cannot run. The text is one sentence for its operator."""


@attrs.define(eq=False)
class Gateway(Service):
    """Every application of a configuration.

    :param load: reads the configuration; raises ConfigError.
    :param give_up: called where it cannot start, with a sentence that says why.
    """

    reactor: Reactor = attrs.field(repr=False)
    load: Callable[[], Config] = attrs.field(repr=False)
    give_up: Callable[[str], None] = attrs.field(repr=False)
    _doors: dict[str, Door] = attrs.field(factory=dict, init=False)
    _retired: list[Door] = attrs.field(factory=list, init=False)
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
        try:
            self._apply(self.load())
        except ConfigError as error:
            for mistake in error.mistakes:
                self._log.error("configuration not reloaded: {mistake}", mistake=mistake)
        except CannotStart as error:
            self._log.error("configuration not reloaded: {error}", error=error)
        else:
            self._log.info("configuration reloaded: {places}", places=self._places)

    def _ready(self) -> None:
        self._log.info("ftp-gateway ready: {places}", places=self._places)
        notify("READY=1")

    @property
    def _places(self) -> str:
        return ", ".join(f"{door.application.name} on {place}" for place, door in self._doors.items())

    @property
    def _all_doors(self) -> tuple[Door, ...]:
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
        publics = {host: self._publics.get(host) or PublicAddress(host, self._note_public) for host in hosts if host}
        doors: dict[str, Door] = {}
        try:
            for application in wanted.applications:
                guard = self._guard(application, wanted.limits.sessions)
                running = self._application(application, publics, guard)
                for place in application.listen:
                    door = doors[place] = Door(self.reactor, running, application.timeouts.drain, self._numbers)
                    if place not in self._doors:
                        door.listening = self._listen(place, door)
        except CannotStart:
            for door in doors.values():
                door.shut()
            raise
        self._data_ports.limit = wanted.limits.data_ports
        self._resolve(publics)
        self._change_doors(doors)

    def _change_doors(self, doors: dict[str, Door]) -> None:
        for place, door in self._doors.items():
            if place not in doors:
                door.shut()
                self._retired.append(door)
            else:
                door.application, door.drain = doors[place].application, doors[place].drain
                doors[place] = door
        self._doors = doors

    def _listen(self, place: str, door: Door) -> Port:
        results: list[Port | Failure] = []
        try:
            endpoint = serverFromString(self.reactor, place)
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

    def _note_public(self, name: str, fields: Mapping[str, object]) -> None:
        self._journal.note(name, fields)

    def _guard(self, wanted: config.Application, all_sessions: int) -> Guard:
        limits = wanted.limits
        return Guard(
            access=AccessRules.of(
                AccessRule(rule.action is AccessAction.DENY, rule.networks) for rule in wanted.access
            ),
            silent=wanted.access_denied is AccessDenied.DROP,
            limits=Limits(
                all_sessions,
                limits.sessions,
                limits.sessions_per_client,
                limits.connects_per_minute_per_client,
                LoginLimits(limits.login_failures, limits.login_failure_window, limits.ban),
            ),
            known=self._known.setdefault(wanted.name, Known(self._sessions)),
            clock=time.monotonic,
        )

    def _application(
        self, wanted: config.Application, publics: Mapping[str, PublicAddress], guard: Guard
    ) -> Application:
        timeouts, commands, tls, headers = wanted.timeouts, wanted.commands, wanted.tls, wanted.proxy_protocol

        def note(name: str, fields: Mapping[str, object]) -> None:
            self._journal.note(name, {"application": wanted.name, **fields})

        return Application(
            name=wanted.name,
            origin_host=wanted.origin.host,
            origin_port=wanted.origin.port,
            origin_named=not _is_address(wanted.origin.host),
            ports=PassivePorts(wanted.data_ports.origin, wanted.data_ports.public),
            policy=Policy(
                _verbs(commands.allow), _verbs(commands.deny), commands.read_only, tls.mode is not TlsMode.OFF
            ),
            banner=wanted.banner,
            peers=_PEERS[wanted.data_peer],
            public=None if wanted.public_address is None else publics[wanted.public_address],
            data_interface=None if wanted.data_interface is None else ip_address(wanted.data_interface),
            deadlines={
                Deadline.LOGIN: timeouts.login,
                Deadline.IDLE: timeouts.idle,
                Deadline.LINGER: _LINGER,
            },
            connect_timeout=timeouts.origin_connect,
            accept_timeout=timeouts.data_accept,
            stall_timeout=timeouts.data_stall,
            data_ports=self._data_ports,
            bandwidth=self._bandwidth(wanted),
            proxies=headers.accept_from,
            control_header=_HEADERS[headers.send_control],
            data_header=_HEADERS[headers.send_data],
            tls=_terms(tls),
            client_tls=_client_tls(tls, lambda reason: note("tlsError", {"side": "certificate", "reason": reason})),
            origin_tls=_origin_tls(tls, wanted.origin.host),
            guard=guard,
            data_resumption=tls.data_session_reuse is DataSessionReuse.REQUIRED,
            note=note,
        )

    def _bandwidth(self, wanted: config.Application) -> Bandwidth:
        """Where a reload does not change it, new sessions share it with those that run."""
        bandwidth = Bandwidth(wanted.limits.bandwidth, wanted.limits.bandwidth_per_session, self.reactor.seconds)
        running = (door.application for door in self._doors.values())
        shared = (one.bandwidth for one in running if one.name == wanted.name and one.bandwidth == bandwidth)
        return next(shared, bandwidth)


def _open_events(path: str | None) -> JSONLinesSink | None:
    if path is None:
        return None
    try:
        return JSONLinesSink.open(path)
    except OSError as error:
        raise CannotStart(f"events.path: cannot write {path}: {error.strerror}") from error


def _terms(tls: Tls) -> TLSTerms:
    return TLSTerms(
        terminates=tls.mode in TERMINATING,
        implicit=tls.implicit,
        require=_REQUIREMENTS[tls.require],
        passthrough=tls.mode is TlsMode.PASSTHROUGH,
        to_origin=tls.mode in TO_ORIGIN,
        origin_implicit=tls.origin_implicit,
    )


def _client_tls(tls: Tls, complain: Callable[[str], None]) -> ServerTLS | None:
    if tls.mode not in TERMINATING or tls.certificate is None:
        return None
    try:
        return ServerTLS(certificate_files(tls.certificate, tls.key), tls.minimum_version.value, complain)
    except CertificateError as error:
        raise CannotStart(str(error)) from error


def _origin_tls(tls: Tls, host: str) -> OriginTLS | None:
    if tls.mode not in TO_ORIGIN:
        return None
    name = tls.origin_name or host
    try:
        return OriginTLS(
            minimum_version=tls.minimum_version.value,
            name=name if tls.mode is TlsMode.STRICT else None,
            trust=None if tls.origin_ca is None else Path(tls.origin_ca),
            certificate=None
            if tls.origin_certificate is None
            else certificate_files(tls.origin_certificate, tls.origin_key).read().choose(None),
            server_name=None if _is_address(name) else name,
        )
    except CertificateError as error:
        raise CannotStart(str(error)) from error


_REQUIREMENTS = {
    TlsRequirement.NONE: Requirement.NONE,
    TlsRequirement.CONTROL: Requirement.CONTROL,
    TlsRequirement.DATA: Requirement.DATA,
}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _verbs(words: Iterable[str]) -> frozenset[bytes]:
    return frozenset(word.encode() for word in words)


@lru_cache(maxsize=1024)
def _host(client: Address) -> Network:
    return ip_network(client)


@lru_cache(maxsize=1024)
def _network(client: Address) -> Network:
    return ip_network((client, 24 if client.version == 4 else 64), strict=False)


_HEADERS: Mapping[ProxyHeader, Callable[[proxy.Ends], bytes]] = {
    ProxyHeader.OFF: lambda ends: b"",
    ProxyHeader.V1: proxy.version_1,
    ProxyHeader.V2: proxy.version_2,
}

_PEERS: Mapping[DataPeer, Callable[[Address], Network | None]] = {
    DataPeer.ADDRESS: _host,
    DataPeer.NETWORK: _network,
    DataPeer.ANY: lambda client: None,
}
