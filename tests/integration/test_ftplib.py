"""Python's ftplib through the gateway to the embedded origin."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ftplib
import hashlib
import io
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.data.channel import DataChannel
from gateway.data.pump import CopyPump, Pump, SplicePump
from gateway.session.policy import ACTIVE_REFUSED
from origin import Origin
from tests.kit import PATIENCE
from tests.kit.capture import Protect
from tests.kit.clients import FTP, logged_in
from tests.kit.content import MEBIBYTE, content
from tests.kit.gateway import RunningGateway, application, names
from tests.kit.ports import take

HOST = "127.0.0.2"
USERS = {"user": "secret"}
PORTS = take(200)
PUBLIC_PORTS = take(200)
READ = 1 << 18  # bytes of one read or write of a large transfer

# pyftpdlib's MFMT, from Python 3.12 on
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")


@pytest.fixture
def origin(root: Path) -> Iterator[Origin]:
    with Origin(root, listen=(HOST, 0), passive_ports=PORTS, users=USERS, writable=True) as running:
        yield running


@pytest.fixture
def running(origin: Origin, protect: Protect) -> RunningGateway:
    return protect(application(origin.address, PORTS))


@pytest.fixture(params=["EPSV", "PASV"])
def passive(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ftp(running: RunningGateway) -> Iterator[FTP]:
    with logged_in(running.address) as session:
        yield session


@pytest.fixture(params=[SplicePump, CopyPump], ids=["splice", "copy"])
def pumps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[Pump]:
    """Lets every data channel use this kind of pump; gives those in use so far."""
    if request.param is SplicePump and sys.platform != "linux":
        pytest.skip("splice(2) is Linux's")
    made: list[Pump] = []

    def make(plain: bool) -> Pump:
        made.append(request.param())
        return made[-1]

    monkeypatch.setattr("gateway.relay.channels.DataChannel", partial(DataChannel, make_pump=make))
    return made


class TestLogin:
    def test_login_and_quit(self, running: RunningGateway) -> None:
        with FTP() as ftp:
            assert ftp.connect(*running.address).startswith("220 ")
            assert ftp.login("user", "secret").startswith("230 ")
            assert ftp.pwd() == "/"
            assert ftp.quit().startswith("221 ")
        assert running.journal.wait("disconnect")["outcome"] == "quit"

    def test_wrong_password(self, running: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("origin.listener.FTPHandler.auth_failed_timeout", 0)
        with FTP() as ftp:
            ftp.connect(*running.address)
            with pytest.raises(ftplib.error_perm, match="530"):
                ftp.login("user", "wrong")
            assert ftp.login("user", "secret").startswith("230 ")

    def test_banner(self, origin: Origin, protect: Protect) -> None:
        running = protect(application(origin.address, PORTS, more='banner = "ready"'))
        with FTP() as ftp:
            assert ftp.connect(*running.address) == "220 ready"


class TestContent:
    @pytest.mark.parametrize("size", [0, 1, 65536])
    def test_both_ways(self, root: Path, running: RunningGateway, pumps: list[Pump], passive: str, size: int) -> None:
        sent = content(size)
        with logged_in(running.address, passive) as ftp:
            assert ftp.storbinary("STOR there", io.BytesIO(sent)).startswith("226 ")
            assert (root / "there").read_bytes() == sent
            assert ftp.get("there") == sent
        stored, fetched = (running.journal.wait("dataChannel", count) for count in (1, 2))
        assert (stored["toOrigin"], stored["toClient"], stored["outcome"]) == (size, 0, "complete")
        assert (fetched["toOrigin"], fetched["toClient"], fetched["outcome"]) == (0, size, "complete")
        assert len(pumps) == 4  # one for each direction

    def test_large_download(
        self, root: Path, large_file: Path, large_digest: str, ftp: FTP, pumps: list[Pump]
    ) -> None:
        os.link(large_file, root / "large")
        digest = hashlib.sha256()
        assert ftp.retrbinary("RETR large", digest.update, READ).startswith("226 ")
        assert digest.hexdigest() == large_digest
        assert pumps

    def test_large_upload(self, root: Path, large_file: Path, large_digest: str, ftp: FTP, pumps: list[Pump]) -> None:
        with large_file.open("rb") as file:
            assert ftp.storbinary("STOR large", file, READ).startswith("226 ")
        # It is complete once the 226 is here: nothing is waited for.
        with (root / "large").open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == large_digest
        (root / "large").unlink()
        assert pumps

    def test_ascii(self, root: Path, ftp: FTP) -> None:
        (root / "text").write_bytes(b"one\ntwo\n\nend")
        lines: list[str] = []
        ftp.retrlines("RETR text", lines.append)
        assert lines == ["one", "two", "", "end"]
        ftp.storlines("STOR stored", io.BytesIO(b"un\ndeux\r\ntrois"))
        assert (root / "stored").read_bytes() == b"un\ndeux\ntrois\n"

    def test_download_goes_on_where_it_broke_off(self, root: Path, ftp: FTP) -> None:
        whole = content(100_000)
        (root / "file").write_bytes(whole)
        assert ftp.get("file", rest=70_001) == whole[70_001:]

    def test_upload_goes_on_where_it_broke_off(self, root: Path, ftp: FTP) -> None:
        whole = content(100_000)
        (root / "file").write_bytes(whole[:70_001])
        ftp.storbinary("STOR file", io.BytesIO(whole[70_001:]), rest=70_001)
        assert (root / "file").read_bytes() == whole

    def test_append(self, root: Path, ftp: FTP) -> None:
        ftp.storbinary("APPE file", io.BytesIO(b"one "))
        ftp.storbinary("APPE file", io.BytesIO(b"two"))
        assert (root / "file").read_bytes() == b"one two"

    def test_store_unique(self, root: Path, ftp: FTP) -> None:
        ftp.storbinary("STOU", io.BytesIO(b"one"))
        ftp.storbinary("STOU", io.BytesIO(b"two"))
        assert {path.read_bytes() for path in root.iterdir()} == {b"one", b"two"}

    def test_many_small_files_on_one_session(self, root: Path, ftp: FTP) -> None:
        files = {f"file {number}": content(number * 37, number) for number in range(100)}
        for name, sent in files.items():
            ftp.storbinary(f"STOR {name}", io.BytesIO(sent))
            assert (root / name).read_bytes() == sent
        assert {name: ftp.get(name) for name in files} == files


class TestFiles:
    def test_listings(self, root: Path, running: RunningGateway, passive: str) -> None:
        (root / "folder").mkdir()
        for name in ("plain", "two words", "Größe"):
            (root / name).write_bytes(b"12345")
        with logged_in(running.address, passive) as ftp:
            assert sorted(ftp.nlst()) == ["Größe", "folder", "plain", "two words"]
            listed: list[str] = []
            ftp.dir(listed.append)
            assert len(listed) == 4
            facts = dict(ftp.mlsd(facts=["type", "size"]))
            assert facts["two words"] == {"type": "file", "size": "5"}
            assert facts["folder"]["type"] == "dir"

    def test_empty_listing(self, ftp: FTP) -> None:
        assert ftp.nlst() == []

    def test_rename_delete_and_directories(self, root: Path, ftp: FTP) -> None:
        (root / "file").write_bytes(b"12345")
        assert ftp.mkd("folder") == "/folder"
        ftp.rename("file", "folder/renamed")
        ftp.cwd("folder")
        assert ftp.pwd() == "/folder"
        ftp.voidcmd("TYPE I")
        assert ftp.size("renamed") == 5
        assert ftp.sendcmd("MFMT 20010203040506 renamed").startswith("213")
        assert ftp.sendcmd("MDTM renamed") == "213 20010203040506"
        ftp.delete("renamed")
        ftp.cwd("..")
        ftp.rmd("folder")
        assert list(root.iterdir()) == []

    def test_features_name_nothing_that_is_refused(self, ftp: FTP) -> None:
        features = {line.strip() for line in ftp.sendcmd("FEAT").splitlines()[1:-1]}
        assert {"EPSV", "MLST type*;perm*;size*;modify*;unique*;unix.mode;unix.uid;unix.gid;"} <= features
        assert "EPRT" not in features

    def test_status_names_the_public_address(self, ftp: FTP) -> None:
        status = ftp.sendcmd("STAT")
        assert "Connected to: 127.0.0.1:" in status


class TestInterruptedTransfers:
    @pytest.fixture
    def endless(self, root: Path) -> str:
        """A file that no buffers between origin and client can hold."""
        with (root / "endless").open("wb") as file:
            file.truncate(64 * MEBIBYTE)
        return "endless"

    def test_abort_of_a_download(self, root: Path, running: RunningGateway, ftp: FTP, endless: str) -> None:
        (root / "small").write_bytes(b"small")
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd(f"RETR {endless}") as data:
            data.recv(1000)
            assert ftp.abort().startswith("426 ")
            assert ftp.voidresp().startswith("226 ")
            with contextlib.suppress(ConnectionResetError):
                read_to_end(data)
        assert running.journal.wait("dataChannel")["toClient"] < 64 * MEBIBYTE
        assert ftp.get("small") == b"small"

    def test_abort_of_an_upload(self, running: RunningGateway, ftp: FTP) -> None:
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd("STOR file") as data:
            data.sendall(bytes(64 * MEBIBYTE))  # more than fits in between: the origin has begun to read
            assert ftp.abort().startswith("426 ")
            assert ftp.voidresp().startswith("226 ")
        assert running.journal.wait("dataChannel")["outcome"] != "complete"
        ftp.storbinary("STOR file", io.BytesIO(b"whole"))
        assert ftp.get("file") == b"whole"

    def test_abort_of_nothing(self, ftp: FTP) -> None:
        assert ftp.abort().startswith("225 ")
        assert ftp.pwd() == "/"

    def test_quit_in_a_download_lets_it_finish(self, running: RunningGateway, ftp: FTP, endless: str) -> None:
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd(f"RETR {endless}") as data:
            ftp.putcmd("QUIT")
            assert read_to_end(data) == 64 * MEBIBYTE
        assert ftp.getresp().startswith("226 ")
        assert ftp.getresp().startswith("221 ")
        assert running.journal.wait("disconnect")["outcome"] == "quit"
        ftp.close()

    def test_quit_in_an_upload_lets_it_finish(self, root: Path, ftp: FTP) -> None:
        sent = content(MEBIBYTE)
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd("STOR file") as data:
            data.sendall(sent[:1000])
            ftp.putcmd("QUIT")
            data.sendall(sent[1000:])
        assert ftp.getresp().startswith("226 ")
        assert ftp.getresp().startswith("221 ")
        assert (root / "file").read_bytes() == sent
        ftp.close()

    def test_status_is_told_beside_a_transfer(self, ftp: FTP, endless: str) -> None:
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd(f"RETR {endless}") as data:
            assert ftp.sendcmd("STAT").startswith("211-")
            assert ftp.sendcmd("NOOP").startswith("200 ")
            assert read_to_end(data) == 64 * MEBIBYTE
        assert ftp.voidresp().startswith("226 ")

    @pytest.mark.parametrize("command", ["RETR missing", "STOR missing/file"])
    def test_transfer_that_the_origin_refuses(
        self, root: Path, running: RunningGateway, passive: str, command: str
    ) -> None:
        (root / "file").write_bytes(b"content")
        with logged_in(running.address, passive) as ftp:
            for _ in range(3):
                with pytest.raises(ftplib.error_perm, match="550 No such file or directory"):
                    ftp.transfercmd(command)
                assert ftp.get("file") == b"content"


def read_to_end(data: socket.socket) -> int:
    """How many bytes come before the end of file."""
    count = 0
    while read := len(data.recv(READ)):
        count += read
    return count


def test_fifty_sessions_at_once(root: Path, running: RunningGateway) -> None:
    sessions, rounds = 50, 3
    everyone_is_in = threading.Barrier(sessions)

    def work(number: int) -> None:
        folder = root / f"folder {number}"
        folder.mkdir()
        with logged_in(running.address, "PASV" if number % 2 else "EPSV") as ftp:
            everyone_is_in.wait(PATIENCE)
            ftp.cwd(folder.name)
            for turn in range(rounds):
                sent = content(number * 3001 + turn, number)
                ftp.storbinary(f"STOR {turn}", io.BytesIO(sent))
                assert (folder / str(turn)).read_bytes() == sent
                assert ftp.get(str(turn)) == sent
                assert sorted(ftp.nlst()) == [str(other) for other in range(turn + 1)]

    with concurrent.futures.ThreadPoolExecutor(sessions) as pool:
        list(pool.map(work, range(sessions)))
    running.journal.wait("disconnect", sessions, outcome="quit")
    running.journal.wait("dataChannel", sessions * rounds * 3, outcome="complete")


class TestAddresses:
    def test_mapped_ports(self, root: Path, origin: Origin, protect: Protect, passive: str) -> None:
        (root / "file").write_bytes(b"content")
        running = protect(application(origin.address, PORTS, public_ports=PUBLIC_PORTS))
        with logged_in(running.address, passive) as ftp:
            assert ftp.makepasv()[1] in PUBLIC_PORTS
            assert ftp.get("file") == b"content"
        channel = running.journal.wait("dataChannel", outcome="complete")
        assert channel["port"] - PUBLIC_PORTS.start == channel["originPort"] - PORTS.start

    def test_public_address(self, root: Path, origin: Origin, protect: Protect) -> None:
        (root / "file").write_bytes(b"content")
        more = 'public_address = "127.0.0.3"\ndata_interface = "127.0.0.3"'
        running = protect(application(origin.address, PORTS, more=more))
        with logged_in(running.address, "PASV") as ftp:
            assert ftp.makepasv()[0] == "127.0.0.3"
            assert ftp.get("file") == b"content"

    def test_public_host_name(self, root: Path, origin: Origin, protect: Protect) -> None:
        (root / "file").write_bytes(b"content")
        more = 'public_address = "ftp.example.com"\ndata_interface = "127.0.0.3"'
        with names({"ftp.example.com": "127.0.0.3"}):
            running = protect(application(origin.address, PORTS, more=more))
        with logged_in(running.address, "PASV") as ftp:
            assert ftp.makepasv()[0] == "127.0.0.3"
            assert ftp.get("file") == b"content"
            assert "Connected to: ftp.example.com:" in ftp.sendcmd("STAT")

    def test_origin_on_the_same_machine(self, root: Path, protect: Protect, passive: str) -> None:
        (root / "file").write_bytes(b"content")
        with Origin(root, listen=("127.0.0.1", 0), passive_ports=PORTS, users=USERS) as origin:
            _, port = origin.address
            running = protect(application(("localhost", port), PORTS, public_ports=PUBLIC_PORTS))
            with logged_in(running.address, passive) as ftp:
                assert ftp.get("file") == b"content"

    def test_origin_by_host_name(self, tmp_path: Path, origin: Origin, protect: Protect) -> None:
        _, port = origin.address
        other_root = tmp_path / "other"
        other_root.mkdir()
        addresses = {"ftp.internal": HOST}
        other = Origin(other_root, listen=("127.0.0.4", port), passive_ports=PORTS, users=USERS, writable=True)
        with other, names(addresses):
            running = protect(application(("ftp.internal", port), PORTS), also=(HOST, "127.0.0.4"))
            with logged_in(running.address) as ftp:
                assert ftp.mkd("at FTP.internal 127.0.0.2") == "/at ftp.example.com 127.0.0.1"
            addresses["ftp.internal"] = "127.0.0.4"  # resolved anew for each session
            with logged_in(running.address) as ftp:
                assert ftp.mkd("at 127,0,0,4") == "/at 127,0,0,1"
        assert [path.name for path in other_root.iterdir()] == ["at 127,0,0,4"]

    @pytest.mark.parametrize(
        ("data_peer", "friend", "stranger"),
        [
            ("address", "127.0.0.1", "127.0.0.9"),
            ("network", "127.0.0.9", "127.0.1.9"),
            ("any", "127.0.1.9", None),
        ],
    )
    def test_data_peer(
        self, root: Path, origin: Origin, protect: Protect, data_peer: str, friend: str, stranger: str | None
    ) -> None:
        (root / "file").write_bytes(b"content")
        running = protect(application(origin.address, PORTS, more=f'data_peer = "{data_peer}"'))
        with logged_in(running.address, source="127.0.0.1") as ftp:
            ftp.voidcmd("TYPE I")
            place = ftp.makepasv()
            if stranger is not None:
                with socket.create_connection(place, PATIENCE, source_address=(stranger, 0)) as data:
                    assert data.recv(1) == b""
                running.journal.wait("strangerRefused", stranger=stranger)
            with socket.create_connection(place, PATIENCE, source_address=(friend, 0)) as data:
                assert ftp.sendcmd("RETR file").startswith("1")
                assert read_to_end(data) == len(b"content")
            assert ftp.voidresp().startswith("226 ")


class TestRefusals:
    @pytest.mark.parametrize("command", ["PORT 127,0,0,1,200,10", "eprt |1|127.0.0.1|51210|", "LPRT 4,4,127"])
    def test_active_mode(self, running: RunningGateway, command: str) -> None:
        with FTP() as ftp:
            ftp.connect(*running.address)
            for _ in range(2):
                with pytest.raises(ftplib.error_perm) as refusal:
                    ftp.sendcmd(command)
                assert str(refusal.value).encode() == ACTIVE_REFUSED.lines[0]
                ftp.login("user", "secret")
        running.journal.wait("commandRefused", 2, verb=command.split()[0].upper())

    @pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # ftplib's own, behind a refused PORT
    def test_active_mode_of_ftplib(self, ftp: FTP) -> None:
        ftp.set_pasv(False)
        with pytest.raises(ftplib.error_perm, match="502 Active mode is not supported"):
            ftp.nlst()
        ftp.set_pasv(True)
        assert ftp.nlst() == []

    def test_read_only(self, root: Path, origin: Origin, protect: Protect) -> None:
        (root / "file").write_bytes(b"content")
        running = protect(application(origin.address, PORTS, more="[application.commands]\nread_only = true"))
        with logged_in(running.address) as ftp:
            changes: list[Callable[[], object]] = [
                lambda: ftp.storbinary("STOR file", io.BytesIO(b"other")),
                lambda: ftp.storbinary("APPE file", io.BytesIO(b"more")),
                lambda: ftp.delete("file"),
                lambda: ftp.rename("file", "renamed"),
                lambda: ftp.mkd("folder"),
            ]
            for change in changes:
                with pytest.raises(ftplib.error_perm, match=r"550 .*read-only"):
                    change()
            assert ftp.get("file") == b"content"
        assert [path.name for path in root.iterdir()] == ["file"]

    def test_denied_and_allowed_verbs(self, origin: Origin, protect: Protect) -> None:
        more = '[application.commands]\ndeny = ["MLSD", "MLST"]\nallow = ["XTRA"]'
        running = protect(application(origin.address, PORTS, more=more))
        with logged_in(running.address) as ftp:
            with pytest.raises(ftplib.error_perm, match="550 Permission denied"):
                ftp.sendcmd("MLST")
            with pytest.raises(ftplib.error_perm, match='500 Command "XTRA" not understood'):  # the origin's
                ftp.sendcmd("XTRA")
            with pytest.raises(ftplib.error_perm, match=r"500 Command not understood\."):  # our own
                ftp.sendcmd("XTRO")
            assert "MLST" not in ftp.sendcmd("FEAT")
