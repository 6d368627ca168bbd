"""Access rules: the first rule that matches a client decides."""

import timeit
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.addresses import Address
from gateway.guard.access import AccessRules, Match, Rule
from gateway.guard.access_files import AccessFile
from gateway.guard.lists import NetworkList
from gateway.guard.places import UNKNOWN, Place


def deny(*networks: str) -> Rule:
    return Rule(True, tuple(map(ip_network, networks)))


def allow(*networks: str) -> Rule:
    return Rule(False, tuple(map(ip_network, networks)))


def denying(rules: list[Rule], client: str) -> str | None:
    match = AccessRules.of(rules).denying(ip_address(client), UNKNOWN)
    return None if match is None else str(match.network)


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
def test_the_first_match_decides(rules: list[Rule], client: str, network: str | None) -> None:
    assert denying(rules, client) == network


# Countries, AS numbers, lists

CLIENT = ip_address("203.0.113.9")
HERE = Place("DE", 64496)


def listed(*networks: str, path: str = "list") -> AccessFile[NetworkList]:
    return AccessFile(path, NetworkList.of(networks, path))


EVERYWHERE = ip_network("203.0.0.0/8", strict=False)
SELF = ip_network("203.0.113.9")


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (Rule(True, countries=("FR", "DE")), Match(0, True)),
        (Rule(True, countries=("FR",)), None),
        (Rule(True, asns=(64500, 64496)), Match(0, True)),
        (Rule(True, asns=(64500,)), None),
        (Rule(True, lists=(listed("203.0.113.0/24"),)), Match(0, True, ip_network("203.0.113.0/24"), "list")),
        (Rule(True, lists=(listed("203.0.114.0/24"),)), None),
        (Rule(True, lists=(listed("::/0"), listed("203.0.113.9", path="other"))), Match(0, True, SELF, "other")),
        # Any of a rule's kinds matches. A network is told first.
        (Rule(True, (ip_network("10.0.0.0/8"),), ("DE",), (1,), (listed("::/0"),)), Match(0, True)),
        (Rule(True, (EVERYWHERE,), ("DE",), (64496,), (listed("203.0.113.9"),)), Match(0, True, EVERYWHERE)),
        (Rule(True, (), ("DE",), (64496,), (listed("203.0.113.9"),)), Match(0, True, SELF, "list")),
    ],
)
def test_each_kind_matches(rule: Rule, match: Match | None) -> None:
    assert AccessRules.of([rule]).denying(CLIENT, HERE) == match
    allowing, all_others = attrs.evolve(rule, denies=False), Rule(True, countries=("DE",))
    denied = AccessRules.of([allowing, all_others]).denying(CLIENT, HERE) is not None
    assert denied == (match is None)


KINDS = [
    Rule(True, networks=(ip_network("203.0.113.0/24"),)),
    Rule(True, countries=("DE",)),
    Rule(True, asns=(64496,)),
    Rule(True, lists=(listed("203.0.113.9"),)),
]


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_the_first_match_decides_over_all_kinds(first: Rule, second: Rule) -> None:
    allowing = attrs.evolve(first, denies=False)
    assert AccessRules.of([allowing, second]).denying(CLIENT, HERE) is None
    found = AccessRules.of([second, allowing]).denying(CLIENT, HERE)
    assert found is not None and found.rank == 0


def test_a_place_that_is_not_known_matches_nothing() -> None:
    rules = AccessRules.of([Rule(True, countries=("DE",), asns=(64496,))])
    assert rules.denying(CLIENT, UNKNOWN) is None
    assert rules.denying(CLIENT, Place("DE", None)) == rules.denying(CLIENT, Place(None, 64496)) == Match(0, True)


def test_another_content_of_a_list_holds_at_once() -> None:
    file = listed("203.0.113.9")
    rules = AccessRules.of([Rule(True, lists=(file,))])
    assert rules.denying(CLIENT, UNKNOWN) is not None
    file.content = NetworkList.of(["203.0.113.10"], "list")
    assert rules.denying(CLIENT, UNKNOWN) is None


# Few bits that differ, so that networks meet.
NETWORKS = st.tuples(st.integers(0, 255), st.integers(22, 32)).map(
    lambda drawn: IPv4Network((0xC0000200 | drawn[0] << 2, drawn[1]), strict=False)
)
RULES = st.lists(st.builds(Rule, st.booleans(), st.lists(NETWORKS, max_size=3).map(tuple)), max_size=8)


@given(RULES, st.integers(0, 1023).map(lambda low: IPv4Address(0xC0000200 | low)))
def test_the_same_as_rule_by_rule(rules: list[Rule], client: Address) -> None:
    wanted = next((rule.denies for rule in rules if any(client in network for network in rule.networks)), False)
    assert (AccessRules.of(rules).denying(client, UNKNOWN) is not None) == wanted


def test_many_rules_cost_no_more_than_few() -> None:
    def rules(count: int) -> AccessRules:
        return AccessRules.of(deny(str(IPv4Network(((10 << 24) + (number << 8), 24)))) for number in range(count))

    def seconds(rules: AccessRules) -> float:
        clients = [IPv4Address((10 << 24) + (number << 8) + 1) for number in range(0, 60_000, 60)]
        return min(timeit.repeat(lambda: [rules.denying(client, UNKNOWN) for client in clients], number=1, repeat=5))

    few, many = rules(50), rules(50_000)
    assert many.denying(ip_address("10.195.79.1"), UNKNOWN) is not None
    assert seconds(many) < 100 * seconds(few)  # rule by rule it would be 1000 times
