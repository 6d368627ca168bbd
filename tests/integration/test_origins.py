"""vsftpd, ProFTPD and Pure-FTPd behind the gateway.

No server is configured for the gateway, and, but for one recipe, each takes data connections only from the address of
its control connection: rewriting must be enough. The client and the gateway have different addresses, as in practice.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import attrs
import pytest

from tests.kit.capture import Protect
from tests.kit.clients import FTP, lftp, logged_in, run
from tests.kit.content import MEBIBYTE, LargeContent, content, contents, digest_of, tree
from tests.kit.conversation import Conversation
from tests.kit.gateway import RunningGateway, application
from tests.kit.ports import take
from tests.kit.servers import EXAMPLE_ADDRESS, SPECTRUM_RECIPE, Daemon, Server, proftpd, pure_ftpd, vsftpd
from tests.kit.servers.requirements import require

HOST = "127.0.0.21"
CLIENT = "127.0.0.9"
PORTS = take(200)
PUBLIC_PORTS = take(200)
LARGE = LargeContent(32 * MEBIBYTE)


@attrs.frozen
class Origin:
    """A server, and how it is set up."""

    name: str
    daemon: Daemon
    settings: Mapping[str, str] = MappingProxyType({})


# Debian ships vsftpd like this. Its PASV then answers 0,0,0,0, whatever pasv_address says.
TRAP = {**SPECTRUM_RECIPE, "listen": "NO", "listen_ipv6": "YES", "listen_address6": f"::ffff:{HOST}"}

ORIGINS = [
    Origin("vsftpd", vsftpd),
    Origin("vsftpd by Spectrum's recipe", vsftpd, SPECTRUM_RECIPE),
    Origin("vsftpd in Debian's trap", vsftpd, TRAP),
    Origin("ProFTPD", proftpd),
    Origin("Pure-FTPd", pure_ftpd),
]


@pytest.fixture(params=ORIGINS, ids=lambda origin: origin.name)
def origin(request: pytest.FixtureRequest) -> Origin:
    chosen: Origin = request.param
    require(chosen.daemon.name)
    return chosen


@pytest.fixture
def server(origin: Origin, root: Path) -> Iterator[Server]:
    with origin.daemon(root, HOST, passive_ports=PORTS, settings=origin.settings) as running:
        yield running


@pytest.fixture
def running(server: Server, protect: Protect) -> RunningGateway:
    return protect(application(server.address, PORTS), also=(EXAMPLE_ADDRESS,))


@pytest.fixture(params=["EPSV", "PASV"])
def passive(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Session = Callable[[], contextlib.AbstractContextManager[FTP]]


@pytest.fixture
def session(server: Server, running: RunningGateway, passive: str) -> Session:
    def begin() -> contextlib.AbstractContextManager[FTP]:
        return logged_in(running.address, passive, user=server.user, password=server.password, source=CLIENT)

    return begin


def named_in_227(address: tuple[str, int], server: Server) -> str:
    with logged_in(address, user=server.user, password=server.password) as ftp:
        return ftplib.parse227(ftp.sendcmd("PASV"))[0]


def test_the_address_in_the_227(origin: Origin, server: Server, running: RunningGateway) -> None:
    theirs = {"vsftpd by Spectrum's recipe": EXAMPLE_ADDRESS, "vsftpd in Debian's trap": "0.0.0.0"}
    assert named_in_227(server.address, server) == theirs.get(origin.name, HOST)
    assert named_in_227(running.address, server) == "127.0.0.1"


def test_guesses_that_do_not_wait_for_a_late_answer(server: Server, running: RunningGateway) -> None:
    for _ in range(5):
        with Conversation.to(running.address) as client:
            assert client.reply().startswith(b"220")
            assert client.ask(b"USER " + server.user.encode()).startswith(b"331")
            client.send(b"PASS guess\r\n")
    assert running.journal.wait("clientBanned")["failures"] == 5
    with Conversation.to(running.address) as client:
        assert client.reply().startswith(b"421 Too many failed logins")


def test_ftplib(root: Path, running: RunningGateway, session: Session) -> None:
    with session() as ftp:
        for size in (0, 1, 65536, MEBIBYTE):
            sent = content(size)
            assert ftp.storbinary("STOR file", io.BytesIO(sent)).startswith("226")
            assert ftp.get("file") == sent
        ftp.storbinary("STOR file", io.BytesIO(sent[4096:]), rest=4096)
        assert ftp.get("file", rest=5000) == sent[5000:]
        ftp.storbinary("APPE file", io.BytesIO(b"more"))
        assert (root / "file").read_bytes() == sent + b"more"
        ftp.storbinary("STOU", io.BytesIO(b"unique"))
        ftp.mkd("folder")
        ftp.rename("file", "folder/two words")
        assert ftp.size("folder/two words") == MEBIBYTE + 4
        assert ftp.sendcmd("MDTM folder/two words").startswith("213 ")
        assert "folder/two words" in ftp.nlst("folder")
        assert set(ftp.nlst()) - {".", ".."} == {path.name for path in root.iterdir()}
        ftp.delete("folder/two words")
        ftp.rmd("folder")
        for command in ("RETR missing", "RETR missing/file", "STOR missing/file"):
            with pytest.raises(ftplib.error_perm, match=r"55[0-9]"):
                ftp.transfercmd(command)
        assert ftp.sendcmd("STAT")
        assert ftp.sendcmd("HELP")
    assert running.journal.wait("disconnect")["outcome"] == "quit"
    complete = running.journal.all("dataChannel", outcome="complete")
    assert len(complete) == 2 * 4 + 4 + 2
    assert {channel["dataClient"] for channel in complete} == {CLIENT}


def test_large_files(root: Path, session: Session) -> None:
    with (root / "download").open("wb") as file:
        file.writelines(LARGE.blocks())
    with session() as ftp:
        blocks = LARGE.blocks()
        at_hand = bytearray()

        def compare(received: bytes) -> None:
            while len(at_hand) < len(received):
                at_hand.extend(next(blocks))
            assert at_hand.startswith(received)
            del at_hand[: len(received)]

        ftp.retrbinary("RETR download", compare, MEBIBYTE)
        assert not at_hand
        assert next(blocks, None) is None
        with (root / "download").open("rb") as upload:
            ftp.storbinary("STOR upload", upload, MEBIBYTE)
        assert digest_of(root / "upload") == digest_of(root / "download")


@pytest.mark.parametrize("daemon", [vsftpd, proftpd, pure_ftpd], ids=lambda daemon: daemon.name)
def test_a_file_is_whole_when_its_completion_arrives(daemon: Daemon, root: Path, protect: Protect) -> None:
    """One hundred of each on one session, one behind the other: nothing is waited for but the reply."""
    require(daemon.name)
    with daemon(root, HOST, passive_ports=PORTS) as server:
        running = protect(application(server.address, PORTS))
        with logged_in(running.address, user=server.user, password=server.password) as ftp:
            ftp.voidcmd("TYPE I")
            for number in range(100):
                sent = content(number * 499, number)
                with ftp.transfercmd(f"STOR {number}") as data:
                    data.sendall(sent)
                ftp.voidresp()
                assert (root / str(number)).read_bytes() == sent
                with ftp.transfercmd(f"RETR {number}") as data:
                    data.shutdown(socket.SHUT_WR)  # ProFTPD's completion waits for the client's end of file
                    assert ftp.getresp().startswith("226")
                    with data.makefile("rb") as file:
                        assert file.read() == sent
        running.journal.wait("dataChannel", 200, outcome="complete")


def test_abort(root: Path, session: Session) -> None:
    """As curl and lftp do it: vsftpd does not listen for an ABOR while it can send."""
    with (root / "endless").open("wb") as file:
        file.truncate(64 * MEBIBYTE)
    (root / "small").write_bytes(b"small")
    with session() as ftp:
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd("RETR endless") as data:
            data.recv(1000)
        ftp.putcmd("ABOR")
        while not ftp.getmultiline().startswith(("225", "226")):
            pass  # 426, or what else ends the transfer
        assert ftp.get("small") == b"small"


def test_curl(server: Server, root: Path, here: Path, running: RunningGateway, passive: str) -> None:
    require("curl")
    (here / "upload").write_bytes(content(300_000))
    host, port = running.address
    url = f"ftp://{host}:{port}/new/file"
    common = ["curl", "-q", "-sS", "--user", f"{server.user}:{server.password}"]
    common += ["--disable-epsv", "--no-ftp-skip-pasv-ip"] if passive == "PASV" else []
    put = run(*common, "--ftp-create-dirs", "--upload-file", "upload", url, directory=here)
    assert put.returncode == 0, put.stderr
    get = run(*common, "--output", "download", url, directory=here)
    assert get.returncode == 0, get.stderr
    assert (here / "download").read_bytes() == (root / "new" / "file").read_bytes() == content(300_000)
    listing = run(*common, "--list-only", f"ftp://{host}:{port}/new/", directory=here)
    assert b"file" in listing.stdout.split()


@pytest.mark.parametrize("in_bulk", [False, True], ids=["one by one", "in bulk"])
def test_lftp(server: Server, root: Path, here: Path, running: RunningGateway, passive: str, in_bulk: bool) -> None:
    # Pure-FTPd puts _ in the place of a space in front of a name.
    tree(here / "tree", 30, leading_spaces=server.name != "pure-ftpd")
    process = lftp(
        running.address,
        "mirror -R --parallel=4 tree copy; mirror --parallel=4 copy back",
        here,
        user=server.user,
        password=server.password,
        passive=passive,
        in_bulk=in_bulk,
    )
    assert process.returncode == 0, process.stderr
    assert contents(root / "copy") == contents(here / "back") == contents(here / "tree")


def test_mapped_ports(server: Server, root: Path, protect: Protect, passive: str) -> None:
    (root / "file").write_bytes(b"content")
    running = protect(application(server.address, PORTS, public_ports=PUBLIC_PORTS))
    with logged_in(running.address, passive, user=server.user, password=server.password) as ftp:
        assert ftp.makepasv()[1] in PUBLIC_PORTS
        assert ftp.get("file") == b"content"
