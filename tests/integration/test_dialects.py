"""The embedded origin's dialects: their words, and the gateway in front of each."""

from __future__ import annotations

import ftplib
import io
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from origin import Origin
from origin.dialects import DIALECTS
from tests.kit import PATIENCE
from tests.kit.capture import Protect, naming
from tests.kit.certificates import certificates
from tests.kit.clients import FTP, logged_in, run
from tests.kit.content import content
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import RunningGateway, application
from tests.kit.ports import take
from tests.kit.servers import Daemon, proftpd, pure_ftpd, vsftpd
from tests.kit.servers.requirements import require
from tests.kit.sockets import read_all

HOST = "127.0.0.22"
PORTS = take(100)
REAL_PORTS = take(20)
USERS = {"user": "secret"}


# Neither ftplib nor curl knows of a 120 before the 220.
@pytest.fixture(params=[name for name in DIALECTS if name != "preliminary-greeting"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def origin(dialect: str, root: Path) -> Iterator[Origin]:
    (root / "file").write_bytes(content(100_000))
    with Origin(root, listen=(HOST, 0), passive_ports=PORTS, users=USERS, writable=True, dialect=dialect) as running:
        yield running


@pytest.fixture
def running(origin: Origin, protect: Protect) -> RunningGateway:
    """In the end no client of it was told of the origin's address."""
    return protect(application(origin.address, PORTS))


@pytest.mark.parametrize("passive", ["EPSV", "PASV"])
def test_transfers(dialect: str, root: Path, running: RunningGateway, passive: str) -> None:
    with logged_in(running.address, passive) as ftp:
        if dialect == "wuftpd" and passive == "EPSV":
            with pytest.raises(ftplib.error_perm, match=r"^500 'EPSV': command not understood\.$"):
                ftp.makepasv()
            return
        assert ftp.get("file") == content(100_000)
        ftp.storbinary("STOR copy", io.BytesIO(content(50_000)))
        assert (root / "copy").read_bytes() == content(50_000)
        assert sorted(ftp.nlst()) == ["copy", "file"]
        assert ftp.sendcmd("STAT file").endswith("213 End of status.")
    assert running.journal.wait("disconnect")["outcome"] == "quit"
    assert not running.journal.all("originError")


@pytest.mark.parametrize("passive", ["EPSV", "PASV"])
def test_curl(root: Path, here: Path, running: RunningGateway, passive: str) -> None:
    """It takes a file's size out of some 150s, and PASV where there is no EPSV."""
    require("curl")
    host, port = running.address
    common = ["curl", "-q", "-sS", "--user", "user:secret"]
    common += ["--disable-epsv", "--no-ftp-skip-pasv-ip"] if passive == "PASV" else []
    (here / "upload").write_bytes(content(50_000))
    url = f"ftp://{host}:{port}"
    process = run(*common, "-T", "upload", f"{url}/new", "--next", *common[2:], "-O", f"{url}/file", directory=here)
    assert process.returncode == 0, process.stderr
    assert (root / "new").read_bytes() == content(50_000)
    assert (here / "file").read_bytes() == content(100_000)


@pytest.mark.parametrize("dialect", ["proftpd", "wuftpd"], indirect=True)
def test_a_greeting_that_names_the_origin(origin: Origin, running: RunningGateway) -> None:
    with Conversation.to(origin.address) as direct, Conversation.to(running.address) as client:
        greeting = direct.reply()
        assert naming(HOST, greeting) == [greeting]
        assert client.reply() == greeting.replace(HOST.encode(), b"127.0.0.1")


@pytest.mark.parametrize("dialect", ["no-parentheses", "other-delimiter"], indirect=True)
def test_unusual_passive_replies(dialect: str, origin: Origin, running: RunningGateway) -> None:
    usual = rb"227 Entering Passive Mode \(127,0,0,1,[0-9]+,[0-9]+\)\."
    replies = {
        "no-parentheses": (b"PASV", rb"227 Entering Passive Mode [0-9]+(,[0-9]+){5}", usual),
        "other-delimiter": (b"EPSV", *[rb"229 Entering Extended Passive Mode \(!!![0-9]+!\)"] * 2),
    }
    command, theirs, ours = replies[dialect]
    for address, expected in ((origin.address, theirs), (running.address, ours)):
        with Conversation.to(address) as client:
            client.login()
            assert re.fullmatch(expected, client.ask(command))


@pytest.mark.parametrize("dialect", ["four-spaces"], indirect=True)
def test_features_with_four_spaces(origin: Origin, running: RunningGateway) -> None:
    with Conversation.to(origin.address) as direct, Conversation.to(running.address) as client:
        client.login()
        direct.login()
        theirs = direct.ask(b"FEAT").split(b"\r\n")
        assert b"    EPRT" in theirs
        theirs.remove(b"    EPRT")
        assert client.ask(b"FEAT").split(b"\r\n") == theirs


@pytest.mark.parametrize("dialect", ["multi-line-login"], indirect=True)
def test_a_login_that_looks_like_many_replies(origin: Origin, running: RunningGateway) -> None:
    replies = []
    for address in (origin.address, running.address):
        with Conversation.to(address) as client:
            client.reply()
            client.ask(b"USER user")
            replies.append(client.ask(b"PASS secret"))
            assert client.ask(b"NOOP").startswith(b"200 ")
    theirs, ours = replies
    assert b"\r\n 227 Entering Passive Mode (10,0,0,1,4,1).\r\n" in theirs
    assert ours == theirs


@pytest.mark.parametrize("dialect", ["preliminary-greeting"], indirect=True)
def test_a_preliminary_greeting(running: RunningGateway) -> None:
    with FTP() as ftp:
        assert ftp.connect(*running.address) == "120 Service ready in 1 minutes."
        assert ftp.getresp() == "220 Service ready for new user."
        ftp.login("user", "secret")
        assert ftp.get("file") == content(100_000)


@pytest.mark.parametrize(
    ("daemon", "dialect"),
    [(vsftpd, "vsftpd"), (proftpd, "proftpd"), (pure_ftpd, "pureftpd")],
    ids=["vsftpd", "ProFTPD", "Pure-FTPd"],
    indirect=["dialect"],
)
def test_imitations(daemon: Daemon, origin: Origin, root: Path) -> None:
    """They say what the real ones say, but for numbers, and features that are not there."""
    require(daemon.name)
    with daemon(root, HOST, passive_ports=REAL_PORTS, user="user", password="secret") as server:
        assert spoken(origin.address) == spoken(server.address)


def spoken(address: tuple[str, int]) -> list[bytes]:
    """Every reply of one session."""
    with Conversation.to(address) as client:
        said = [client.reply()]
        said += [client.ask(command) for command in (b"USER user", b"PASS secret", b"TYPE I", b"XYZ")]
        features = client.ask(b"FEAT").split(b"\r\n")
        assert all(re.match(rb" [A-Z]", line) for line in features[1:-1])
        said += [features[0], features[-1]]
        for passive, pattern in ((b"PASV", rb",([0-9]+),([0-9]+)\)"), (b"EPSV", rb"\|()([0-9]+)\|")):
            for command in (b"RETR file", b"LIST", b"STOR new"):
                said.append(client.ask(passive))
                found = re.search(pattern, said[-1])
                assert found, said[-1]
                with connect((HOST, int(found[1] or 0) * 256 + int(found[2]))) as data:
                    said.append(client.ask(command))
                    if command == b"STOR new":
                        data.sendall(b"content")
                    else:
                        read_all(data)
                said.append(client.reply())
        said.append(client.ask(b"QUIT"))
    return [re.sub(rb"(?<=[^0-9\n])[0-9]+", b"0", reply).replace(b"Mbytes", b"Kbytes") for reply in said]


def test_over_tls(root: Path) -> None:
    """AUTH, too, has an answer, and nothing of it comes behind the handshake."""
    (root / "file").write_bytes(b"content")
    pair = certificates().server
    trust = ssl.create_default_context(cafile=certificates().ca)
    with (
        Origin(
            root, users=USERS, dialect="pureftpd", fault="late", certificate=pair.certificate, key=pair.key
        ) as origin,
        ftplib.FTP_TLS(context=trust, timeout=PATIENCE) as ftp,
    ):
        ftp.connect(*origin.address)
        ftp.login("user", "secret")
        ftp.prot_p()
        received: list[bytes] = []
        assert ftp.retrbinary("RETR file", received.append).startswith("226-File successfully transferred")
        assert b"".join(received) == b"content"
