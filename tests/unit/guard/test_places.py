"""Places: the countries and AS numbers in the databases of each vendor, and databases that are damaged."""

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from gateway.guard import places
from gateway.guard.access_files import AccessFile, AccessFileError
from gateway.guard.places import ASNS, COUNTRIES, UNKNOWN, Place, Places
from tests.kit import PATIENCE
from tests.kit.databases import asn_database, country_database, database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "database.mmdb"


@pytest.mark.parametrize(
    ("entry", "country"),
    [
        ({"country": {"iso_code": "DE", "names": {"en": "Germany"}}, "registered_country": {"iso_code": "FR"}}, "DE"),
        ({"registered_country": {"iso_code": "FR"}, "continent": {"code": "EU"}}, "FR"),
        ({"country": {"names": {"en": "Nowhere"}}, "registered_country": {"iso_code": "FR"}}, "FR"),
        ({"country": "DE", "country_name": "Germany"}, "DE"),
        ({"country": "Germany", "country_code": "DE", "asn": "AS64496"}, "DE"),
        ({"country": "Germany"}, None),
        ({"continent": {"code": "EU"}}, None),
    ],
)
def test_countries(entry: dict[str, Any], country: str | None, file: Path) -> None:
    database(file, {"203.0.113.0/24": entry, "198.51.100.0/24": {"country": "XX"}})
    assert COUNTRIES.read(str(file)).of(ip_address("203.0.113.9")) == country


@pytest.mark.parametrize(
    ("entry", "asn"),
    [
        ({"autonomous_system_number": 4294967295, "autonomous_system_organization": "Example"}, 4294967295),
        ({"asn": "AS64496", "as_name": "Example"}, 64496),
        ({"asn": "64496"}, None),
        ({"asn": "ASx"}, None),
        ({}, None),
    ],
)
def test_as_numbers(entry: dict[str, Any], asn: int | None, file: Path) -> None:
    database(file, {"203.0.113.0/24": entry, "198.51.100.0/24": {"asn": "AS1"}})
    assert ASNS.read(str(file)).of(ip_address("203.0.113.9")) == asn


def test_an_address_is_asked_and_not_its_network(file: Path) -> None:
    country_database(file, {"2001:db8::1/128": "DE", "2001:db8::2/128": "FR", "203.0.113.9/32": "CN"})
    found = COUNTRIES.read(str(file))
    clients = ("2001:db8::1", "2001:db8::2", "2001:db8::3", "203.0.113.9", "203.0.113.8")
    assert [found.of(ip_address(client)) for client in clients] == ["DE", "FR", None, "CN", None]


def test_the_places_of_a_client(tmp_path: Path) -> None:
    countries = COUNTRIES.read(str(country_database(tmp_path / "country.mmdb", {"203.0.113.0/24": "DE"})))
    asns = ASNS.read(str(asn_database(tmp_path / "asn.mmdb", {"203.0.113.0/25": 64496})))
    both = Places(AccessFile("country", countries), AccessFile("asn", asns))
    assert both.of(ip_address("203.0.113.9")) == Place("DE", 64496)
    assert both.of(ip_address("203.0.113.200")) == Place("DE", None)
    assert both.of(ip_address("2001:db8::1")) == Places().of(ip_address("203.0.113.9")) == UNKNOWN


def test_a_database_without_ipv6_knows_no_ipv6(file: Path) -> None:
    database(file, {"203.0.113.0/24": {"country": {"iso_code": "DE"}}}, version=4)
    found = COUNTRIES.read(str(file))
    assert found.of(ip_address("203.0.113.9")) == "DE"
    assert found.of(ip_address("2001:db8::1")) is None


def test_the_day_on_which_it_was_made(file: Path) -> None:
    before = datetime.now(UTC).date().isoformat()
    built = COUNTRIES.read(str(country_database(file, {"203.0.113.0/24": "DE"}))).built
    assert before <= built <= datetime.now(UTC).date().isoformat()


def test_the_other_kind_of_database_is_a_mistake(file: Path) -> None:
    country_database(file, {"203.0.113.0/24": "DE"})
    with pytest.raises(AccessFileError, match=r"database\.mmdb is a database without AS numbers$"):
        ASNS.read(str(file))
    asn_database(file, {"203.0.113.0/24": 64496})
    with pytest.raises(AccessFileError, match=r"database\.mmdb is a database without countries$"):
        COUNTRIES.read(str(file))


def test_a_database_is_not_searched_to_its_end_for_its_kind(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database(file, {"198.51.100.0/24": {"continent": "EU"}, "203.0.113.0/24": {"country": "DE"}})
    assert COUNTRIES.make(str(file)).of(ip_address("203.0.113.9")) == "DE"
    monkeypatch.setattr(places, "PROBED", 1)
    with pytest.raises(AccessFileError, match="without countries"):
        COUNTRIES.make(str(file))


def test_a_file_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(AccessFileError, match=r"^/.*/database.mmdb: No such file or directory$"):
        COUNTRIES.read(str(file))
    file.mkdir()
    with pytest.raises(AccessFileError, match=r"^/.*/database.mmdb: Is a directory$"):
        COUNTRIES.read(str(file))


@pytest.mark.parametrize(
    "damage", [lambda whole: b"", lambda whole: whole[: len(whole) // 2], lambda whole: b"x" * 9999]
)
def test_a_database_that_is_none(damage: Any, file: Path) -> None:
    file.write_bytes(damage(country_database(file, {"203.0.113.0/24": "DE"}).read_bytes()))
    with pytest.raises(AccessFileError, match=r"database\.mmdb is not a database in MaxMind's format$"):
        COUNTRIES.read(str(file))


def test_damaged_bytes_raise_nothing_else(file: Path) -> None:
    """Each byte in turn: the database is refused, or knows something, or nothing."""
    whole = country_database(file, {"203.0.113.0/24": "DE", "2001:db8::/32": "FR"}).read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = COUNTRIES.make(str(file))
        except AccessFileError:
            refused += 1
        else:
            for client in ("203.0.113.9", "2001:db8::1", "192.0.2.1"):
                assert found.of(ip_address(client)) is None or len(found.of(ip_address(client)) or "") == 2
    assert refused > 0


@pytest.mark.timeout(PATIENCE)
def test_a_forged_tree_of_shared_branches_is_not_walked_to_its_end(file: Path) -> None:
    """Both branches of each node lead to the next node: there are more ways to its end than anybody can walk."""
    whole = database(file, {"::/128": {"country": "DE"}}).read_bytes()
    with maxminddb.open_database(str(file)) as reader:
        nodes, bits = reader.metadata().node_count, reader.metadata().record_size
    tree = b"".join((following << bits | following).to_bytes(bits // 4, "big") for following in range(1, nodes + 1))
    file.write_bytes(tree + whole[len(tree) :])
    assert (nodes, bits) == (128, 24)
    with pytest.raises(AccessFileError, match="without countries"):
        COUNTRIES.make(str(file))
