"""Access rules: the first rule that matches a client decides. A look-up takes no longer with more networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from gateway.addresses import Address, Network
from gateway.guard.access_files import AccessFile
from gateway.guard.lists import NetworkList
from gateway.guard.places import Place


@attrs.frozen
class Rule:
    """A rule for the clients that any of its parts names."""

    denies: bool
    networks: tuple[Network, ...] = ()
    countries: tuple[str, ...] = ()
    asns: tuple[int, ...] = ()
    lists: tuple[AccessFile[NetworkList], ...] = ()


@attrs.frozen
class Match:
    """The match of a rule.

    :param rank: the rule's place among all.
    :param network: the network that holds the client; None where its country or AS number matched.
    :param list: the file that names the network; None where the rule itself does.
    """

    rank: int
    denies: bool
    network: Network | None = None
    list: str | None = None


@attrs.frozen
class AccessRules:
    """The rules in their order.

    A question takes one look-up for each length of prefix, at most 33 or 129 (IPv6), and as many for each list.
    """

    _networks: Mapping[int, Mapping[int, Mapping[int, Match]]]  # by version, bits behind the prefix, prefix
    _lists: tuple[tuple[Match, AccessFile[NetworkList]], ...]
    _countries: Mapping[str, Match]
    _asns: Mapping[int, Match]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> AccessRules:
        """Prepares the rules, in a time that grows with the number of networks."""
        networks: dict[int, dict[int, dict[int, Match]]] = {4: {}, 6: {}}
        lists: list[tuple[Match, AccessFile[NetworkList]]] = []
        countries: dict[str, Match] = {}
        asns: dict[int, Match] = {}
        # Of two rules for the same network, country or number, the second is never reached.
        for rank, rule in enumerate(rules):
            for network in rule.networks:
                shift = network.max_prefixlen - network.prefixlen
                prefixes = networks[network.version].setdefault(shift, {})
                prefixes.setdefault(int(network.network_address) >> shift, Match(rank, rule.denies, network))
            match = Match(rank, rule.denies)
            lists += ((match, file) for file in rule.lists)
            for country in rule.countries:
                countries.setdefault(country, match)
            for asn in rule.asns:
                asns.setdefault(asn, match)
        return cls(networks, tuple(lists), countries, asns)

    def denying(self, address: Address, place: Place) -> Match | None:
        """The match by which a client is denied; None where it may come in."""
        first = min(self._matches(address, place), key=lambda match: match.rank, default=None)
        return first if first is not None and first.denies else None

    def _matches(self, address: Address, place: Place) -> Iterator[Match]:
        number = int(address)
        for shift, prefixes in self._networks[address.version].items():
            if (match := prefixes.get(number >> shift)) is not None:
                yield match
        for match, file in self._lists:
            if (network := file.content.holding(address)) is not None:
                yield Match(match.rank, match.denies, network, file.path)
        for named in (self._countries.get(place.country or ""), self._asns.get(place.asn or 0)):
            if named is not None:
                yield named
