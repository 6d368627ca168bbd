"""Access rules: the first rule that names a client's address decides. A look-up takes no longer with more rules."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from gateway.addresses import Address, Network


@attrs.frozen
class NetworkRule:
    """A rule for the clients in some networks."""

    denies: bool
    networks: tuple[Network, ...]


@attrs.frozen
class AccessRules:
    """The rules in their order. A question takes one look-up for each length of prefix, at most 33 or 129 (IPv6)."""

    _tables: dict[int, dict[int, dict[int, tuple[int, bool, Network]]]]  # by version, bits behind the prefix, prefix

    @classmethod
    def of(cls, rules: Iterable[NetworkRule]) -> AccessRules:
        """Prepares the rules, in a time that grows with the number of networks."""
        tables: dict[int, dict[int, dict[int, tuple[int, bool, Network]]]] = {4: {}, 6: {}}
        for place, rule in enumerate(rules):
            for network in rule.networks:
                shift = network.max_prefixlen - network.prefixlen
                prefixes = tables[network.version].setdefault(shift, {})
                # A second rule for the same network is never reached.
                prefixes.setdefault(int(network.network_address) >> shift, (place, rule.denies, network))
        return cls(tables)

    def denying(self, address: Address) -> Network | None:
        """The network by which a client is denied; None where it may come in."""
        number = int(address)
        matches = (prefixes.get(number >> shift) for shift, prefixes in self._tables[address.version].items())
        first = min((match for match in matches if match is not None), default=None)
        return first[2] if first is not None and first[1] else None
