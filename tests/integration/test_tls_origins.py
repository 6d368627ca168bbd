"""Real servers that speak TLS behind the gateway, which either ends the clients' TLS or passes it through."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from tests.kit.certificates import Pair, certificates
from tests.kit.clients import logged_in
from tests.kit.content import content
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import RunningGateway, application, gateway, names, tls_table
from tests.kit.mistakes import no_mistakes
from tests.kit.ports import take
from tests.kit.reactor import in_reactor
from tests.kit.servers import DAEMONS, EXAMPLE_ADDRESS, SPECTRUM_RECIPE, Daemon, Server, proftpd, pure_ftpd, vsftpd
from tests.kit.servers.requirements import require
from tests.kit.sockets import read_all
from tests.kit.tls import secure_client
from tests.kit.tls_clients import (
    CLIENTS,
    FTPS,
    Account,
    Client,
    Ftplib,
    carry,
    carry_at_once,
    empty,
    mirror,
    secured,
    tried_with,
)
from tests.kit.tls_origins import ORIGINS, embedded, secure

HOST = "127.0.0.2"
PORTS = take(200)
FEW_PORTS = take(40)  # passthrough opens all of them
STRANGER = "127.0.0.9"


@attrs.frozen
class Stack:
    """A server, the gateway before it, and an account there."""

    server: Server
    running: RunningGateway
    account: Account

    @property
    def root(self) -> Path:
        """What the server serves."""
        return self.server.root


@contextlib.contextmanager
def before(server: Server, mode: str, **keys: str | bool | Path) -> Iterator[Stack]:
    """A gateway before a server.

    :param keys: more of `application.tls`.
    """
    with (
        no_mistakes(),
        gateway(application(server.address, server.passive_ports, more=tls_table(mode, **keys))) as running,
    ):
        yield Stack(server, running, Account(running.address[1], certificates().ca, server.user, server.password))


@pytest.fixture(scope="module", params=ORIGINS)
def strict(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root = tmp_path_factory.mktemp("root")
    with (
        ORIGINS[request.param](root, HOST, PORTS, certificates().server) as server,
        before(server, "strict", origin_ca=certificates().ca) as stack,
    ):
        yield stack
        assert not stack.running.journal.all("tlsError")
        assert {record["outcome"] for record in stack.running.journal.all("dataChannel")} == {"complete"}


@pytest.fixture(scope="module", params=ORIGINS)
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root = tmp_path_factory.mktemp("root")
    with (
        ORIGINS[request.param](root, HOST, PORTS, certificates().self_signed) as server,
        before(server, "full", implicit=True) as stack,
    ):
        yield attrs.evolve(stack, account=attrs.evolve(stack.account, implicit=True))


@pytest.fixture(scope="module", params=DAEMONS, ids=[daemon.name for daemon in DAEMONS])
def flexible(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require(request.param.name)
    root = tmp_path_factory.mktemp("root")
    with (
        request.param(root, HOST, passive_ports=PORTS) as server,
        before(server, "flexible", require="data") as stack,
    ):
        yield stack


class TestFiles:
    @tried_with("ftplib", "ftplib-1.2", "ftplib-pasv", "curl", "curl-1.2", "lftp", "lftp-pasv")
    def test_strict(self, client: Client, strict: Stack, tmp_path: Path) -> None:
        empty(strict.root)
        carry(client, strict.account, strict.root, tmp_path)

    def test_strict_twenty_at_once(self, strict: Stack, tmp_path: Path) -> None:
        empty(strict.root)
        carry_at_once(CLIENTS["ftplib"], 20, strict.account, strict.root, tmp_path)

    def test_strict_mirror(self, strict: Stack, tmp_path: Path) -> None:
        empty(strict.root)
        # Pure-FTPd puts _ in the place of a space in front of a name.
        mirror(strict.account, strict.root, tmp_path, leading_spaces=strict.server.name != "pure-ftpd")

    @tried_with("ftplib", "curl")
    def test_full(self, client: Client, full: Stack, tmp_path: Path) -> None:
        empty(full.root)
        carry(client, full.account, full.root, tmp_path)

    @tried_with("ftplib", "curl")
    def test_flexible(self, client: Client, flexible: Stack, tmp_path: Path) -> None:
        empty(flexible.root)
        carry(client, flexible.account, flexible.root, tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local"
    path.mkdir()
    return path


def refused(stack: Stack) -> str:
    """Why the origin's TLS was not good enough, when nothing of a session but its end reaches the client."""
    with Conversation.to(stack.running.address) as client:
        assert client.reply().startswith(b"421 ")
        assert client.at_end()
    assert stack.running.journal.wait("disconnect")["outcome"] == "origin's TLS failed"
    [record] = stack.running.journal.all("tlsError", side="origin")
    return str(record["reason"])


