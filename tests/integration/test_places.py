"""Access by country, AS number and list: which clients are let in, and what happens when the files change."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from gateway.applications import watching
from tests.kit.conversation import connect
from tests.kit.databases import asn_database, country_database
from tests.kit.gateway import RunningGateway, application, gateway
from tests.kit.mistakes import no_mistakes
from tests.kit.ports import scripted
from tests.kit.reactor import in_reactor, reactor
from tests.kit.scripted import ScriptedOrigin
from tests.kit.sockets import read_all

DENIED = b"421 Access from your address is denied.\r\n"
GERMAN, FRENCH, CHINESE, NOWHERE = "203.0.113.9", "198.51.100.9", "2001:db8::1", "192.0.2.9"
COUNTRIES = {"203.0.113.0/24": "DE", "198.51.100.0/24": "FR", "2001:db8::/32": "CN"}
ASNS = {"203.0.113.0/24": 64496, "198.51.100.0/24": 64497, "2001:db8::/32": 64498}
GEO = '[geo]\ncountry = "country.mmdb"\nasn = "asn.mmdb"\n'

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def header(client: str) -> bytes:
    """The PROXY header of a connection from that address."""
    if ":" in client:
        return f"PROXY TCP6 {client} 2001:db8:ffff::1 50000 21\r\n".encode()
    return f"PROXY TCP4 {client} 192.0.2.1 50000 21\r\n".encode()


@attrs.define(eq=False)
class Door:
    """A gateway behind a load balancer, and its origin."""

    running: RunningGateway
    origin: ScriptedOrigin
    directory: Path

    def denies(self, client: str) -> dict[str, Any]:
        """Checks that a client is denied; gives the event, without what all have."""
        before = len(self.running.journal.all("clientFiltered", client=client))
        with connect(self.running.address) as connection:
            connection.sendall(header(client))
            assert read_all(connection) == DENIED
        record = self.running.journal.wait("clientFiltered", before + 1, client=client)
        assert record.pop("reason") == "access"
        return {key: value for key, value in record.items() if key not in ("time", "event", "application", "client")}

    def admits(self, client: str) -> dict[str, Any]:
        """Checks that a client is let in; gives the event, without what all have."""
        before = len(self.running.journal.all("connect", client=client))
        with connect(self.running.address) as connection:
            connection.sendall(header(client))
            self.origin.accept().close()
            read_all(connection)
        record = self.running.journal.wait("connect", before + 1, client=client)
        common = ("time", "event", "application", "client", "session", "proxy")
        return {key: value for key, value in record.items() if key not in common}

    def file(self, name: str) -> str:
        return str(self.directory / name)

    def write(self, name: str, *lines: str) -> None:
        """Replaces a list, as operators should."""
        replacement = self.directory / "new"
        replacement.write_text("\n".join(lines))
        replacement.rename(self.directory / name)

    def waits(self, event: str, name: str, count: int = 1) -> dict[str, Any]:
        """Waits for so many events about a file."""
        return self.running.journal.wait(event, count, path=self.file(name))

    def goes_on(self) -> None:
        """Lets every file be looked at once more, at least."""
        for number in (1, 2):  # the look after the first one's has begun later than this call
            self.write("other.txt", f"10.0.0.{number}")
            self.waits("accessFileRead", "other.txt", number)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    """Opens a door with these rules; the directory holds databases, and a list of each name."""
    country_database(tmp_path / "country.mmdb", COUNTRIES)
    asn_database(tmp_path / "asn.mmdb", ASNS)
    (tmp_path / "blocked.txt").write_text(f"# Some\n{GERMAN}/24 ; a whole network\n2001:db8::/48\n")
    (tmp_path / "other.txt").write_text("")
    with contextlib.ExitStack() as stack:
        stack.enter_context(no_mistakes())

        def open_door(*rules: str, geo: str = GEO, more: str = "") -> Door:
            origin = stack.enter_context(ScriptedOrigin.at())
            keys = f'access = [{", ".join(rules)}]\nproxy_protocol = {{ accept_from = ["127.0.0.1"] }}\n{more}'
            toml = geo + application(origin.address, scripted(), more=keys)
            return Door(stack.enter_context(gateway(toml, tmp_path)), origin, tmp_path)

        yield open_door


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at often."""
    monkeypatch.setattr(watching, "INTERVAL", 0.02)


# Rules


