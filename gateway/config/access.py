"""The checks of `application.access` and `geo`: their keys together, and the files that they name."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.config.values import on_one_line
from gateway.guard.access_files import AccessFileError, FileKind
from gateway.guard.lists import LISTS
from gateway.guard.places import ASNS, COUNTRIES

_NEEDED = (("countries", "country"), ("asns", "asn"))


def mistakes(applications: Sequence[Sequence[Mapping[str, Any]]], geo: Mapping[str, Any]) -> Iterator[str]:
    """The mistakes between the keys, and in the files, as `path: text`.

    :param applications: each application's rules: their keys that could be read, or were left out.
    :param geo: the keys of `geo` that could be read, or were left out.
    """
    told: dict[str, str | None] = {}  # the mistake in each list: several rules may name the same one
    for index, rules in enumerate(applications):
        for place, rule in enumerate(rules):
            path = f"application[{index}].access[{place}]"
            for key, database in _NEEDED:
                if rule.get(key) and geo.get(database, "unreadable") is None:
                    yield f"{path}.{key}: needs geo.{database}"
            for number, file in enumerate(rule.get("lists", ())):
                if file not in told:
                    told[file] = _mistake(LISTS, file)
                if told[file]:
                    yield f"{path}.lists[{number}]: {told[file]}"
    for key, kind in (("country", COUNTRIES), ("asn", ASNS)):
        if geo.get(key) is not None and (mistake := _mistake(kind, geo[key])):
            yield f"geo.{key}: {mistake}"


def _mistake(kind: FileKind[Any], file: str) -> str | None:
    try:
        kind.read(file)
    except AccessFileError as error:
        return on_one_line(str(error))
    return None