BAD: dict[str, tuple[Callable[[], Pair], str]] = {
    "another name": (lambda: certificates().other_name, f"certificate is not for {HOST}"),
    "expired": (lambda: certificates().expired, "certificate has expired"),
    "self-signed": (lambda: certificates().self_signed, "certificate is self-signed"),
    "unknown authority": (lambda: certificates().unknown_ca, "certificate is issued by an unknown authority"),
}


class TestCertificate:
    @pytest.mark.parametrize("origin", ["vsftpd", "pyftpdlib"])
    @pytest.mark.parametrize(("shown", "reason"), BAD.values(), ids=BAD)
    def test_a_bad_one(self, origin: str, shown: Callable[[], Pair], reason: str, root: Path, local: Path) -> None:
        with ORIGINS[origin](root, HOST, PORTS, shown()) as server:
            with before(server, "strict", origin_ca=certificates().ca) as stack:
                assert refused(stack) == reason
            with before(server, "full") as stack:
                carry(Ftplib(), stack.account, root, local)
                assert not stack.running.journal.all("tlsError")

    def test_the_system_s_authorities(self, root: Path, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Are those that are trusted where none are named."""
        with embedded(root, HOST, PORTS, certificates().server) as server:
            with before(server, "strict") as stack:
                assert refused(stack) == "certificate is issued by an unknown authority"
            monkeypatch.setenv("SSL_CERT_FILE", str(certificates().ca))
            with before(server, "strict") as stack:
                carry(Ftplib(), stack.account, root, local)

    def test_another_name_than_the_host(self, root: Path, local: Path) -> None:
        with embedded(root, HOST, PORTS, certificates().other_name) as server:
            with before(server, "strict", origin_ca=certificates().ca, origin_name="other.example.com") as stack:
                carry(Ftplib(), stack.account, root, local)
            with before(server, "strict", origin_ca=certificates().ca, origin_name="ftp.example.com") as stack:
                assert refused(stack) == "certificate is not for ftp.example.com"

    def test_the_name_of_the_host(self, root: Path, local: Path) -> None:
        with (
            names({"other.example.com": HOST, "wrong.example.com": HOST}),
            embedded(root, HOST, PORTS, certificates().other_name) as server,
        ):
            port = server.address[1]
            named = attrs.evolve(server, address=("other.example.com", port))
            with before(named, "strict", origin_ca=certificates().ca) as stack:
                carry(Ftplib(), stack.account, root, local)
            named = attrs.evolve(server, address=("wrong.example.com", port))
            with before(named, "strict", origin_ca=certificates().ca) as stack:
                assert refused(stack) == "certificate is not for wrong.example.com"


class TestOriginsWithTheirOwnWill:
    def test_implicit(self, root: Path, local: Path) -> None:
        with (
            embedded(root, HOST, PORTS, certificates().server, implicit=True) as server,
            before(server, "strict", origin_ca=certificates().ca, origin_implicit=True) as stack,
        ):
            carry(Ftplib(), stack.account, root, local)

    @pytest.mark.parametrize("mode", ["strict", "full"])
    @pytest.mark.parametrize("daemon", DAEMONS, ids=[daemon.name for daemon in DAEMONS])
    def test_without_tls(self, daemon: Daemon, mode: str, root: Path) -> None:
        """There is no way on in the clear."""
        require(daemon.name)
        with daemon(root, HOST, passive_ports=PORTS) as server, before(server, mode) as stack:
            assert refused(stack).startswith("AUTH was refused with 5")

    @pytest.mark.parametrize(
        ("daemon", "settings"),
        [
            (vsftpd, {"require_cert": "YES", "validate_cert": "YES", "ca_certs_file": "{ca}"}),
            (proftpd, {"TLSVerifyClient": "on", "TLSCACertificateFile": "{ca}"}),
        ],
        ids=["vsftpd", "proftpd"],
    )
    def test_a_client_certificate(self, daemon: Daemon, settings: dict[str, str], root: Path, local: Path) -> None:
        ours = certificates()
        settings = {name: value.format(ca=ours.ca) for name, value in settings.items()}
        with secure(daemon, root, HOST, PORTS, ours.server, settings) as server:
            shown = {"origin_certificate": ours.client.certificate, "origin_key": ours.client.key}
            with before(server, "strict", origin_ca=ours.ca, **shown) as stack:
                carry(Ftplib(), stack.account, root, local)
            with before(server, "strict", origin_ca=ours.ca) as stack:
                # An origin that has closed by the time of the first command takes its alert with it.
                assert refused(stack) in ("tlsv13 alert certificate required", "connection lost")


@pytest.fixture
def passthrough(request: pytest.FixtureRequest, root: Path) -> Iterator[Stack]:
    """Before vsftpd as Cloudflare's guide has it, with TLS; a test may add settings."""
    settings = {**SPECTRUM_RECIPE, **getattr(request, "param", {})}
    with (
        secure(vsftpd, root, HOST, FEW_PORTS, certificates().server, settings) as server,
        before(server, "passthrough") as stack,
    ):
        yield stack


def ports_open(address: str, source: str) -> set[int]:
    """The ports of the range that accept a connection from there."""
    found = set()
    for port in FEW_PORTS:
        with contextlib.suppress(ConnectionRefusedError):
            connect((address, port), source).close()
            found.add(port)
    return found


class TestPassthrough:
    @tried_with("ftplib", "ftplib-1.2", "curl", "curl-1.2", "lftp")
    def test_epsv(self, client: Client, passthrough: Stack, local: Path) -> None:
        carry(client, passthrough.account, passthrough.root, local)

    @pytest.mark.parametrize("passthrough", [{"pasv_address": "127.0.0.1"}], indirect=True)
    @tried_with("ftplib-pasv", "curl-pasv", "lftp-pasv")
    def test_pasv(self, client: Client, passthrough: Stack, local: Path) -> None:
        """The origin itself names the gateway."""
        carry(client, passthrough.account, passthrough.root, local)

    def test_five_at_once(self, passthrough: Stack, local: Path) -> None:
        carry_at_once(CLIENTS["ftplib"], 5, passthrough.account, passthrough.root, local)

    def test_data_ports_are_open_to_that_client_while_its_session_lives(self, passthrough: Stack) -> None:
        (passthrough.root / "file").write_bytes(content(65536))
        assert not ports_open("127.0.0.1", "127.0.0.1")
        with secured(passthrough.account) as ftp:
            _, port = ftp.makepasv()
            with connect(("127.0.0.1", port), STRANGER) as stranger:
                assert not read_all(stranger)
            passthrough.running.journal.wait("strangerRefused", stranger=STRANGER, port=port)
            with connect(("127.0.0.1", port)) as connection:
                ftp.putcmd("RETR file")
                assert ftp.getresp().startswith("150")
                with ftp.context.wrap_socket(connection, server_hostname=ftp.host, session=ftp.sock.session) as data:
                    assert b"".join(iter(lambda: data.recv(65536), b"")) == content(65536)
                    data.unwrap()
            ftp.voidresp()
        passthrough.running.journal.wait("disconnect")
        in_reactor(lambda: None)  # until the reactor is through with it
        assert not ports_open("127.0.0.1", "127.0.0.1")

    @pytest.mark.parametrize(
        "passthrough", [{"force_local_logins_ssl": "NO", "force_local_data_ssl": "NO"}], indirect=True
    )
    def test_plain_sessions_get_their_227_rewritten(self, passthrough: Stack) -> None:
        """Also while the client has another session, which opened every port."""
        (passthrough.root / "file").write_bytes(content(65536))
        account = passthrough.account
        plain = {"user": account.user, "password": account.password}
        for other in (contextlib.nullcontext(), secured(account)):
            with other, logged_in(passthrough.running.address, "PASV", **plain) as ftp:
                assert ftplib.parse227(ftp.sendcmd("PASV"))[0] == "127.0.0.1" != EXAMPLE_ADDRESS
                assert ftp.get("file") == content(65536)


@contextlib.contextmanager
def unknown(stack: Stack, source: str) -> Iterator[ssl.SSLSocket]:
    """The TLS control connection of somebody who has not logged in."""
    with Conversation(connect(stack.running.address, source)) as client:
        assert client.reply().startswith(b"220")
        assert client.ask(b"AUTH TLS").startswith(b"234")
        client.socket = secure = secure_client(client.socket)
        assert client.ask(b"NOOP")  # now TLS 1.3 has its tickets
        yield secure


@contextlib.contextmanager
def contending(ftp: FTPS, source: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A download for which a thief at that address connects first, and the client second."""
    ftp.voidcmd("TYPE I")
    _, port = ftp.makepasv()
    with connect(("127.0.0.1", port), source) as at_thief, connect(("127.0.0.1", port)) as at_client:
        ftp.putcmd("RETR file")
        assert ftp.getresp().startswith("150")
        yield at_thief, at_client


def taken(connection: socket.socket, session: ssl.SSLSession | None) -> bytes:
    """The bytes that arrive on a data connection with TLS."""
    received = bytearray()
    with contextlib.suppress(OSError), secure_client(connection, None, session) as data:
        while chunk := data.recv(65536):
            received += chunk
        data.unwrap()
    return bytes(received)


class TestThieves:
    """Somebody with a 234 but no login dials the data port of another client first, in mode passthrough."""

    @contextlib.contextmanager
    def passthrough(self, daemon: Daemon, root: Path, **settings: str) -> Iterator[Stack]:
        (root / "file").write_bytes(content(65536))
        with (
            secure(daemon, root, HOST, FEW_PORTS, certificates().server, settings) as server,
            before(server, "passthrough") as stack,
        ):
            yield stack

    @pytest.mark.parametrize("source", ["127.0.0.1", STRANGER])
    @pytest.mark.parametrize(
        ("daemon", "offers"),
        [(proftpd, "no session"), (proftpd, "his own session"), (vsftpd, "no session")],
        ids=lambda value: getattr(value, "name", value),
    )
    def test_an_origin_that_insists_on_the_session_protects_its_data(
        self, daemon: Daemon, offers: str, source: str, root: Path
    ) -> None:
        """The thief gets nothing, and the client is told that it gets nothing either."""
        with (
            self.passthrough(daemon, root) as stack,
            secured(stack.account) as ftp,
            unknown(stack, source) as thief,
            contending(ftp, source) as (at_thief, at_client),
        ):
            assert taken(at_thief, thief.session if offers == "his own session" else None) == b""
            with at_client, contextlib.suppress(ConnectionResetError):
                assert not read_all(at_client)
            with pytest.raises(ftplib.Error, match=r"^[45]\d\d "):
                ftp.voidresp()

    @pytest.mark.parametrize("source", ["127.0.0.1", STRANGER])
    @pytest.mark.parametrize(
        ("daemon", "offers", "settings"),
        [
            (vsftpd, "no session", {"require_ssl_reuse": "NO"}),
            (vsftpd, "his own session", {"require_ssl_reuse": "YES"}),
            (pure_ftpd, "no session", {}),
        ],
        ids=lambda value: getattr(value, "name", value) if not isinstance(value, dict) else "",
    )
    def test_the_gateway_cannot_protect_data_that_it_cannot_read(
        self, daemon: Daemon, offers: str, settings: dict[str, str], source: str, root: Path
    ) -> None:
        """Not a defence, but the reason for the warning about this mode: vsftpd accepts any session of its own."""
        with (
            self.passthrough(daemon, root, **settings) as stack,
            secured(stack.account) as ftp,
            unknown(stack, source) as thief,
            contending(ftp, source) as (at_thief, _),
        ):
            assert taken(at_thief, thief.session if offers == "his own session" else None) == content(65536)
            ftp.voidresp()
