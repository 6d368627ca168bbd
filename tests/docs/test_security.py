"""The security model: each defence that it claims names a test that exists, and each gap a key that exists."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest

from gateway.config.reference import reference
from tests.docs.blocks import PAGES, README, ROOT

PAGE = (ROOT / "docs" / "security.rst").read_text()
_TEST = r"``((?:unit/\w+/|docs/|soak/)?test_\w+\.py)::(test_\w+)``"


def section(title: str) -> str:
    """What stands under a heading, up to the next."""
    match = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n---|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None, title
    return match[1]


# What is defended, by its heading; a definition list, whose terms begin with bold words.
DEFENCES = dict(re.findall(r"^(\*\*.*)\n((?:   .*\n|\n)+)", section("What is defended"), re.MULTILINE))


def test_every_defence_is_found() -> None:
    assert len(DEFENCES) == section("What is defended").count("\n**") > 15


@pytest.mark.parametrize("defence", DEFENCES)
def test_a_defence_names_tests(defence: str) -> None:
    _, found, tests = textwrap.dedent(DEFENCES[defence]).partition("| Tests: ")
    assert found, "there is nothing to show it"
    assert re.fullmatch(rf"(?:{_TEST},?\s+)+", tests)


@pytest.mark.parametrize(("file", "name"), sorted(set(re.findall(_TEST, PAGE))))
def test_a_test_exists(file: str, name: str) -> None:
    assert function(file, name) is not None


@pytest.mark.parametrize("defence", DEFENCES)
def test_a_case_is_what_a_test_says_of_itself(defence: str) -> None:
    told = "".join(function(file, name) or "" for file, name in re.findall(_TEST, DEFENCES[defence]))
    cases = re.findall(r"CVE-\d+-\d+|(?:GHSA|RUSTSEC)[-\w]+", DEFENCES[defence])
    assert [case for case in cases if case not in told] == []


def function(file: str, name: str) -> str | None:
    """The source of a test."""
    source = (ROOT / "tests" / (file if "/" in file else f"integration/{file}")).read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return ast.get_source_segment(source, node)
    return None


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_keys_that_are_named(page: Path) -> None:
    """All of those that are written with their table."""
    keys = {f"{one.path.rpartition('.')[2]}.{entry.key}" for one in reference() for entry in one.entries}
    tables = "|".join(sorted({key.partition(".")[0] for key in keys} - {""}))
    named = re.findall(rf"``((?:{tables})\.\w+)", page.read_text())
    assert [name for name in named if name not in keys] == []