def test_countries_are_denied(door: Callable[..., Door]) -> None:
    on = door('{ action = "deny", countries = ["cn", "DE"] }')
    assert on.denies(GERMAN) == {"country": "DE", "asn": 64496}
    assert on.denies(CHINESE) == {"country": "CN", "asn": 64498}
    assert on.admits(FRENCH) == {"country": "FR", "asn": 64497}
    assert on.admits(NOWHERE) == {}


def test_as_numbers_are_denied(door: Callable[..., Door]) -> None:
    on = door('{ action = "deny", asns = [64497] }', geo='[geo]\nasn = "asn.mmdb"\n')
    assert on.denies(FRENCH) == {"asn": 64497}
    assert on.admits(GERMAN) == {"asn": 64496}
    assert on.admits(NOWHERE) == {}


def test_lists_are_denied(door: Callable[..., Door]) -> None:
    on = door('{ action = "deny", lists = ["other.txt", "blocked.txt"] }', geo="")
    assert on.denies(GERMAN) == {"network": "203.0.113.0/24", "list": on.file("blocked.txt")}
    assert on.denies(CHINESE) == {"network": "2001:db8::/48", "list": on.file("blocked.txt")}
    assert on.admits("2001:db8:1::1") == on.admits(FRENCH) == {}


def test_only_some_countries_are_let_in(door: Callable[..., Door]) -> None:
    on = door('{ action = "allow", countries = ["FR"] }', '{ action = "deny", networks = ["0.0.0.0/0", "::/0"] }')
    assert on.admits(FRENCH)["country"] == "FR"
    assert on.denies(GERMAN) == {"network": "0.0.0.0/0", "country": "DE", "asn": 64496}
    assert on.denies(CHINESE) == {"network": "::/0", "country": "CN", "asn": 64498}
    assert on.denies(NOWHERE) == {"network": "0.0.0.0/0"}


KINDS = {
    "network": 'networks = ["203.0.113.0/25"]',
    "country": 'countries = ["DE"]',
    "asn": "asns = [64496]",
    "list": 'lists = ["blocked.txt"]',
}


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(KINDS, 2)))
def test_the_first_rule_decides_whatever_it_names(first: str, second: str, door: Callable[..., Door]) -> None:
    allow, deny = f'{{ action = "allow", {KINDS[first]} }}', f'{{ action = "deny", {KINDS[second]} }}'
    assert door(allow, deny).admits(GERMAN) == {"country": "DE", "asn": 64496}


def test_a_rule_matches_the_clients_that_any_of_its_kinds_names(door: Callable[..., Door]) -> None:
    on = door(f'{{ action = "deny", networks = ["{NOWHERE}"], countries = ["FR"], asns = [64498], {KINDS["list"]} }}')
    assert on.denies(NOWHERE) == {"network": f"{NOWHERE}/32"}
    assert on.denies(FRENCH) == {"country": "FR", "asn": 64497}
    assert on.denies("2001:db8:1::1") == {"country": "CN", "asn": 64498}
    assert on.denies(GERMAN)["list"] == on.file("blocked.txt")
    assert on.admits("192.0.2.10") == {}


def test_other_refusals_tell_the_place_as_well(door: Callable[..., Door]) -> None:
    on = door(more="limits = { connects_per_minute_per_client = 1 }")
    on.admits(GERMAN)
    with connect(on.running.address) as connection:
        connection.sendall(header(GERMAN))
        assert read_all(connection).startswith(b"421 Too many connections")
    record = on.running.journal.wait("clientFiltered")
    assert (record["reason"], record["country"], record["asn"]) == ("connects per minute", "DE", 64496)


# Files that change

BOTH = '{ action = "deny", lists = ["blocked.txt", "other.txt"] }'


@pytest.mark.usefixtures("quick")
def test_a_list_that_changes_is_read_again(door: Callable[..., Door]) -> None:
    on = door(BOTH, geo="")
    on.denies(GERMAN)
    on.admits(FRENCH)
    on.write("blocked.txt", FRENCH)
    assert on.waits("accessFileRead", "blocked.txt")["networks"] == 1
    assert on.denies(FRENCH) == {"network": f"{FRENCH}/32", "list": on.file("blocked.txt")}
    on.admits(GERMAN)
    assert not on.running.journal.all("accessFileRefused")


