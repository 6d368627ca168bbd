"""Real clients that speak TLS to the gateway, before the embedded origin, which here speaks none."""

from __future__ import annotations

import contextlib
import ftplib
import io
import select
import shutil
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import attrs
import pytest
import trustme

from gateway.session.transfers import TLS_FAILED
from origin import Origin
from tests.clients import MEBIBYTE, LargeContent, content, contents, digest_of, tree
from tests.ftps import FTPS, NAME, Account, Client, Curl, Failed, Ftplib, Lftp, secured, table
from tests.harness import PATIENCE, RunningGateway, application, gateway, in_reactor
from tests.scripted import PORTS as SCRIPTED_PORTS
from tests.scripted import OriginControl, Script, ScriptedOrigin, no_mistakes, read_all, reset
from tests.servers.requirements import require
from tests.tls import certificates

HOST = "127.0.0.2"
PORTS = range(28200, 28400)
PUBLIC_PORTS = range(28400, 28600)
LARGE = LargeContent(200 * MEBIBYTE)
SIZES = (0, 65536)

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
LFTP_1_2 = "ssl:priority NORMAL:-VERS-ALL:+VERS-TLS1.2"

# pyftpdlib's MFMT, from Python 3.12 on
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")


def of(**clients: Client) -> pytest.MarkDecorator:
    """Tries a test with each of these clients."""
    return pytest.mark.parametrize("client", clients.values(), ids=clients)


EVERY_CLIENT = of(
    ftplib=Ftplib(version=TLS_1_3),
    ftplib_1_2=Ftplib(version=TLS_1_2),
    ftplib_pasv=Ftplib("PASV"),
    curl=Curl(),
    curl_1_2=Curl(("--tls-max", "1.2")),
    curl_pasv=Curl(("--disable-epsv", "--no-ftp-skip-pasv-ip")),
    lftp=Lftp(("ftp:prefer-epsv true",)),
    lftp_1_2=Lftp(("ftp:prefer-epsv true", LFTP_1_2)),
    lftp_pasv=Lftp(("ftp:prefer-epsv false",)),
)
ONE_OF_EACH = of(ftplib=Ftplib(), curl=Curl(), lftp=Lftp())


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    if "client" in request.fixturenames:
        match request.getfixturevalue("client"):
            case Curl():
                require("curl")
            case Lftp():
                require("lftp")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    root, users = tmp_path_factory.mktemp("root"), {"user": "secret"}
    with Origin(root, listen=(HOST, 0), passive_ports=PORTS, users=users, writable=True) as running:
        yield running


@pytest.fixture(scope="module")
def running(origin: Origin) -> Iterator[RunningGateway]:
    with no_mistakes(), gateway(application(origin.address, PORTS, more=table("flexible"))) as running:
        yield running


@pytest.fixture
def account(running: RunningGateway) -> Account:
    return Account(running.address[1], certificates().ca)


@pytest.fixture
def root(origin: Origin) -> Iterator[Path]:
    """What the origin serves: nothing, before and after a test."""
    yield origin.root
    for path in origin.root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def carry(client: Client, account: Account, root: Path, local: Path) -> None:
    """Stores files, and fetches them again."""
    files = [local / f"of-{size}-bytes" for size in SIZES]
    for file, size in zip(files, SIZES, strict=True):
        file.write_bytes(content(size))
    client.put(account, *files)
    assert contents(root) == contents(local)
    for file in files:
        file.unlink()
    client.get(account, *files)
    assert contents(local) == contents(root)


