"""lftp through the gateway to the embedded origin: whole trees, several sessions at a time, commands in bulk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from origin import Origin
from tests.kit.capture import Protect
from tests.kit.clients import lftp
from tests.kit.content import MEBIBYTE, content, contents, tree
from tests.kit.gateway import RunningGateway, application
from tests.kit.ports import take

PORTS = take(100)
FILES = 300

# pyftpdlib's MFMT, from Python 3.12 on
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")


@pytest.fixture
def running(root: Path, protect: Protect) -> Iterator[RunningGateway]:
    users = {"user": "secret"}
    with Origin(root, listen=("127.0.0.2", 0), passive_ports=PORTS, users=users, writable=True) as origin:
        yield protect(application(origin.address, PORTS))


@pytest.mark.parametrize("passive", ["EPSV", "PASV"])
@pytest.mark.parametrize("in_bulk", [False, True], ids=["one by one", "in bulk"])
def test_mirror_there_and_back(root: Path, here: Path, running: RunningGateway, passive: str, in_bulk: bool) -> None:
    tree(here / "tree", FILES)
    there = lftp(running.address, "mirror -R --parallel=4 tree copy", here, passive=passive, in_bulk=in_bulk)
    assert there.returncode == 0, there.stderr
    assert contents(root / "copy") == contents(here / "tree")

    back = lftp(running.address, "mirror --parallel=4 copy back", here, passive=passive, in_bulk=in_bulk)
    assert back.returncode == 0, back.stderr
    assert contents(here / "back") == contents(here / "tree")
    sessions = len(running.journal.all("connect"))  # at least: which of them it opens anew is lftp's own affair
    assert sessions >= 2 * 4
    running.journal.wait("disconnect", sessions, outcome="quit")
    assert {channel["outcome"] for channel in running.journal.all("dataChannel")} == {"complete"}


def test_transfers_go_on_where_they_broke_off(root: Path, here: Path, running: RunningGateway) -> None:
    whole = content(300_000)
    (root / "download").write_bytes(whole)
    (here / "download").write_bytes(whole[:123_456])
    (here / "upload").write_bytes(whole)
    (root / "upload").write_bytes(whole[:123_456])
    process = lftp(running.address, "get -c download; put -c upload", here)
    assert process.returncode == 0, process.stderr
    assert (here / "download").read_bytes() == whole
    assert (root / "upload").read_bytes() == whole
    directions = {(channel["toClient"], channel["toOrigin"]) for channel in running.journal.all("dataChannel")}
    assert directions == {(300_000 - 123_456, 0), (0, 300_000 - 123_456)}


def test_one_file_in_four_pieces_at_a_time(root: Path, here: Path, running: RunningGateway) -> None:
    """Each piece but the last is cut short by the client."""
    (root / "file").write_bytes(content(16 * MEBIBYTE))
    process = lftp(running.address, "pget -n 4 file", here)
    assert process.returncode == 0, process.stderr
    assert (here / "file").read_bytes() == (root / "file").read_bytes()
    assert len(running.journal.all("connect")) == 4