@pytest.mark.usefixtures("quick")
def test_databases_that_change_are_read_again(door: Callable[..., Door], tmp_path: Path) -> None:
    on = door('{ action = "deny", countries = ["DE"] }', '{ action = "deny", asns = [64500] }')
    on.denies(GERMAN)
    country_database(tmp_path / "new", {**COUNTRIES, "198.51.100.0/24": "DE", "203.0.113.0/24": "FR"})
    (tmp_path / "new").rename(tmp_path / "country.mmdb")
    built = on.waits("accessFileRead", "country.mmdb")["built"]
    assert len(built) == len("2026-01-31")
    assert on.denies(FRENCH) == {"country": "DE", "asn": 64497}
    assert on.admits(GERMAN) == {"country": "FR", "asn": 64496}
    asn_database(tmp_path / "new", {**ASNS, "203.0.113.0/24": 64500})
    (tmp_path / "new").rename(tmp_path / "asn.mmdb")
    on.waits("accessFileRead", "asn.mmdb")
    assert on.denies(GERMAN) == {"country": "FR", "asn": 64500}


@pytest.mark.usefixtures("quick")
def test_a_broken_list_keeps_the_old_one_and_says_so_once(door: Callable[..., Door]) -> None:
    on = door(BOTH, geo="")
    on.write("blocked.txt", FRENCH, "everyone")
    reason = on.waits("accessFileRefused", "blocked.txt")["reason"]
    assert reason == f'{on.file("blocked.txt")}:2: "everyone" is not a network like 192.0.2.0/24 or 2001:db8::/32'
    on.goes_on()
    assert len(on.running.journal.all("accessFileRefused")) == 1
    assert on.denies(GERMAN)["network"] == "203.0.113.0/24"
    on.admits(FRENCH)
    on.write("blocked.txt", FRENCH)
    on.waits("accessFileRead", "blocked.txt")
    on.denies(FRENCH)


@pytest.mark.usefixtures("quick")
def test_a_list_that_vanishes_stays_and_this_is_said_once(door: Callable[..., Door], tmp_path: Path) -> None:
    on = door(BOTH, geo="")
    (tmp_path / "blocked.txt").rename(tmp_path / "elsewhere.txt")
    reason = on.waits("accessFileRefused", "blocked.txt")["reason"]
    assert reason == f"{on.file('blocked.txt')}: No such file or directory"
    on.goes_on()
    assert len(on.running.journal.all("accessFileRefused")) == 1
    on.denies(GERMAN)
    (tmp_path / "elsewhere.txt").rename(tmp_path / "blocked.txt")
    on.waits("accessFileRead", "blocked.txt")
    on.denies(GERMAN)


@pytest.mark.usefixtures("quick")
def test_a_database_that_is_cut_in_place_keeps_the_old_one(door: Callable[..., Door], tmp_path: Path) -> None:
    """A process that had mapped the file would die of SIGBUS at the next question."""
    on = door('{ action = "deny", countries = ["DE"] }', BOTH)
    with (tmp_path / "country.mmdb").open("r+b") as file:
        file.truncate(0)
    on.denies(GERMAN)
    reason = on.waits("accessFileRefused", "country.mmdb")["reason"]
    assert reason == f"{on.file('country.mmdb')} is not a database in MaxMind's format"
    on.goes_on()
    assert len(on.running.journal.all("accessFileRefused")) == 1
    assert on.denies(GERMAN) == {"country": "DE", "asn": 64496}
    assert on.admits(FRENCH) == {"country": "FR", "asn": 64497}


def test_a_reload_reads_a_list_at_once(door: Callable[..., Door]) -> None:
    on = door(BOTH, geo="")
    on.write("blocked.txt", FRENCH)
    assert in_reactor(on.running.service.reload) == ()
    on.denies(FRENCH)
    on.admits(GERMAN)
    assert [record["path"] for record in on.running.journal.all("accessFileRead")] == [on.file("blocked.txt")]


def test_a_reload_with_a_broken_list_is_refused(door: Callable[..., Door]) -> None:
    on = door(BOTH, geo="")
    on.write("blocked.txt", "everyone")
    [mistake] = in_reactor(on.running.service.reload)
    assert mistake.startswith(f'application[0].access[0].lists[0]: {on.file("blocked.txt")}:1: "everyone" is not')
    on.denies(GERMAN)


def test_a_file_has_one_watch_however_often_it_is_named(door: Callable[..., Door]) -> None:
    on = door(BOTH, BOTH, BOTH)
    assert len(in_reactor(reactor.getDelayedCalls)) == 4  # two lists, two databases
    in_reactor(on.running.service.reload)
    assert len(in_reactor(reactor.getDelayedCalls)) == 4