class TestFiles:
    @EVERY_CLIENT
    def test_explicit(self, client: Client, account: Account, root: Path, tmp_path: Path) -> None:
        carry(client, account, root, tmp_path)

    @EVERY_CLIENT
    def test_implicit(self, client: Client, origin: Origin, root: Path, tmp_path: Path) -> None:
        """And with everything that is required, and mapped ports."""
        more = table("flexible", implicit=True, require="data")
        mapped = application(origin.address, PORTS, public_ports=PUBLIC_PORTS, more=more)
        with no_mistakes(), gateway(mapped) as running:
            carry(client, Account(running.address[1], certificates().ca, implicit=True), root, tmp_path)
            assert not running.journal.all("tlsError")
            assert {record["outcome"] for record in running.journal.all("dataChannel")} == {"complete"}

    @of(
        ftplib=Ftplib(private=False),
        curl=Curl(("--ftp-ssl-control",)),
        lftp=Lftp(("ftp:ssl-protect-data false", "ftp:ssl-protect-list false")),
    )
    def test_data_in_the_clear(self, client: Client, account: Account, root: Path, tmp_path: Path) -> None:
        carry(client, account, root, tmp_path)

    @ONE_OF_EACH
    def test_large(self, client: Client, account: Account, root: Path, tmp_path: Path) -> None:
        file = tmp_path / "large"
        with file.open("wb") as stream:
            stream.writelines(LARGE.blocks())
        client.put(account, file)
        assert digest_of(root / "large") == LARGE.digest()
        file.unlink()
        client.get(account, file)
        assert digest_of(file) == LARGE.digest()
        file.unlink()

    @ONE_OF_EACH
    def test_twenty_at_once(self, client: Client, account: Account, root: Path, tmp_path: Path) -> None:
        files = [tmp_path / f"number-{number}" for number in range(20)]
        for number, file in enumerate(files):
            file.write_bytes(content(65536, number))
        sent = contents(tmp_path)
        with ThreadPoolExecutor(len(files)) as pool:
            list(pool.map(lambda file: client.put(account, file), files))
            assert contents(root) == sent
            for file in files:
                file.unlink()
            list(pool.map(lambda file: client.get(account, file), files))
        assert contents(tmp_path) == sent

    def test_mirror(self, account: Account, root: Path, tmp_path: Path) -> None:
        require("lftp")
        tree(tmp_path / "there", 40)
        Lftp().do(account, f"mirror --reverse --parallel=4 {tmp_path}/there copy")
        assert contents(root / "copy") == contents(tmp_path / "there")
        Lftp().do(account, f"mirror --parallel=4 copy {tmp_path}/back")
        assert contents(tmp_path / "back") == contents(tmp_path / "there")


class TestCertificate:
    @ONE_OF_EACH
    def test_it_is_verified(self, client: Client, account: Account, root: Path, tmp_path: Path) -> None:
        """So that the other tests show that it is good."""
        trustme.CA().cert_pem.write_to_path(tmp_path / "another.pem")
        (tmp_path / "file").touch()
        with pytest.raises((ssl.SSLCertVerificationError, Failed), match="certificate"):
            client.put(attrs.evolve(account, ca=tmp_path / "another.pem"), tmp_path / "file")
        assert not contents(root)

    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    @pytest.mark.parametrize("name", ["one.example.com", "two.example.com"])
    def test_the_name_that_a_client_asks_for_picks_it(
        self, name: str, version: str, origin: Origin, root: Path, tmp_path: Path
    ) -> None:
        """And the data connection resumes the session, whichever it was."""
        require("curl")
        shown, local = tmp_path / "shown", tmp_path / "local"
        shown.mkdir()
        local.mkdir()
        for each in ("one", "two"):
            pair = certificates().issue(each, f"{each}.example.com")
            (shown / f"{each}.pem").write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
        more = f'[application.tls]\nmode = "flexible"\ncertificate = "{shown}"\n'
        with no_mistakes(), gateway(application(origin.address, PORTS, more=more)) as running:
            port = running.address[1]
            curl = Curl(("--resolve", f"{name}:{port}:127.0.0.1", "--tls-max", version))
            carry(curl, Account(port, certificates().ca, name=name), root, local)


class TestResumption:
    @pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["1.2", "1.3"])
    @pytest.mark.parametrize("whose", ["nobody's", "another's"])
    def test_data_that_does_not_resume_is_refused(
        self, whose: str, version: ssl.TLSVersion, account: Account, running: RunningGateway, root: Path
    ) -> None:
        (root / "file").write_bytes(content(65536))
        refused = len(running.journal.all("tlsError", side="client data", reason="session not resumed"))
        with secured(account, version=version) as another, secured(account, version=version) as ftp:
            another.nlst()  # a client has its ticket of TLS 1.3 once it has read something
            ftp.context = another.context
            ftp.resumes = another if whose == "another's" else None
            for command in ("RETR file", "STOR upload"):
                with pytest.raises(OSError), ftp.transfercmd(command) as connection:
                    connection.recv(1)
                with pytest.raises(ftplib.error_perm) as reply:
                    ftp.voidresp()
                assert str(reply.value).encode() == TLS_FAILED.render().removesuffix(b"\r\n")
        assert len(running.journal.all("tlsError", side="client data", reason="session not resumed")) == refused + 2

    def test_curl_without_it(self, account: Account, origin: Origin, root: Path, tmp_path: Path) -> None:
        require("curl")
        (root / "file").write_bytes(content(65536))
        with pytest.raises(Failed):
            Curl(("--no-sessionid",)).get(account, tmp_path / "file")
        optional = application(origin.address, PORTS, more=table("flexible", data_session_reuse="optional"))
        with no_mistakes(), gateway(optional) as running:
            Curl(("--no-sessionid",)).get(attrs.evolve(account, port=running.address[1]), tmp_path / "file")
        assert contents(tmp_path) == contents(root)

    def test_many_transfers_in_one_session(self, account: Account, root: Path) -> None:
        """A ticket of TLS 1.3 is not used up."""
        with secured(account, version=TLS_1_3) as ftp:
            for number in range(30):
                ftp.storbinary("STOR file", io.BytesIO(content(1000, number)))
                assert ftp.get("file") == content(1000, number)


