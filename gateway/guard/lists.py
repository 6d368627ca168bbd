"""Lists of networks in files, such as the block lists that are published: one network a line."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import attrs

from gateway.addresses import Address, Network
from gateway.files import read_regular
from gateway.guard.access_files import AccessFileError, FileKind

_BITS = {4: 32, 6: 128}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_PREFIXES = {version: {str(length): length for length in range(bits + 1)} for version, bits in _BITS.items()}
_MAPPED = 0xFFFF  # the first 96 bits of ::ffff:0:0/96, RFC 4291 section 2.5.5.2

_Numbers = dict[int, dict[int, set[int]]]  # by version, and bits behind the prefix: the prefixes


@attrs.frozen(eq=False)
class NetworkList:
    """The networks of one list. A look-up takes one step for each length of prefix, at most 33 or 129 (IPv6)."""

    _prefixes: Mapping[int, Mapping[int, set[int]]] = attrs.field(repr=False)

    @classmethod
    def of(cls, lines: Iterable[str], name: str) -> NetworkList:
        """Reads lines: a network or an address each, comments behind ``#`` or ``;``.

        :param name: the list's name, for mistakes.
        :raises AccessFileError: where a line is no network.
        """
        found: _Numbers = {4: {}, 6: {}}
        for number, line in enumerate(lines, 1):
            entry = line.partition("#")[0].partition(";")[0].strip()
            if entry:
                try:
                    version, shift, prefix = _network(entry)
                except ValueError:
                    shown = json.dumps(entry[:80])
                    reason = f"{shown} is not a network like 192.0.2.0/24 or 2001:db8::/32"
                    raise AccessFileError(f"{name}:{number}: {reason}") from None
                prefixes = found[version].get(shift)
                if prefixes is None:
                    prefixes = found[version][shift] = set()
                prefixes.add(prefix)
        return cls({version: dict(sorted(prefixes.items())) for version, prefixes in found.items()})

    def __len__(self) -> int:
        return sum(len(prefixes) for by_shift in self._prefixes.values() for prefixes in by_shift.values())

    def holding(self, address: Address) -> Network | None:
        """The narrowest network that holds an address."""
        number = int(address)
        for shift, prefixes in self._prefixes[address.version].items():
            prefix = number >> shift
            if prefix in prefixes:
                kind = IPv4Network if address.version == 4 else IPv6Network
                return kind((prefix << shift, _BITS[address.version] - shift))
        return None


def _network(entry: str) -> tuple[int, int, int]:
    """The version, the number of bits behind the prefix, and the prefix.

    The usual forms are read without objects of ``ipaddress``, which would take ten times as long.

    :raises ValueError: where the text is no network.
    """
    version = 6 if ":" in entry else 4
    host, slash, length = entry.partition("/")
    bits = _PREFIXES[version].get(length) if slash else _BITS[version]
    if bits is None:  # a mask, or a mistake
        network = ip_network(entry, strict=False)
        number, bits = int(network.network_address), network.prefixlen
    else:
        try:
            number = int.from_bytes(socket.inet_pton(_FAMILIES[version], host), "big")
        except OSError:
            raise ValueError("not an address") from None
    if version == 6 and bits >= 96 and number >> 32 == _MAPPED:
        version, bits, number = 4, bits - 96, number & 0xFFFFFFFF
    shift = _BITS[version] - bits
    return version, shift, number >> shift


def _read(path: str) -> NetworkList:
    # Only comments may hold other than ASCII, in whatever encoding.
    text = read_regular(Path(path)).decode("utf-8-sig", errors="replace")
    return NetworkList.of(text.split("\n"), path)


LISTS = FileKind(_read)
