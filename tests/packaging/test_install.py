"""The package that is built from the checkout: it runs wherever it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from email.message import Message
from email.parser import Parser
from ftplib import FTP
from pathlib import Path

import attrs
import pytest

from tests.kit import PATIENCE
from tests.kit.ports import take
from tests.kit.programs import NET, Program, assert_no_traceback, ready, running

CHECKOUT = Path(__file__).parents[2]
TOP_LEVEL = {"CHANGELOG.rst", "LICENSE", "MANIFEST.in", "README.rst", "pyproject.toml", "setup.cfg", "tox.ini"}

GATEWAY, ORIGIN = f"{NET}.1", f"{NET}.2"
CONTROL_PORT, *_passive = take(12)
DATA_PORTS = f"{_passive[0]}-{_passive[-1]}"

pytestmark = pytest.mark.timeout(400)  # the first one waits for two builds

IMPORT_ALL = """
import importlib, pkgutil
for package in ("gateway", "origin"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
"""


def run(*command: str | Path, directory: Path, **environment: str) -> str:
    """Runs a program that must succeed; gives what it printed."""
    done = subprocess.run(
        command, cwd=directory, env={**outside(), **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def outside() -> dict[str, str]:
    """An environment in which nothing of the checkout is found."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


@attrs.frozen
class Built:
    """What was built from a copy of the checkout.

    :param house: holds a wheel of each dependency, as the metadata of ours asks for them.
    """

    source: Path
    wheel: Path
    sdist: Path
    house: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    directory = tmp_path_factory.mktemp("build")
    source, dist, house = directory / "source", directory / "dist", directory / "house"
    ignored = [Path(line).name for line in (CHECKOUT / ".gitignore").read_text().split()]
    shutil.copytree(CHECKOUT, source, ignore=shutil.ignore_patterns(".git", *ignored))
    # The wheel is built from the sdist, so that one holds all that it takes.
    run(sys.executable, "-m", "build", "--outdir", dist, source, directory=directory)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    run(sys.executable, "-m", "pip", "wheel", "--wheel-dir", house, wheel, "setuptools >= 68", directory=directory)
    next(house.glob("protected_ftp_gateway-*")).unlink()
    return Built(source, wheel, sdist, house)


def test_the_wheel_holds_every_module_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name and ".data/" not in name}
    expected = {name for name in files(built.source) if name.startswith(("gateway/", "origin/"))}
    expected.remove("gateway/dropin/ftp_gateway_plugin.py")
    assert names == expected | {"twisted/plugins/ftp_gateway_plugin.py"}
    assert "gateway/py.typed" in names


def test_the_wheel_brings_the_units(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        data = {name.partition(".data/data/")[2]: name for name in wheel.namelist() if ".data/" in name}
        units = built.source / "docs" / "systemd"
        assert set(data) == {f"share/ftp-gateway/{name}" for name in files(units)}
        for name, held in data.items():
            assert wheel.read(held) == (units / Path(name).name).read_bytes()


def metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(wheel.read(name).decode())


def test_the_wheel_says_what_it_needs_and_under_what_licence(built: Built) -> None:
    found = metadata(built)
    configured = ConfigParser()
    configured.read(CHECKOUT / "setup.cfg")
    needed = configured["options"]["install_requires"].replace(" ", "").split()
    assert needed == [text for text in found.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert found["Requires-Python"] == ">=3.11"
    assert found["License-File"] == "LICENSE"
    assert "Protected FTP gateway" in str(found.get_payload())


def test_the_sdist_holds_the_checkout(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    missing = files(built.source) - held
    assert not {name for name in missing if "/" in name or name in TOP_LEVEL}
    assert not [name for name in held if name.endswith(".pyc")]


@contextmanager
def serving(python: Path, root: Path, directory: Path) -> Iterator[tuple[Program, str]]:
    """The embedded origin, and where it is."""
    command = (
        *(python, "-m", "origin", "--listen", f"{ORIGIN}:0", "--root", root),
        *("--passive-ports", DATA_PORTS, "--anonymous"),
    )
    with running(*command, directory=directory, env=outside()) as origin:
        yield origin, origin.out.wait("origin ready: ").removeprefix("origin ready: ")


@pytest.mark.parametrize("what", ["wheel", "sdist", "editable"])
def test_it_runs_in_a_fresh_environment(what: str, built: Built, tmp_path: Path) -> None:
    environment, root, directory = tmp_path / "venv", tmp_path / "root", tmp_path / "elsewhere"
    venv.create(environment, symlinks=True)
    programs = environment / "bin"
    for folder in (root, directory):
        folder.mkdir()
    (root / "hello.txt").write_bytes(b"hello")
    artifact = {"wheel": [built.wheel], "sdist": [built.sdist], "editable": ["--editable", built.source]}[what]
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    found = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(built.house)}
    run(*pip, "install", "--no-compile", *artifact, directory=directory, **found)

    run(programs / "python", "-c", IMPORT_ALL, directory=directory)
    assert re.search(r"^ +ftp-gateway +\S", run(programs / "twistd", "--help", directory=directory), re.MULTILINE)
    assert run(programs / "ftp-gateway", "--version", directory=directory).startswith("ftp-gateway ")
    endpoint = f"tcp:{CONTROL_PORT}:interface={GATEWAY}"
    with serving(programs / "python", root, directory) as (origin, address):
        flags = ("--listen", endpoint, "--origin", address, "--data-ports", DATA_PORTS)
        command = (programs / "twistd", "-n", "ftp-gateway", *flags)
        with running(*command, directory=directory, env=outside()) as program:
            ready(program)
            received: list[bytes] = []
            with FTP(timeout=PATIENCE) as ftp:
                ftp.connect(GATEWAY, CONTROL_PORT)
                ftp.login()
                ftp.retrbinary("RETR hello.txt", received.append)
                ftp.quit()
            assert b"".join(received) == b"hello"
            assert program.stop() == 0
            assert_no_traceback([*program.out.lines, *program.err.lines])
        assert origin.stop() == 0
