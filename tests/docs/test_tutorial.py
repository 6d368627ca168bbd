"""The tutorial: its commands are run, and their output is compared."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.blocks import README, ROOT, Block, blocks
from tests.docs.terminal import Terminal, pattern
from tests.kit.programs import demo_ports
from tests.kit.servers.requirements import require

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the demo's ports are mapped elsewhere")


@pytest.fixture
def terminals() -> Iterator[ExitStack]:
    """What runs in terminals, and ends with the test; until then nobody else has the demo's ports."""
    require("curl")
    with demo_ports(), ExitStack() as stack:
        yield stack


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a transcript, and the lines that it is said to write."""
    assert block.lines[0].startswith("$ "), f"{block.place} does not begin with a command"
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *expected = part.splitlines()
        yield command, expected


def test_tutorial(terminals: ExitStack, tmp_path: Path) -> None:
    demo, seen, ran = None, 0, 0
    for block in blocks(ROOT / "docs" / "tutorial.rst"):
        match block.language, block.caption:
            case _, "Terminal 1":
                first, *lines = block.lines
                if first.startswith("$ "):
                    demo, seen = Terminal.run(f"exec {first[2:]}", tmp_path), 0
                    terminals.callback(demo.stop)
                assert demo is not None
                if first == "^C":
                    demo.stop()
                seen = demo.wait_for(lines if first[0] in "$^" else block.lines, seen)
            case "console", "Terminal 2":
                for command, expected in commands(block):
                    output = Terminal.run(command, tmp_path).output()
                    told = "\n".join([f"{block.place}: $ {command}", *expected, "wrote:", output])
                    assert re.fullmatch(pattern(expected), output), told
                    ran += 1
            case "toml", name:
                (tmp_path / name).write_text(block.text)
            case language, _:
                assert language != "console", f"{block.place} says in no terminal"
    assert seen
    assert ran


def test_the_readme_says_what_the_demo_answers(terminals: ExitStack, tmp_path: Path) -> None:
    demo = Terminal.run("exec ftp-gateway demo", tmp_path)
    terminals.callback(demo.stop)
    demo.wait_for(["...", "... ftp-gateway ready: ..."])
    asked = re.findall(r"^ +(curl .*)$", README.read_text(), re.MULTILINE)
    assert asked
    for command in asked:
        curl = Terminal.run(command, tmp_path)
        assert curl.output().startswith("Welcome.")
        assert curl.process.returncode == 0
