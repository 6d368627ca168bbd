"""The configurations, command lines and file names on the pages: the program accepts them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from gateway import config
from gateway.tap import Options
from tests.docs.blocks import PAGES, README, ROOT, blocks
from tests.docs.units import SERVICE
from tests.kit.certificates import certificates
from tests.kit.databases import asn_database, country_database

ALL = [README, *PAGES]
CONFIGURATIONS = [
    block for page in ALL for block in blocks(page) if block.language == "toml" and block.caption != "wrong.toml"
]
COMMAND_LINES = [
    match[1]
    for page in [*ALL, SERVICE]
    for match in re.finditer(r"\btwistd .*ftp-gateway (--[^`\n]*)", page.read_text().replace("\\\n", ""))
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the files are that configurations name."""
    pair = certificates().server
    shutil.copy(pair.certificate, tmp_path / "fullchain.pem")
    shutil.copy(pair.key, tmp_path / "privkey.pem")
    shutil.copy(certificates().ca, tmp_path / "internal-ca.pem")
    (tmp_path / "blocked.txt").touch()
    country_database(tmp_path / "GeoLite2-Country.mmdb", {"203.0.113.0/24": "DE"})
    asn_database(tmp_path / "GeoLite2-ASN.mmdb", {"203.0.113.0/24": 64496})
    return tmp_path


@pytest.mark.parametrize("place", range(len(CONFIGURATIONS)), ids=lambda place: CONFIGURATIONS[place].place)
def test_configuration(place: int, directory: Path) -> None:
    text = CONFIGURATIONS[place].text
    for elsewhere in ("/etc/letsencrypt/live/ftp.example.com/", "/var/lib/GeoIP/"):  # certbot's, and geoipupdate's
        text = text.replace(elsewhere, "")
    if text.startswith("[application."):  # it goes on where the one before it ended
        text = CONFIGURATIONS[place - 1].text + text
    warnings = config.warnings(config.parse(text, directory))
    # The page that has this mode says the same beside it.
    assert len(warnings) == ('mode = "passthrough"' in text)
    assert all(warning.startswith("application[0].tls.mode: ") for warning in warnings)


def test_the_examples_are_of_one_server() -> None:
    """The tutorial and the README protect the same server."""
    readme, tutorial = (
        next(config.parse(block.text, Path("/")) for block in CONFIGURATIONS if block.place.startswith(page))
        for page in ("README.rst", "tutorial.rst")
    )
    assert readme == tutorial


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_line(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gateway.toml").write_text(CONFIGURATIONS[0].text)
    monkeypatch.chdir(tmp_path)
    Options().parseOptions(shlex.split(line.replace("/etc/ftp-gateway/", "")))


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_file_names(page: Path) -> None:
    named = re.findall(r"``((?:gateway|origin|tests|docs|\.ci)/[\w./-]*)``", page.read_text())
    built = {"docs/_build"}
    assert [name for name in named if name not in built and not (ROOT / name).exists()] == []


def test_every_configuration_is_found() -> None:
    assert {block.place.partition(":")[0] for block in CONFIGURATIONS} >= {"README.rst", "tutorial.rst"}
    assert len(COMMAND_LINES) >= 4


def test_the_readme_is_plain() -> None:
    """Package indexes render it with docutils alone."""
    core = pytest.importorskip("docutils.core")
    core.publish_doctree(README.read_text(), settings_overrides={"halt_level": 2, "report_level": 5})


def test_the_readme_runs_the_tests_as_ci_does() -> None:
    (command,) = re.findall(r"^ +(python3 -m venv .*tox)$", README.read_text(), re.MULTILINE)
    assert f"\n{command}\n" in (ROOT / ".ci" / "run").read_text()
