"""The reading of TOML, or of flags, into a `Config`, or into mistakes that name the path."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import attrs
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from gateway.config import checks
from gateway.config.keys import Application, Config, Geo, is_table, key, table_in
from gateway.config.structure import converter
from gateway.config.values import quoted
from gateway.files import read_regular

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_FLAG = re.compile(r"^application\[0\]\.(\w+)(?:\[\d+\])?")


class ConfigError(Exception):
    """A configuration that cannot be used.

    :param mistakes: one line each, `path.to.key: what is wrong`, or `file:line: what is wrong`.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


def load(path: Path) -> Config:
    """Reads a file; raises ConfigError. Relative file names in it are relative to its directory."""
    try:
        text = read_regular(path).decode()
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: not UTF-8 text"]) from None
    return parse(text, path.absolute().parent, str(path))


def parse(text: str, directory: Path, name: str = "gateway.toml") -> Config:
    """Reads TOML; raises ConfigError.

    :param directory: the directory that relative file names are relative to.
    :param name: the file's name, for mistakes in the syntax.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = (place and place[1]) or text.count("\n") + 1
        raise ConfigError([f"{name}:{line}: {_PLACE.sub('', str(error))}"]) from None
    except RecursionError:
        raise ConfigError([f"{name}: nested too deeply"]) from None
    except ValueError:
        raise ConfigError([f"{name}: a number has too many digits"]) from None
    return _structure(document, directory)


def from_flags(listen: Sequence[str], origin: str, data_ports: str, public_address: str | None) -> Config:
    """One application with every other key at its default; raises ConfigError, whose mistakes name the flags.

    It is named after its public address, or "ftp" without one.
    """
    table = {"name": "ftp", "listen": list(listen), "origin": origin, "data_ports": data_ports}
    if public_address is not None:
        table["public_address"] = public_address
    try:
        config = _structure({"application": [table]}, Path())
    except ConfigError as error:
        raise ConfigError(_FLAG.sub(_flag, mistake) for mistake in error.mistakes) from None
    (application,) = config.applications
    return attrs.evolve(config, applications=(attrs.evolve(application, name=public_address or "ftp"),))


def _flag(path: re.Match[str]) -> str:
    return "--" + path[1].replace("_", "-")


def _structure(document: dict[str, Any], directory: Path) -> Config:
    strict = converter(directory)
    tables = document.get("application")
    readable = [_readable(strict, Application, one) for one in _array(tables)]
    between = list(checks.mistakes(readable, _readable(strict, Geo, document.get("geo", {}))))
    if tables == []:
        between.append("application: must not be empty")
    try:
        config = strict.structure(document, Config)
    except BaseValidationError as error:
        raise ConfigError([mistake.removeprefix(".") for mistake in _mistakes(error)] + between) from None
    if between:
        raise ConfigError(between)
    return config


def _readable(strict: Converter, table: type, value: object) -> dict[str, Any]:
    """The keys of a table that can be read or were left out, even if others are wrong. So mistakes between keys are
    found in the same run as those in single keys.
    """
    found: dict[str, Any] = {}
    if not isinstance(value, dict):
        return found
    for attribute in attrs.fields(table):
        name, kind = attribute.name, attribute.type
        if name not in value:
            if attribute.default is not attrs.NOTHING and not is_table(kind):
                found[name] = attribute.default
        elif is_table(kind):
            found[name] = _readable(strict, kind, value[name])
        elif (each := table_in(kind)) is not None:
            found[name] = [_readable(strict, each, one) for one in _array(value[name])]
        elif "alone" not in attribute.metadata:
            with suppress(ValueError, BaseValidationError):
                found[name] = strict.structure(value[name], kind)
    return found


def _array(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _mistakes(error: BaseException, path: str = "") -> Iterator[str]:
    """The mistakes that cattrs found, as `path: text`."""
    match error:
        case BaseValidationError():
            for inner in error.exceptions:
                yield from _mistakes(inner, path + _step(error.cl, inner))
        case ForbiddenExtraKeysError():
            known = [key(attribute) for attribute in attrs.fields(error.cl)]
            for unknown in sorted(error.extra_fields):
                name = unknown if _BARE_KEY.fullmatch(unknown) else quoted(unknown)
                near = get_close_matches(unknown, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"the keys here are {', '.join(known)}"
                yield f"{path}.{name}: unknown key; {hint}"
        case KeyError():
            yield f"{path}: required key is missing"
        case _:
            yield f"{path}: {error}"


def _step(table: type, error: BaseException) -> str:
    """The place of an error within a table or an array."""
    match getattr(error, "__notes__", []):
        case [AttributeValidationNote() as note]:
            return "." + key(attrs.fields_dict(table)[note.name])
        case [IterableValidationNote() as note]:
            return f"[{note.index}]"
    return ""
