"""The making of an application's parts from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import attrs

from gateway import config
from gateway.addresses import Address, Network, is_address
from gateway.config import (
    AccessAction,
    AccessDenied,
    DataPeer,
    DataSessionReuse,
    Geo,
    ProxyHeader,
    Tls,
    TlsMode,
    TlsRequirement,
)
from gateway.config.security import TERMINATING, TO_ORIGIN, certificate_files
from gateway.data.bandwidth import Bandwidth
from gateway.data.port import DataPorts
from gateway.guard.access import AccessRules, Rule
from gateway.guard.access_files import AccessFile, FileKind
from gateway.guard.admission import AdmissionLimits, Guard, Known
from gateway.guard.lists import LISTS
from gateway.guard.logins import LoginLimits
from gateway.guard.places import ASNS, COUNTRIES, Places
from gateway.net import proxy_header as proxy
from gateway.observe.records import Note, TLSFailed, TLSSide
from gateway.origins.origin import Origin
from gateway.relay.public import PublicHost
from gateway.relay.terms import DataTerms, SessionTerms
from gateway.session.client_tls import Requirement, TLSTerms
from gateway.session.events import Deadline
from gateway.session.policy import Policy
from gateway.tls import certificates
from gateway.tls.certificates import CertificateError, read_authorities
from gateway.tls.to_clients import ServerTLS
from gateway.tls.to_origin import OriginTLS

# Seconds for which a data channel may outlive the origin's word that its transfer failed.
_GRACE = 5.0


FileKey = tuple[FileKind[Any], str]  # a file that decides who is let in: its kind, and its path


class CannotStart(Exception):
    """The refusal to run a configuration. The text is one sentence for the operator."""


@attrs.frozen
class Shared:
    """The objects that the applications of one gateway share.

    :param publics: the public addresses, by the host that the configuration names.
    :param note: writes an event down.
    """

    data_ports: DataPorts
    publics: Mapping[str, PublicHost]
    note: Callable[..., None]


def file_keys(wanted: config.Application, geo: Geo) -> Iterator[FileKey]:
    """The files that decide which clients an application lets in."""
    if geo.country is not None:
        yield COUNTRIES, geo.country
    if geo.asn is not None:
        yield ASNS, geo.asn
    for rule in wanted.access:
        yield from ((LISTS, path) for path in rule.lists)


def guard(
    wanted: config.Application,
    geo: Geo,
    files: Mapping[FileKey, AccessFile[Any]],
    known: Known,
    clock: Callable[[], float],
) -> Guard:
    """The guard that lets clients in.

    :param files: the files that ``file_keys`` names.
    :param known: the records of the application's clients; they outlive a reload.
    :param clock: the time in seconds; it only goes forward.
    """
    limits = wanted.limits
    rules = (
        Rule(
            rule.action is AccessAction.DENY,
            rule.networks,
            rule.countries,
            rule.asns,
            tuple(files[LISTS, path] for path in rule.lists),
        )
        for rule in wanted.access
    )
    return Guard(
        access=AccessRules.of(rules),
        silent=wanted.access_denied is AccessDenied.DROP,
        limits=AdmissionLimits(
            limits.sessions,
            limits.sessions_per_client,
            limits.connects_per_minute_per_client,
            _half(wanted) if limits.data_ports_per_client is None else limits.data_ports_per_client,
            LoginLimits(limits.login_failures, limits.login_failure_window, limits.ban),
        ),
        known=known,
        clock=clock,
        places=Places(
            None if geo.country is None else files[COUNTRIES, geo.country],
            None if geo.asn is None else files[ASNS, geo.asn],
        ),
    )


def _half(wanted: config.Application) -> int:
    return max(1, len(wanted.data_ports.origin) // 2)


def application(wanted: config.Application, shared: Shared, guard: Guard, bandwidth: Bandwidth) -> SessionTerms:
    """The terms of an application's sessions.

    :raises CannotStart: where a certificate cannot be used.
    """
    timeouts, commands, tls, headers = wanted.timeouts, wanted.commands, wanted.tls, wanted.proxy_protocol

    note: Note = partial(shared.note, application=wanted.name)

    return SessionTerms(
        name=wanted.name,
        origin=Origin(
            host=wanted.origin.host,
            port=wanted.origin.port,
            ports=wanted.data_ports,
            tls=_origin_tls(tls, wanted.origin.host),
            control_header=_HEADERS[headers.send_control],
            data_header=_HEADERS[headers.send_data],
            connect_timeout=timeouts.origin_connect,
        ),
        data=DataTerms(
            ports=shared.data_ports,
            interface=None if wanted.data_interface is None else ip_address(wanted.data_interface),
            peers=_PEERS[wanted.data_peer],
            resumption=tls.data_session_reuse is DataSessionReuse.REQUIRED,
            bandwidth=bandwidth,
            accept_timeout=timeouts.data_accept,
            stall_timeout=timeouts.data_stall,
        ),
        policy=Policy(_verbs(commands.allow), _verbs(commands.deny), commands.read_only, tls.mode is not TlsMode.OFF),
        banner=wanted.banner,
        public=None if wanted.public_address is None else shared.publics[wanted.public_address],
        deadlines={
            Deadline.LOGIN: timeouts.login,
            Deadline.IDLE: timeouts.idle,
            Deadline.GRACE: _GRACE,
        },
        proxies=headers.accept_from,
        tls=_terms(tls),
        client_tls=_client_tls(tls, lambda reason: note(TLSFailed(TLSSide.CERTIFICATE, reason))),
        guard=guard,
        note=note,
    )


def files(tls: Tls) -> tuple[object, ...]:
    """Everything that is read from the files of an application's TLS; equal objects mean that no file changed.

    :raises CannotStart: where a file cannot be used.
    """
    found: list[object] = []
    try:
        if tls.certificate is not None:
            found += certificate_files(tls.certificate, tls.key).read().certificates
        if tls.origin_certificate is not None:
            found += certificate_files(tls.origin_certificate, tls.origin_key).read().certificates
        if tls.mode is TlsMode.STRICT:
            found.append(read_authorities(None if tls.origin_ca is None else Path(tls.origin_ca)))
    except CertificateError as error:
        raise CannotStart(str(error)) from error
    return tuple(found)


def forget_unused() -> None:
    """Lets go of the contents of files that were read and that no application uses."""
    certificates.forget_unused()
    for kind in (LISTS, COUNTRIES, ASNS):
        kind.forget_unused()


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
            server_name=None if is_address(name) else name,
        )
    except CertificateError as error:
        raise CannotStart(str(error)) from error


_REQUIREMENTS = {
    TlsRequirement.NONE: Requirement.NONE,
    TlsRequirement.CONTROL: Requirement.CONTROL,
    TlsRequirement.DATA: Requirement.DATA,
}


def _verbs(words: Iterable[str]) -> frozenset[bytes]:
    return frozenset(word.encode() for word in words)


@lru_cache(maxsize=1024)
def _host(client: Address) -> Network:
    return ip_network(client)


@lru_cache(maxsize=1024)
def _network(client: Address) -> Network:
    return ip_network((client, 24 if client.version == 4 else 64), strict=False)


_HEADERS: Mapping[ProxyHeader, Callable[[proxy.ProxyInfo], bytes]] = {
    ProxyHeader.OFF: lambda ends: b"",
    ProxyHeader.V1: proxy.version_1,
    ProxyHeader.V2: proxy.version_2,
}

_PEERS: Mapping[DataPeer, Callable[[Address], Network | None]] = {
    DataPeer.ADDRESS: _host,
    DataPeer.NETWORK: _network,
    DataPeer.ANY: lambda client: None,
}
