"""What the tutorial says is what happens: its commands are run, and what they write is compared."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import README, ROOT, Block, blocks
from tests.docs.terminal import Terminal, pattern
from tests.programs import demo_ports
from tests.servers.requirements import require

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the demo's ports are mapped elsewhere")

DEMO = "ftp-gateway demo"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Terminal]:
    require("curl")
    with demo_ports():
        terminal = Terminal.run(f"exec {DEMO}", tmp_path)
        try:
            yield terminal
        finally:
            terminal.stop()


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a transcript, and the lines that it is said to write."""
    assert block.lines[0].startswith("$ "), f"{block.place} does not begin with a command"
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *expected = part.splitlines()
        yield command, expected


def follow_demo(block: Block, demo: Terminal, seen: int) -> int:
    """Compares what terminal 1 is said to show with what the demo has written since; gives how much was seen."""
    lines = list(block.lines)
    if lines[0] == f"$ {DEMO}":
        del lines[0]
    elif lines[0] == "^C":
        demo.stop()
        del lines[0]
    return demo.wait_for(lines, seen)


def test_tutorial(demo: Terminal, tmp_path: Path) -> None:
    seen = ran = 0
    for block in blocks(ROOT / "docs" / "tutorial.rst"):
        match block.language, block.caption:
            case _, "Terminal 1":
                seen = follow_demo(block, demo, seen)
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


def test_the_readme_says_what_the_demo_answers(demo: Terminal, tmp_path: Path) -> None:
    demo.wait_for(["...", "... ftp-gateway ready: ..."])
    asked = re.findall(r"^ +(curl .*)$", README.read_text(), re.MULTILINE)
    assert asked
    for command in asked:
        curl = Terminal.run(command, tmp_path)
        assert curl.output().startswith("Welcome.")
        assert curl.process.returncode == 0
