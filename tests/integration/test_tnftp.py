"""tnftp, the `ftp` of Debian and the BSDs, through the gateway to the embedded origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from origin import Origin
from tests.kit.capture import Protect
from tests.kit.clients import run
from tests.kit.content import content
from tests.kit.gateway import RunningGateway, application
from tests.kit.ports import take
from tests.kit.servers.requirements import require

PORTS = take(50)
CONTENT = content(300_000)


@pytest.fixture
def running(root: Path, protect: Protect) -> Iterator[RunningGateway]:
    require("tnftp")
    users = {"user": "secret"}
    with Origin(root, listen=("127.0.0.2", 0), passive_ports=PORTS, users=users, writable=True) as origin:
        yield protect(application(origin.address, PORTS))


@pytest.mark.parametrize(("passive", "code"), [("epsv4 on", "229 "), ("epsv4 off", "227 ")])
def test_a_session(root: Path, here: Path, running: RunningGateway, passive: str, code: str) -> None:
    (root / "two words").write_bytes(CONTENT)
    (root / "broken off").write_bytes(CONTENT)
    (here / "broken off").write_bytes(CONTENT[:123_456])
    (here / "upload").write_bytes(CONTENT)
    host, port = running.address
    commands = [
        f"open {host} {port}",
        "user user secret",
        passive,
        "binary",
        "ls",
        'get "two words"',
        "get missing",
        'reget "broken off"',
        "put upload uploaded",
        "append upload uploaded",
        "rename uploaded renamed",
        "mkdir folder",
        "cd folder",
        "put upload",
        "nlist",
        "quit",
    ]
    process = run("tnftp", "-n", "-v", directory=here, stdin="\n".join(commands) + "\n")
    told = process.stdout.decode()
    assert process.returncode == 0, process.stderr
    assert (here / "two words").read_bytes() == CONTENT
    assert (here / "broken off").read_bytes() == CONTENT
    assert (root / "renamed").read_bytes() == CONTENT + CONTENT
    assert (root / "folder" / "upload").read_bytes() == CONTENT
    assert "\n550 No such file or directory.\n" in told
    assert code in told
    lines = told.splitlines()
    assert any(line.endswith(" two words") for line in lines)
    assert "upload" in lines
    running.journal.wait("dataChannel", 7, outcome="complete")
    assert running.journal.wait("disconnect")["outcome"] == "quit"


def test_get_and_put_by_url(root: Path, here: Path, running: RunningGateway) -> None:
    (root / "two words").write_bytes(CONTENT)
    (here / "upload").write_bytes(CONTENT)
    host, port = running.address
    url = f"ftp://user:secret@{host}:{port}/"
    get = run("tnftp", "-o", "download", f"{url}two%20words", directory=here)
    assert get.returncode == 0, get.stderr
    assert (here / "download").read_bytes() == CONTENT
    put = run("tnftp", "-u", url, "upload", directory=here)
    assert put.returncode == 0, put.stderr
    assert (root / "upload").read_bytes() == CONTENT


def test_active_mode_fails(root: Path, here: Path, running: RunningGateway) -> None:
    (root / "file").write_bytes(CONTENT)
    host, port = running.address
    process = run("tnftp", "-A", "-o", "file", f"ftp://user:secret@{host}:{port}/file", directory=here)
    assert process.returncode != 0
    assert b"Active mode is not supported; use EPSV or PASV." in process.stdout
    assert not running.journal.all("dataChannel")