class TestRequired:
    def test_login_and_data_in_the_clear(self, origin: Origin, root: Path) -> None:
        (root / "file").write_bytes(content(65536))
        data = application(origin.address, PORTS, more=table("flexible", require="data"))
        with no_mistakes(), gateway(data) as running, FTPS(certificates().ca) as ftp:
            ftp.connect(NAME, running.address[1])
            with pytest.raises(ftplib.error_perm, match=r"530 .*AUTH TLS"):
                ftp.login("user", "secret", secure=False)
            ftp.login("user", "secret")
            with pytest.raises(ftplib.error_perm, match=r"522 .*PROT P"):
                ftp.get("file")
            ftp.prot_p()
            with pytest.raises(ftplib.error_perm, match="534"):
                ftp.prot_c()
            assert ftp.get("file") == content(65536)


class TestCuts:
    @pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["1.2", "1.3"])
    def test_an_upload_without_close_notify(
        self, version: ssl.TLSVersion, account: Account, running: RunningGateway, root: Path
    ) -> None:
        cut = len(running.journal.all("dataChannel", outcome="client reset"))
        with secured(account, version=version) as ftp:
            connection = ftp.transfercmd("STOR file")
            connection.sendall(content(65536))
            connection.close()  # of the socket alone
            with pytest.raises(ftplib.error_temp, match="426"):
                ftp.voidresp()
        running.journal.wait("dataChannel", cut + 1, outcome="client reset")

    @pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["1.2", "1.3"])
    def test_a_download_that_the_origin_cuts(self, version: ssl.TLSVersion) -> None:
        """The client is not told of an end of file."""

        def cut(control: OriginControl) -> None:
            with beginning(control, b"RETR file") as data:
                data.sendall(content(65536))
                reset(data)
            control.say(b"426 Cut.")

        with before(cut) as account, secured(account, version=version) as ftp:
            with pytest.raises(OSError), ftp.transfercmd("RETR file") as connection:
                read_all(connection)
            with pytest.raises(ftplib.error_temp, match="426"):
                ftp.voidresp()


class TestClientsThatLeaveEarly:
    """A client that knows a file's size, as curl does, goes as soon as it has so much: the transfer is complete."""

    @pytest.mark.parametrize("sent", [b"", content(1000)], ids=["empty", "not empty"])
    def test_before_the_origin_ends(self, sent: bytes) -> None:
        def end_second(control: OriginControl) -> None:
            with beginning(control, b"RETR file") as data:
                data.sendall(sent)
                assert read_all(data) == b""  # the client's close_notify
            control.say(b"226 Sent.")

        with before(end_second) as account, secured(account) as ftp:
            leave(ftp.transfercmd("RETR file"), len(sent))
            assert ftp.voidresp() == "226 Sent."

    def test_as_the_origin_ends(self) -> None:
        """The gateway hears of both at once, of the origin's end first."""

        def end(control: OriginControl) -> None:
            with beginning(control, b"RETR file") as data:
                connection = connections.get(timeout=PATIENCE)
                in_reactor(lambda: (data.close(), leave(connection, 0)))
            control.say(b"226 Sent.")

        connections: SimpleQueue[ssl.SSLSocket] = SimpleQueue()
        with before(end) as account, secured(account) as ftp:
            connections.put(ftp.transfercmd("RETR file"))
            assert ftp.voidresp() == "226 Sent."


def leave(connection: ssl.SSLSocket, after: int) -> None:
    """Takes so many bytes, says close_notify, does not wait for the peer's, and is gone."""
    if not after:
        select.select([connection], [], [], PATIENCE)  # the ticket: the gateway has completed the handshake
    while after:
        after -= len(connection.recv(after))
    connection.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.unwrap()
    reset(connection)


@contextlib.contextmanager
def beginning(control: OriginControl, command: bytes) -> Iterator[socket.socket]:
    """The origin's part of a session up to the 150; its data connection."""
    control.say(b"220 Ready.")
    control.answer_login()
    with control.answer_passive() as port:
        control.expect(command)
        with port.accept() as data:
            control.say(b"150 Here it comes.")
            yield data


@contextlib.contextmanager
def before(script: Script) -> Iterator[Account]:
    """A gateway before an origin that plays this script, up to the reply to the transfer."""

    def play(control: OriginControl) -> None:
        script(control)
        control.expect(b"QUIT")
        control.say(b"221 Bye.")

    with (
        no_mistakes(),
        ScriptedOrigin.at() as origin,
        gateway(application(origin.address, SCRIPTED_PORTS, more=table("flexible"))) as running,
    ):
        origin.play(play)
        yield Account(running.address[1], certificates().ca)
