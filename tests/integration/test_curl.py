"""curl through the gateway to the embedded origin."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.session.policy import ACTIVE_REFUSED
from origin import Origin
from tests.kit.capture import Protect
from tests.kit.clients import run
from tests.kit.content import MEBIBYTE, content
from tests.kit.gateway import RunningGateway, application
from tests.kit.ports import take
from tests.kit.servers.requirements import require

PORTS = take(100)
# With --no-ftp-skip-pasv-ip it dials the host that the 227 names.
PASSIVE = {"EPSV": ["--ftp-pasv"], "PASV": ["--disable-epsv", "--no-ftp-skip-pasv-ip"]}
CONTENT = content(300_000)

Curl = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def origin(root: Path) -> Iterator[Origin]:
    require("curl")
    with Origin(
        root, listen=("127.0.0.2", 0), passive_ports=PORTS, users={"user": "secret"}, writable=True
    ) as running:
        yield running


@pytest.fixture
def running(origin: Origin, protect: Protect) -> RunningGateway:
    return protect(application(origin.address, PORTS))


@pytest.fixture(params=PASSIVE)
def curl(request: pytest.FixtureRequest, here: Path) -> Curl:
    """curl by itself, as it asks for data connections with EPSV, and with PASV."""

    def call(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return run("curl", "-q", "-sS", *PASSIVE[request.param], *arguments, directory=here)

    return call


@pytest.fixture
def url(running: RunningGateway) -> str:
    host, port = running.address
    return f"ftp://user:secret@{host}:{port}"


def done(process: subprocess.CompletedProcess[bytes]) -> bytes:
    """What it wrote, where all went well."""
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_listing(curl: Curl, url: str, root: Path) -> None:
    (root / "two words").write_bytes(b"12345")
    (root / "folder").mkdir()
    assert {line.split(maxsplit=8)[-1] for line in done(curl(f"{url}/")).splitlines()} == {b"two words", b"folder"}
    assert sorted(done(curl("--list-only", f"{url}/")).splitlines()) == [b"folder", b"two words"]


def test_downloads_on_one_session(curl: Curl, url: str, root: Path, here: Path, running: RunningGateway) -> None:
    files = {"one": b"1", "two words": CONTENT, "Größe": content(50_000), "empty": b""}
    arguments = []
    for name, kept in files.items():
        (root / name).write_bytes(kept)
        arguments += ["--output", name, f"{url}/{quote(name)}"]
    done(curl(*arguments))
    assert {path.name: path.read_bytes() for path in here.iterdir()} == files
    assert len(running.journal.all("connect")) == 1


def test_upload(curl: Curl, url: str, root: Path, here: Path) -> None:
    (here / "file").write_bytes(CONTENT)
    done(curl("--upload-file", "file", f"{url}/there"))
    assert (root / "there").read_bytes() == CONTENT


def test_append(curl: Curl, url: str, root: Path, here: Path) -> None:
    (root / "there").write_bytes(b"before")
    (here / "file").write_bytes(b" and behind")
    done(curl("--append", "--upload-file", "file", f"{url}/there"))
    assert (root / "there").read_bytes() == b"before and behind"


def test_download_goes_on(curl: Curl, url: str, root: Path, here: Path) -> None:
    (root / "file").write_bytes(CONTENT)
    (here / "file").write_bytes(CONTENT[:123_456])
    done(curl("--continue-at", "-", "--output", "file", f"{url}/file"))
    assert (here / "file").read_bytes() == CONTENT


def test_upload_goes_on(curl: Curl, url: str, root: Path, here: Path) -> None:
    (root / "file").write_bytes(CONTENT[:123_456])
    (here / "file").write_bytes(CONTENT)
    done(curl("--continue-at", "-", "--upload-file", "file", f"{url}/file"))
    assert (root / "file").read_bytes() == CONTENT


def test_range(curl: Curl, url: str, root: Path, running: RunningGateway) -> None:
    """curl reads what it wants, then closes the data connection and aborts."""
    with (root / "file").open("wb") as file:
        file.write(CONTENT)
        file.truncate(64 * MEBIBYTE)
    assert done(curl("--range", "100000-199999", f"{url}/file")) == CONTENT[100_000:200_000]
    assert running.journal.wait("dataChannel")["outcome"] == "client reset"
    assert running.journal.wait("disconnect")


def test_create_dirs(curl: Curl, url: str, root: Path, here: Path) -> None:
    (here / "file").write_bytes(CONTENT)
    done(curl("--ftp-create-dirs", "--upload-file", "file", f"{url}/new/and%20newer/file"))
    assert (root / "new" / "and newer" / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("method", ["multicwd", "nocwd", "singlecwd"])
def test_ways_to_a_file(curl: Curl, url: str, root: Path, method: str) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(CONTENT)
    assert done(curl("--ftp-method", method, f"{url}/a/b/file")) == CONTENT


def test_quote(curl: Curl, url: str, root: Path) -> None:
    (root / "old").write_bytes(CONTENT)
    (root / "other").write_bytes(b"")
    done(curl("--quote", "RNFR old", "--quote", "RNTO new", "--quote", "-DELE other", "--list-only", f"{url}/"))
    assert [path.name for path in root.iterdir()] == ["new"]


def test_head(curl: Curl, url: str, root: Path) -> None:
    (root / "file").write_bytes(CONTENT)
    assert b"Content-Length: 300000" in done(curl("--head", f"{url}/file"))


def test_file_that_is_not_there(curl: Curl, url: str) -> None:
    process = curl(f"{url}/missing")
    assert process.returncode == 78  # CURLE_REMOTE_FILE_NOT_FOUND


def test_it_dials_the_public_address(here: Path, root: Path, origin: Origin, protect: Protect) -> None:
    (root / "file").write_bytes(CONTENT)
    more = 'public_address = "127.0.0.3"\ndata_interface = "127.0.0.3"'
    host, port = protect(application(origin.address, PORTS, more=more)).address
    url = f"ftp://user:secret@{host}:{port}/file"
    process = run("curl", "-q", "-sS", "--verbose", *PASSIVE["PASV"], url, directory=here)
    assert done(process) == CONTENT
    assert b"Connecting to 127.0.0.3 (127.0.0.3) port" in process.stderr


def test_active_mode_fails_at_once(here: Path, url: str, running: RunningGateway) -> None:
    process = run("curl", "-q", "-sS", "--verbose", "--ftp-port", "-", f"{url}/", directory=here)
    assert process.returncode == 30  # CURLE_FTP_PORT_FAILED
    assert process.stderr.count(b"< " + ACTIVE_REFUSED.render()) == 2
    assert [refused["verb"] for refused in running.journal.all("commandRefused")] == ["EPRT", "PORT"]
    assert running.journal.wait("disconnect")["duration"] < 5
    assert not running.journal.all("dataChannel")
