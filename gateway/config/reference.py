"""The reference of keys, as the documentation lists them."""

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

import attrs
from attrs import frozen

from gateway.config.keys import key, table_in, tables
from gateway.config.values import quoted


@frozen
class Entry:
    """A key.

    :param form: the form of its value.
    :param default: in TOML; "left out" where that has a meaning of its own; None where the key is required.
    """

    key: str
    form: str
    default: str | None
    doc: str


@frozen
class Section:
    """A table and its path, which is "" for the outermost."""

    path: str
    doc: str
    entries: tuple[Entry, ...]


def reference() -> Iterator[Section]:
    """All tables, in the order in which a file would hold them. A table is not an entry of the one around it."""
    for path, table in tables():
        entries = (_entry(path, one) for one in attrs.fields(table) if table_in(one.type) is None)
        yield Section(path, inspect.getdoc(table) or "", tuple(entries))


def _entry(path: str, attribute: "attrs.Attribute[Any]") -> Entry:
    name = key(attribute)
    default = None if attribute.default is attrs.NOTHING else _toml(attribute.default)
    return Entry(name, _form(attribute.type), default, attribute.metadata["doc"])


def _form(kind: Any) -> str:
    first = get_args(kind)[0] if get_args(kind) else None
    if get_origin(kind) is Annotated:
        return str(get_args(kind)[1].text)
    if get_origin(kind) is tuple:
        return f"list: {_form(first)}"
    if first is not None:  # X | None
        return _form(first)
    if issubclass(kind, Enum):
        return " | ".join(quoted(member.value) for member in kind)
    return "true | false"


def _toml(value: object) -> str:
    match value:
        case None:
            return "left out"
        case bool():
            return str(value).lower()
        case Enum():
            return quoted(value.value)
        case ():
            return "[]"
        case _:
            return f"{value:g}"
