"""Real clients that speak TLS to the gateway, in front of the embedded origin, which here has none."""

from __future__ import annotations

import contextlib
import ftplib
import io
import select
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import attrs
import pytest
import trustme

from gateway.data.channel import DataChannel
from gateway.session.transfers import TLS_FAILED
from origin import Origin
from tests.kit import PATIENCE
from tests.kit.certificates import certificates
from tests.kit.content import content, contents, digest_of
from tests.kit.gateway import RunningGateway, application, gateway, tls_table
from tests.kit.mistakes import no_mistakes
from tests.kit.ports import scripted, take
from tests.kit.reactor import in_reactor
from tests.kit.scripted import OriginControl, Script, ScriptedOrigin
from tests.kit.sockets import read_all, reset
from tests.kit.stage import stage
from tests.kit.tls_clients import (
    CLIENTS,
    FTPS,
    NAME,
    TLS_1_2,
    TLS_1_3,
    Account,
    Client,
    Curl,
    Failed,
    Ftplib,
    Lftp,
    carry,
    carry_at_once,
    empty,
    mirror,
    secured,
    tried_with,
)

HOST = "127.0.0.2"
PORTS = take(200)
PUBLIC_PORTS = take(200)

# pyftpdlib's MFMT, from Python 3.12 on
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")


EVERY_CLIENT = tried_with(*CLIENTS)
ONE_OF_EACH = tried_with("ftplib", "curl", "lftp")
VERSIONS = pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["1.2", "1.3"])


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    root, users = tmp_path_factory.mktemp("root"), {"user": "secret"}
    with Origin(root, listen=(HOST, 0), passive_ports=PORTS, users=users, writable=True) as running:
        yield running


@pytest.fixture(scope="module")
def running(origin: Origin) -> Iterator[RunningGateway]:
    with no_mistakes(), gateway(application(origin.address, PORTS, more=tls_table("flexible"))) as running:
        yield running


@pytest.fixture
def account(running: RunningGateway) -> Account:
    return Account(running.address[1], certificates().ca)


@pytest.fixture
def root(origin: Origin) -> Iterator[Path]:
    """What the origin serves: nothing, before and after a test."""
    yield origin.root
    empty(origin.root)


class TestFiles:
    @EVERY_CLIENT
    def test_explicit(self, client: Client, account: Account, root: Path, tmp_path: Path) -> None:
        carry(client, account, root, tmp_path)

    @EVERY_CLIENT
    def test_implicit(self, client: Client, origin: Origin, root: Path, tmp_path: Path) -> None:
        """And with everything that is required, and mapped ports."""
        more = tls_table("flexible", implicit=True, require="data")
        mapped = application(origin.address, PORTS, public_ports=PUBLIC_PORTS, more=more)
        with no_mistakes(), gateway(mapped) as running:
            carry(client, Account(running.address[1], certificates().ca, implicit=True), root, tmp_path)
            assert not running.journal.all("tlsError")
            assert {record["outcome"] for record in running.journal.all("dataChannel")} == {"complete"}

    @pytest.mark.parametrize(
        "client",
        [
            Ftplib(private=False),
            # Its TLS 1.3 closes an upload before it has read the ticket that the next one would resume with.
            Curl(("--ftp-ssl-control", "--tls-max", "1.2")),
            Lftp(("ftp:ssl-protect-data false", "ftp:ssl-protect-list false")),
        ],
        ids=["ftplib", "curl", "lftp"],
    )
    def test_data_in_the_clear(self, client: Client, account: Account, root: Path, tmp_path: Path) -> None:
        carry(client, account, root, tmp_path)

    @ONE_OF_EACH
    def test_large(
        self, client: Client, account: Account, root: Path, large_file: Path, large_digest: str, tmp_path: Path
    ) -> None:
        client.put(account, large_file)
        assert digest_of(root / large_file.name) == large_digest
        fetched = tmp_path / large_file.name
        client.get(account, fetched)
        assert digest_of(fetched) == large_digest
        fetched.unlink()

    @ONE_OF_EACH
    def test_twenty_at_once(self, client: Client, account: Account, root: Path, tmp_path: Path) -> None:
        carry_at_once(client, 20, account, root, tmp_path)

    def test_mirror(self, account: Account, root: Path, tmp_path: Path) -> None:
        mirror(account, root, tmp_path)


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
    @VERSIONS
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
        running.journal.wait("tlsError", refused + 2, side="client data", reason="session not resumed")

    def test_curl_without_it(self, account: Account, origin: Origin, root: Path, tmp_path: Path) -> None:
        (root / "file").write_bytes(content(65536))
        with pytest.raises(Failed):
            Curl(("--no-sessionid",)).get(account, tmp_path / "file")
        optional = application(origin.address, PORTS, more=tls_table("flexible", data_session_reuse="optional"))
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
        data = application(origin.address, PORTS, more=tls_table("flexible", require="data"))
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
    @VERSIONS
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

    @VERSIONS
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
            leave(greeted(ftp.transfercmd("RETR file")), len(sent))
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
            connections.put(greeted(ftp.transfercmd("RETR file")))
            assert ftp.voidresp() == "226 Sent."


def test_an_origin_gives_a_port_to_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as it accepted there. The gateway hears of the second 229 before it hears of its dial's success."""
    with stage(tls_table("flexible")) as on:
        data, other = on.passive(), on.another()
        other.client.send(b"EPSV\r\n")
        other.control.expect(b"EPSV")
        dial = DataChannel.dial

        def say_first(channel: DataChannel) -> None:
            monkeypatch.undo()
            other.control.say(b"229 Entering Extended Passive Mode (|||%d|)" % data.port)
            dial(channel)

        monkeypatch.setattr(DataChannel, "dial", say_first)
        at_client, at_origin = on.dial(data.port), on.own(data.accept())
        assert on.exchange(b"RETR file", b"150 Here it comes.") == b"150 Here it comes."
        at_origin.sendall(b"content")
        at_origin.close()
        assert read_all(at_client) == b"content"
        at_client.close()
        on.control.say(b"226 Sent.")
        assert on.client.reply() == b"226 Sent."
        assert other.client.reply().startswith(b"229 ")


def greeted(connection: ssl.SSLSocket) -> ssl.SSLSocket:
    """The same, once the gateway has sent its ticket: it has completed the handshake."""
    select.select([connection], [], [], PATIENCE)
    return connection


def leave(connection: ssl.SSLSocket, after: int) -> None:
    """Takes so many bytes, says close_notify, does not wait for the peer's, and is gone."""
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
        gateway(application(origin.address, scripted(), more=tls_table("flexible"))) as running,
    ):
        origin.play(play)
        yield Account(running.address[1], certificates().ca)
