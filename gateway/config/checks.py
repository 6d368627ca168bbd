"""The checks of keys that are right by themselves, but not together: mistakes, and advice."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations, product
from pathlib import Path
from typing import Any

from attrs import frozen

from gateway.addresses import Address, span
from gateway.config import access, security
from gateway.config.keys import Config, TlsMode
from gateway.config.values import Listening, address, meet, quoted

_IPV4_SETTINGS = Path("/proc/sys/net/ipv4")
_PRIVATE = [IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]  # RFC 1918 section 3


@frozen
class _Claim:
    """The ports and names that one application takes of the host, as far as they could be read.

    :param ports: the public data ports.
    :param bound: the addresses on which they are bound.
    """

    path: str
    name: str | None
    listens: tuple[Listening, ...]
    ports: range
    bound: tuple[Address | None, ...]

    @classmethod
    def of(cls, index: int, keys: Mapping[str, Any]) -> "_Claim":
        listens = tuple(map(Listening.parse, keys.get("listen", ())))
        ports = keys["data_ports"].public if "data_ports" in keys else range(0)
        # A key that could not be read is not a key that was left out: then nobody knows where the ports are bound.
        interface = keys.get("data_interface", "")
        bound = tuple(one.address for one in listens) if interface is None else (address(interface),)
        return cls(f"application[{index}]", keys.get("name"), listens, ports, bound)

    def overlaps(self, other: "_Claim") -> bool:
        """Whether a data port of one application can be a data port of the other."""
        return (
            self.ports.start < other.ports.stop
            and other.ports.start < self.ports.stop
            and any(meet(*pair) for pair in product(self.bound, other.bound))
        )

    def holds(self, listening: Listening) -> bool:
        """Whether a data port can be where the endpoint listens."""
        return listening.port in self.ports and any(meet(listening.address, one) for one in self.bound)

    def owner(self, speaker: "_Claim") -> str:
        return "" if self is speaker else f" of {self.path}"


def mistakes(applications: Sequence[Mapping[str, Any]], geo: Mapping[str, Any]) -> Iterator[str]:
    """The mistakes between keys, as `path: text`.

    :param applications: each application's keys that could be read, defaults included.
    :param geo: likewise, the keys of the table `geo`.
    """
    claims = [_Claim.of(index, keys) for index, keys in enumerate(applications)]
    listens = [(claim, listening) for claim in claims for listening in claim.listens]

    for first, second in combinations(claims, 2):
        if first.name is not None and first.name == second.name:
            yield f"{second.path}.name: {quoted(first.name)} is already the name of {first.path}"
    for (first, one), (second, other) in combinations(listens, 2):
        if one.collides(other):
            place = f"{quoted(one.text)}{first.owner(second)}"
            yield f"{second.path}.listen: {quoted(other.text)} collides with {place}"
    for claim, (owner, listening) in product(claims, listens):
        if claim.holds(listening):
            place = f"{quoted(listening.text)}{owner.owner(claim)}"
            yield f"{claim.path}.data_ports: port {listening.port} is taken by {place}"
    for first, second in combinations(claims, 2):
        if first.overlaps(second):
            ranges = f"{span(second.ports)} overlap {span(first.ports)} of {first.path}"
            yield f"{second.path}.data_ports: the public ports {ranges} on the same address"
    for claim, keys in zip(claims, applications, strict=True):
        commands = keys.get("commands", {})
        for verb in sorted({*commands.get("allow", ())} & {*commands.get("deny", ())}):
            yield f"{claim.path}.commands.deny: {verb} is also in allow"
        tls = keys.get("tls", {})
        yield from security.mistakes(f"{claim.path}.tls", tls)
        if tls.get("mode") is TlsMode.PASSTHROUGH and "data_ports" in keys and not keys["data_ports"].mirrored:
            yield f'{claim.path}.data_ports: must be one range in mode "passthrough", which rewrites no reply'
    rules = [keys.get("access", ()) for keys in applications]
    yield from access.mistakes(rules, geo)


def warnings(config: Config, ipv4_settings: Path = _IPV4_SETTINGS) -> tuple[str, ...]:
    """The settings that can be run but may not be meant, as `path: text`.

    :param ipv4_settings: the directory of Linux's `net.ipv4` settings; where it is missing, they cause no warning.
    """
    return tuple(_advice(config, ipv4_settings))


def _advice(config: Config, ipv4_settings: Path) -> Iterator[str]:
    outgoing = _outgoing_ports(ipv4_settings)
    listens = []
    for index, application in enumerate(config.applications):
        path = f"application[{index}]"
        listens += [(path, Listening.parse(text)) for text in application.listen]
        ports = application.data_ports.public
        if not outgoing.isdisjoint(ports):
            yield (
                f"{path}.data_ports: outgoing connections may take some of the ports {span(ports)}, which are in "
                "net.ipv4.ip_local_port_range; add them to net.ipv4.ip_local_reserved_ports"
            )
        yield from security.advice(f"{path}.tls", application.tls)
        for network in application.proxy_protocol.accept_from:
            if not network.prefixlen:
                yield (
                    f"{path}.proxy_protocol.accept_from: every host in {network} can pose as any client; "
                    "name only the load balancers"
                )
        public = address(application.public_address or "")
        if isinstance(public, IPv4Address) and (public.is_loopback or any(public in net for net in _PRIVATE)):
            yield f"{path}.public_address: {quoted(str(public))} cannot be reached from the internet"
    for (_, one), (path, other) in combinations(listens, 2):
        # Linux's net.ipv6.bindv6only and similar settings decide.
        if one.port and one.port == other.port and {str(one.address), str(other.address)} == {"0.0.0.0", "::"}:
            yield (
                f"{path}.listen: {quoted(one.text)} and {quoted(other.text)} collide if :: also accepts IPv4 "
                "connections, as it usually does"
            )


def _outgoing_ports(ipv4_settings: Path) -> set[int]:
    """The ports that the kernel chooses from for outgoing connections; none where it does not say."""
    try:
        low, high = (ipv4_settings / "ip_local_port_range").read_text().split()
        reserved = (ipv4_settings / "ip_local_reserved_ports").read_text().strip()
    except OSError:
        return set()
    chosen = set(range(int(low), int(high) + 1))
    for first, _, last in (part.partition("-") for part in reserved.split(",") if part):
        chosen -= set(range(int(first), int(last or first) + 1))
    return chosen
