"""Strict structuring: the TOML's tables, arrays and values become the classes of `keys`, or are refused.

Nothing is coerced: 5 is not "5", and true is not 1. A hook raises ValueError with the text of the mistake, and cattrs
notes the path on its way out.
"""

import datetime
import math
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import BaseValidationError, IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from gateway.addresses import PortMap
from gateway.config.keys import key, table_in
from gateway.config.values import Endpoint, File, port_range, quoted

_TOML_TYPES = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
    datetime.datetime: "a date",
    datetime.date: "a date",
    datetime.time: "a time",
}

Hook = Callable[[Any, Any], Any]


def converter(directory: Path) -> Converter:
    """A converter that structures a document; relative file names are relative to the directory."""
    strict = Converter()

    def array(value: object, kind: Any) -> tuple[Any, ...]:
        item = get_args(kind)[0]
        if not isinstance(value, list):
            raise _must_be("an array of tables, each under [[ ]]" if table_in(kind) else "an array", value)
        found, wrong = [], []
        for index, element in enumerate(value):
            try:
                found.append(strict.structure(element, item))
            except (ValueError, BaseValidationError) as error:
                error.add_note(IterableValidationNote("", index, item))
                wrong.append(error)
        if wrong:
            raise IterableValidationError("", wrong, kind)
        return tuple(found)

    def formed(value: object, kind: Any) -> Any:
        form = get_args(kind)[1]
        return form.read(strict.structure(value, form.written))

    def file(value: object, kind: Any) -> str:
        name: str = formed(value, kind)
        return name if name == "-" else str(directory / name)

    def endpoints(value: object, kind: Any) -> tuple[Any, ...]:
        return array(value, kind) if isinstance(value, list) else (strict.structure(value, Endpoint),)

    def data_ports(value: object, kind: Any) -> PortMap:
        if isinstance(value, dict):
            ports: PortMap = table(PortMap)(value, kind)
            return ports
        mirrored = strict.structure(value, range)
        return PortMap(mirrored, mirrored)

    def table(kind: type) -> Hook:
        overrides: dict[str, Any] = {one.name: override(rename=key(one)) for one in attrs.fields(kind)}
        read: Hook = make_dict_structure_fn(kind, strict, _cattrs_forbid_extra_keys=True, **overrides)

        def hook(value: object, kind: Any) -> Any:
            return read(_expected("a table", dict, value), kind)

        return hook

    # Where several hooks fit a type, the one registered last is used.
    strict.register_structure_hook(bool, lambda value, _: _expected("a boolean", bool, value))
    strict.register_structure_hook(int, lambda value, _: _expected("an integer", int, value))
    strict.register_structure_hook(float, _number)
    strict.register_structure_hook(str, lambda value, _: _expected("a string", str, value))
    strict.register_structure_hook(Enum, _choice)
    strict.register_structure_hook_factory(attrs.has, table)
    strict.register_structure_hook(range, lambda value, _: port_range(strict.structure(value, str)))
    strict.register_structure_hook(PortMap, data_ports)
    strict.register_structure_hook_func(_is_array, array)
    strict.register_structure_hook_func(lambda kind: kind == tuple[Endpoint, ...], endpoints)
    strict.register_structure_hook_func(_is_formed, formed)
    strict.register_structure_hook_func(lambda kind: kind == File, file)
    return strict


def _is_array(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _is_formed(kind: Any) -> bool:
    return get_origin(kind) is Annotated


def _choice(value: object, kind: type[Enum]) -> Enum:
    try:
        return kind(value)
    except ValueError:
        *others, last = (quoted(member.value) for member in kind)
        shown = quoted(value) if isinstance(value, str) else _TOML_TYPES[type(value)]
        raise ValueError(f"must be {', '.join(others)} or {last}, not {shown}") from None


def _number(value: object, _: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _must_be("a number", value)
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _expected(name: str, kind: type, value: object) -> Any:
    if type(value) is not kind:
        raise _must_be(name, value)
    return value


def _must_be(wanted: str, value: object) -> ValueError:
    return ValueError(f"must be {wanted}, not {_TOML_TYPES[type(value)]}")
