"""Access rules: the first rule that names a client's address decides."""

import timeit
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.addresses import Address
from gateway.guard.access import AccessRules, NetworkRule


def deny(*networks: str) -> NetworkRule:
    return NetworkRule(True, tuple(map(ip_network, networks)))


def allow(*networks: str) -> NetworkRule:
    return NetworkRule(False, tuple(map(ip_network, networks)))


def denying(rules: list[NetworkRule], client: str) -> str | None:
    network = AccessRules.of(rules).denying(ip_address(client))
    return None if network is None else str(network)


@pytest.mark.parametrize(
    ("rules", "client", "network"),
    [
        ([], "203.0.113.9", None),
        ([deny("203.0.113.0/24")], "203.0.113.0", "203.0.113.0/24"),
        ([deny("203.0.113.0/24")], "203.0.113.255", "203.0.113.0/24"),
        ([deny("203.0.113.0/24")], "203.0.114.0", None),
        ([deny("203.0.113.0/24")], "203.0.112.255", None),
        ([deny("203.0.113.9")], "203.0.113.9", "203.0.113.9/32"),
        ([deny("0.0.0.0/0")], "203.0.113.9", "0.0.0.0/0"),
        ([deny("0.0.0.0/0")], "2001:db8::1", None),
        ([deny("::/0")], "203.0.113.9", None),
        ([deny("::/0")], "2001:db8::1", "::/0"),
        ([deny("2001:db8::/32")], "2001:db8:ffff::1", "2001:db8::/32"),
        ([deny("2001:db8::/32")], "2001:db9::1", None),
        ([deny("2001:db8::1")], "2001:db8::1", "2001:db8::1/128"),
        ([deny("2001:db8::/32", "203.0.113.0/24")], "203.0.113.9", "203.0.113.0/24"),
        # Not the narrowest rule decides, but the first.
        ([allow("203.0.113.0/24"), deny("203.0.113.9")], "203.0.113.9", None),
        ([deny("203.0.113.0/24"), allow("203.0.113.9")], "203.0.113.9", "203.0.113.0/24"),
        ([allow("203.0.113.9"), deny("0.0.0.0/0")], "203.0.113.9", None),
        ([allow("203.0.113.9"), deny("0.0.0.0/0")], "203.0.113.8", "0.0.0.0/0"),
        ([deny("10.0.0.0/8"), allow("10.0.0.0/8")], "10.1.1.1", "10.0.0.0/8"),
        ([allow("10.0.0.0/8"), deny("10.0.0.0/8")], "10.1.1.1", None),
    ],
)
def test_the_first_match_decides(rules: list[NetworkRule], client: str, network: str | None) -> None:
    assert denying(rules, client) == network


# Few bits that differ, so that networks meet.
NETWORKS = st.tuples(st.integers(0, 255), st.integers(22, 32)).map(
    lambda drawn: IPv4Network((0xC0000200 | drawn[0] << 2, drawn[1]), strict=False)
)
RULES = st.lists(st.builds(NetworkRule, st.booleans(), st.lists(NETWORKS, max_size=3).map(tuple)), max_size=8)


@given(RULES, st.integers(0, 1023).map(lambda low: IPv4Address(0xC0000200 | low)))
def test_the_same_as_rule_by_rule(rules: list[NetworkRule], client: Address) -> None:
    wanted = next((rule.denies for rule in rules if any(client in network for network in rule.networks)), False)
    assert (AccessRules.of(rules).denying(client) is not None) == wanted


def test_many_rules_cost_no_more_than_few() -> None:
    def rules(count: int) -> AccessRules:
        return AccessRules.of(deny(str(IPv4Network(((10 << 24) + (number << 8), 24)))) for number in range(count))

    def seconds(rules: AccessRules) -> float:
        clients = [IPv4Address((10 << 24) + (number << 8) + 1) for number in range(0, 60_000, 60)]
        return min(timeit.repeat(lambda: [rules.denying(client) for client in clients], number=1, repeat=5))

    few, many = rules(50), rules(50_000)
    assert many.denying(ip_address("10.195.79.1")) is not None
    assert seconds(many) < 10 * seconds(few)  # rule by rule it would be 1000 times
