"""The package's units of systemd: systemd understands them, and the pages describe them correctly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks
from tests.docs.units import SERVICE, SOCKET
from tests.kit.servers.requirements import require

OPERATIONS = ROOT / "docs" / "operations.rst"
OVERRIDE = "/etc/systemd/system/ftp-gateway.service.d/override.conf"


def analyze(*arguments: str | Path) -> str:
    """What systemd-analyze says of files; it must find no fault."""
    require("systemd-analyze")
    done = subprocess.run(("systemd-analyze", *arguments), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def units(tmp_path: Path) -> tuple[Path, Path]:
    """Both, where the programs that they run are those of this environment."""
    installed = SERVICE.read_text().replace("/opt/ftp-gateway/bin", str(Path(sys.executable).parent))
    (tmp_path / SERVICE.name).write_text(installed)
    (tmp_path / SOCKET.name).write_text(SOCKET.read_text())
    return tmp_path / SERVICE.name, tmp_path / SOCKET.name


def test_systemd_understands_them(units: tuple[Path, Path]) -> None:
    assert analyze("verify", *units) == ""


def test_the_exposure_is_what_the_guide_says() -> None:
    (told,) = re.findall(r'"exposure": ([\d.]+)', (ROOT / "docs" / "conf.py").read_text())
    analyze("security", "--offline=true", f"--threshold={round(float(told) * 10)}", SERVICE)


def test_the_exposure_with_a_socket_is_less(units: tuple[Path, Path]) -> None:
    (override,) = (block for block in blocks(OPERATIONS) if block.caption == OVERRIDE)
    units[0].write_text(units[0].read_text() + override.text)
    (told,) = re.findall(r'"exposure": ([\d.]+)', (ROOT / "docs" / "conf.py").read_text())
    analyze("verify", *units)
    analyze("security", "--offline=true", f"--threshold={round(float(told) * 10) - 1}", units[0])


def test_the_socket_is_the_one_of_the_example() -> None:
    (name,) = re.findall(r"^FileDescriptorName=(.*)$", SOCKET.read_text(), re.MULTILINE)
    (example,) = (block for block in blocks(OPERATIONS) if "systemd:domain" in block.text)
    assert f'listen = "systemd:domain=INET:name={name}"' in example.lines
