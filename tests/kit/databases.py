"""Databases of countries and AS numbers, in MaxMind's format, as each vendor fills it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet


def database(path: Path, entries: Mapping[str, Any], version: int = 6) -> Path:
    """Writes a database of entries, by network.

    :param version: 6 for addresses of both kinds, 4 for IPv4 alone.
    """
    writer = MMDBWriter(version, ipv4_compatible=version == 6)
    for network, entry in entries.items():
        writer.insert_network(IPSet([network]), entry)
    writer.to_db_file(str(path))
    return path


def country_database(path: Path, countries: Mapping[str, str]) -> Path:
    """Writes a database of countries, by network, as MaxMind does."""
    return database(path, {network: {"country": {"iso_code": country}} for network, country in countries.items()})


def asn_database(path: Path, asns: Mapping[str, int]) -> Path:
    """Writes a database of AS numbers, by network, as MaxMind does."""
    return database(path, {network: {"autonomous_system_number": asn} for network, asn in asns.items()})
