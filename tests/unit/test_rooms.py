"""Imports point down only: the language and the judge know nothing of what stands on them."""

import ast
from pathlib import Path

import pytest

import gateway

ROOMS = Path(gateway.__file__).parent
ALLOWED = {
    "ftp": {"gateway.ftp"},
    "session": {"gateway.ftp", "gateway.session"},
    "tls": {"gateway.tls"},
    "data": {"gateway.data", "gateway.tls"},
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_what_is_below_it(room: str) -> None:
    for path in (ROOMS / room).glob("*.py"):
        ours = {".".join(name.split(".")[:2]) for name in imported(path) if name.split(".")[0] == "gateway"}
        assert ours <= ALLOWED[room], path


@pytest.mark.parametrize("room", ["ftp", "session"])
def test_a_pure_room_knows_no_twisted(room: str) -> None:
    for path in (ROOMS / room).glob("*.py"):
        assert not {name for name in imported(path) if name.split(".")[0] in ("twisted", "zope", "OpenSSL")}, path
