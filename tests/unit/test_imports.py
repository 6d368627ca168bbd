"""The imports: they point down only, and the language and the judge need only the standard library and attrs."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import gateway
import origin

# What each room may import of ours, besides itself. ``data`` knows nothing of FTP.
ROOMS: dict[str, set[str]] = {
    "gateway.addresses": set(),
    "gateway.files": set(),
    "gateway.machine": set(),
    "gateway.pids": set(),
    "gateway.threads": set(),
    "gateway.ftp": {"gateway.addresses"},
    "gateway.session": {"gateway.addresses", "gateway.ftp", "gateway.machine", "gateway.observe"},
    "gateway.observe": set(),
    "gateway.tls": {"gateway.addresses", "gateway.files"},
    "gateway.guard": {"gateway.addresses", "gateway.files"},
    "gateway.net": {"gateway.addresses", "gateway.threads", "gateway.tls"},
    "gateway.data": {"gateway.addresses", "gateway.machine", "gateway.net"},
    "gateway.origins": {"gateway.addresses", "gateway.net", "gateway.tls"},
    "gateway.relay": {
        "gateway.addresses",
        "gateway.data",
        "gateway.ftp",
        "gateway.guard",
        "gateway.net",
        "gateway.observe",
        "gateway.origins",
        "gateway.session",
        "gateway.tls",
    },
    "gateway.config": {"gateway.addresses", "gateway.files", "gateway.ftp", "gateway.guard", "gateway.tls"},
    "gateway.applications": {
        "gateway.addresses",
        "gateway.config",
        "gateway.data",
        "gateway.files",
        "gateway.guard",
        "gateway.net",
        "gateway.observe",
        "gateway.origins",
        "gateway.relay",
        "gateway.session",
        "gateway.threads",
        "gateway.tls",
    },
    "gateway.service": {
        "gateway.applications",
        "gateway.config",
        "gateway.net",
        "gateway.observe",
        "gateway.threads",
    },
    "gateway.demo": {"gateway.config", "gateway.tls", "origin"},
    "gateway.tap": {"gateway.config", "gateway.demo", "gateway.net", "gateway.observe", "gateway.service"},
    "gateway.cli": {"gateway.config", "gateway.files", "gateway.pids"},
    "origin": set(),
}
PURE = {"gateway.ftp", "gateway.session"}
MAY_HAVE_THE_REACTOR = {"gateway.tap", "gateway.cli"}


@attrs.frozen
class Import:
    """One imported name.

    :param place: where, for people.
    :param room: whose file it is in.
    :param name: with its module's before it.
    """

    place: str
    room: str
    name: str

    @property
    def of(self) -> str:
        """The room that it is of; what is not ours is known by its top-level package."""
        return room_of(self.name) if self.name.split(".")[0] in ("gateway", "origin") else self.name.split(".")[0]


def room_of(module: str) -> str:
    """The room that a module of ours, or a name in it, is in."""
    return ".".join(module.split(".")[: 1 if module.startswith("origin") else 2])


def files() -> Iterator[tuple[str, Path]]:
    """Every module of ours, but for the empty one at the top."""
    for package in (gateway, origin):
        assert package.__file__ is not None
        root = Path(package.__file__).parent
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root.parent).with_suffix("").parts
            if "dropin" not in parts and parts != ("gateway", "__init__"):
                yield ".".join(part for part in parts if part != "__init__"), path


def imports() -> Iterator[Import]:
    """Every import in every file, wherever it stands."""
    for module, path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                yield Import(f"{path.name}:{node.lineno}", room_of(module), name)  # type: ignore[attr-defined]


IMPORTS = list(imports())


def test_every_room_is_known() -> None:
    assert {room_of(module) for module, _ in files()} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room: str) -> None:
    ours = [found for found in IMPORTS if found.room == room and found.of in ROOMS and found.of != room]
    assert [found for found in ours if found.of not in ROOMS[room]] == []
    assert {found.of for found in ours} == ROOMS[room], "the table allows what nobody needs"


def test_the_rooms_are_in_an_order() -> None:
    seen: set[str] = set()
    while lowest := {room for room, below in ROOMS.items() if below <= seen} - seen:
        seen |= lowest
    assert seen == set(ROOMS)


@pytest.mark.parametrize("room", sorted(PURE))
def test_the_language_and_the_judge_are_pure(room: str) -> None:
    below = {found.name for found in IMPORTS if found.room == room and found.of == "gateway.observe"}
    assert all(name.startswith("gateway.observe.records.") for name in below), (
        "of the observers, their language alone"
    )
    allowed = {*sys.stdlib_module_names, "attrs", *ROOMS} - {"asyncio", "select", "selectors", "socket", "time"}
    assert [found for found in IMPORTS if found.room == room and found.of not in allowed] == []


def test_the_reactor_is_had_at_the_top_alone() -> None:
    reactors = {found.room for found in IMPORTS if found.name == "twisted.internet.reactor"}
    assert reactors <= MAY_HAVE_THE_REACTOR
