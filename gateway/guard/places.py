"""The place of a client: its country and its AS number, from databases in MaxMind's format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
import maxminddb
from maxminddb import Reader

from gateway.addresses import Address
from gateway.files import read_regular
from gateway.guard.access_files import AccessFile, AccessFileError, FileKind

T = TypeVar("T")

# The networks of a new database that are looked through for one that names a country, or an AS number.
PROBED = 1000


@attrs.frozen
class Place:
    """The place of a client.

    :param country: its country by ISO 3166-1, two letters; None where it is unknown.
    :param asn: the number of its autonomous system; None where it is unknown.
    """

    country: str | None = None
    asn: int | None = None


UNKNOWN = Place()


@attrs.frozen(eq=False)
class Database(Generic[T]):
    """A database of what is known of addresses.

    :param built: the day on which it was made, as ISO 8601 writes it.
    """

    _reader: Reader = attrs.field(repr=False)
    _pick: Callable[[Any], T | None] = attrs.field(repr=False)
    built: str

    def of(self, address: Address) -> T | None:
        """The country or the AS number of an address; None where it is unknown."""
        try:
            return self._pick(self._reader.get(address))
        except Exception:  # no IPv6 in the database; or bytes that are damaged, where anything may be raised
            return None


@attrs.frozen
class Places:
    """The databases of the gateway.

    :param countries: the database of countries; None where none is configured.
    :param asns: the database of AS numbers; None where none is configured.
    """

    countries: AccessFile[Database[str]] | None = None
    asns: AccessFile[Database[int]] | None = None

    def of(self, address: Address) -> Place:
        """The place of a client."""
        return Place(
            None if self.countries is None else self.countries.content.of(address),
            None if self.asns is None else self.asns.content.of(address),
        )


def _country(entry: Any) -> str | None:
    """The country in an entry of MaxMind's and DB-IP's databases, or of IPinfo's."""
    match entry:
        case {"country": {"iso_code": str(code)}} | {"registered_country": {"iso_code": str(code)}}:
            return code
        case {"country_code": str(code)} | {"country": str(code)} if len(code) == 2:
            return code
    return None


def _asn(entry: Any) -> int | None:
    """The AS number in an entry of MaxMind's and DB-IP's databases, or of IPinfo's."""
    match entry:
        case {"autonomous_system_number": int(number)}:
            return number
        case {"asn": str(text)} if text.startswith("AS") and text[2:].isdecimal():
            return int(text[2:])
    return None


class _Content(BytesIO):
    """The content of a file, with the attribute that maxminddb wants of a file."""

    name = ""


def _entries(reader: Reader) -> Iterator[Any]:
    """The entry of each network in turn, None where it is unknown.

    Each is a look-up, which ends in any tree. The reader's own walk would not end in a forged one whose nodes share
    their branches.
    """
    kind: type[Address] = IPv6Address if reader.metadata().ip_version == 6 else IPv4Address
    bits = kind(0).max_prefixlen
    number = 0
    while number < 1 << bits:
        entry, length = reader.get_with_prefix_len(kind(number))
        yield entry
        number += 1 << bits - length


def _read(path: str, kept: str, pick: Callable[[Any], T | None]) -> Database[T]:
    # Not mapped: a file that is cut while it is mapped kills the process with SIGBUS.
    content = _Content(read_regular(Path(path)))
    try:
        reader = maxminddb.open_database(content, maxminddb.MODE_FD)
        built = datetime.fromtimestamp(reader.metadata().build_epoch, UTC).date().isoformat()
        database = Database(reader, pick, built)
        known = any(pick(entry) is not None for entry in islice(_entries(reader), PROBED))
    except Exception:  # damaged bytes raise anything
        raise AccessFileError(f"{path} is not a database in MaxMind's format") from None
    if not known:
        raise AccessFileError(f"{path} is a database without {kept}")
    return database


COUNTRIES = FileKind(partial(_read, kept="countries", pick=_country))
ASNS = FileKind(partial(_read, kept="AS numbers", pick=_asn))
