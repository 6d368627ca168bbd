"""The bytes that TLS leaves visible, and the connections that it lets in, seen in packets and by openssl."""

from __future__ import annotations

import contextlib
import io
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Protocol

import attrs
import pytest

from origin import Origin
from tests.kit import PATIENCE
from tests.kit.certificates import Pair, certificates
from tests.kit.clients import FTP, logged_in
from tests.kit.gateway import Journal, application, gateway, tls_table
from tests.kit.mistakes import no_mistakes
from tests.kit.packets import Stream, captured, obstacle
from tests.kit.ports import take
from tests.kit.servers.requirements import require
from tests.kit.tls_clients import Account, secured

NETWORK = IPv4Network("127.28.3.0/24")
GATEWAY, ORIGIN = "127.28.3.1", "127.28.3.2"
PORTS = take(50)

PASSWORD = b"a password to be looked for"
UPLOAD, DOWNLOAD = b"what the client stores; " * 3000, b"what the client fetches; " * 3000
NAME = b"the-name-of-a-file"
EVERYTHING = frozenset({PASSWORD, NAME, UPLOAD, DOWNLOAD})
NOTHING: frozenset[bytes] = frozenset()


@attrs.frozen
class Case:
    """A way to set it up, and what can be read of it.

    :param keys: of `application.tls`.
    :param secure: how the client protects itself: not, the control connection alone, or all.
    :param origin: whether the origin wants TLS, and implicitly.
    """

    keys: dict[str, str | bool]
    secure: str
    origin: str
    at_client: frozenset[bytes]
    at_origin: frozenset[bytes]


CASES = {
    "off": Case({"mode": "off"}, "nothing", "plain", EVERYTHING, EVERYTHING),
    "flexible": Case({"mode": "flexible"}, "everything", "plain", NOTHING, EVERYTHING),
    "flexible, PROT C": Case(
        {"mode": "flexible"}, "control", "plain", frozenset({NAME, UPLOAD, DOWNLOAD}), EVERYTHING
    ),
    "full": Case({"mode": "full"}, "everything", "explicit", NOTHING, NOTHING),
    "full, PROT C": Case({"mode": "full"}, "control", "explicit", frozenset({NAME, UPLOAD, DOWNLOAD}), NOTHING),
    "full, client in the clear": Case({"mode": "full"}, "nothing", "explicit", EVERYTHING, NOTHING),
    "strict": Case({"mode": "strict"}, "everything", "explicit", NOTHING, NOTHING),
    "strict, implicit": Case(
        {"mode": "strict", "implicit": True, "origin_implicit": True}, "everything", "implicit", NOTHING, NOTHING
    ),
    "passthrough": Case({"mode": "passthrough"}, "everything", "explicit", NOTHING, NOTHING),
}


def found(streams: list[Stream], host: str) -> frozenset[bytes]:
    """Which of it can be read in the connections of a host."""
    contents = [stream.content for stream in streams if stream.touches(host)]
    # Of what a file holds, any line is enough.
    return frozenset(secret for secret in EVERYTHING if any(secret[:24] in content for content in contents))


@pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
class TestCapture:
    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_what_can_be_read(self, case: Case, tmp_path: Path) -> None:
        (tmp_path / NAME.decode()).write_bytes(DOWNLOAD)
        ours = certificates()
        pair = ours.issue("wire", GATEWAY, ORIGIN)
        keys = {**case.keys, **({"origin_ca": ours.ca} if case.keys["mode"] == "strict" else {})}
        with contextlib.ExitStack() as stack:
            stack.enter_context(no_mistakes())
            origin = stack.enter_context(served(case.origin, tmp_path, pair))
            toml = application(origin, PORTS, listen=f"tcp:0:interface={GATEWAY}", more=tls_table(pair=pair, **keys))
            running = stack.enter_context(gateway(toml))
            streams = stack.enter_context(captured(NETWORK))
            account = Account(
                running.address[1], ours.ca, "user", PASSWORD.decode(), bool(case.keys.get("implicit")), GATEWAY
            )
            with session(case.secure, account) as ftp:
                assert ftp.nlst() == [NAME.decode()]
                ftp.storbinary("STOR upload", io.BytesIO(UPLOAD))
                assert ftp.get(NAME.decode()) == DOWNLOAD
            running.journal.wait("disconnect")
        assert (tmp_path / "upload").read_bytes() == UPLOAD
        for host in (GATEWAY, ORIGIN):
            seen = [stream for stream in streams if stream.touches(host)]
            connections = {frozenset((stream.source, stream.destination)) for stream in seen}
            assert len(connections) == 4  # the control connection, and three more
            assert sum(len(stream.content) for stream in seen) > len(UPLOAD + DOWNLOAD)
        assert (found(streams, GATEWAY), found(streams, ORIGIN)) == (case.at_client, case.at_origin)


@contextlib.contextmanager
def served(tls: str, root: Path, pair: Pair) -> Iterator[tuple[str, int]]:
    """An origin, and where it listens."""
    users = {"user": PASSWORD.decode()}
    more = {} if tls == "plain" else {"certificate": pair.certificate, "key": pair.key, "tls_required": True}
    with Origin(
        root,
        listen=(ORIGIN, 0),
        passive_ports=PORTS,
        users=users,
        writable=True,
        implicit_tls=tls == "implicit",
        **more,
    ) as origin:
        yield origin.address


@contextlib.contextmanager
def session(secure: str, account: Account) -> Iterator[FTP]:
    """A client's, with so much protected."""
    with (
        logged_in((account.name, account.port), user=account.user, password=account.password)
        if secure == "nothing"
        else secured(account, private=secure == "everything")
    ) as ftp:
        yield ftp


class OpenSSL(Protocol):
    """openssl's client: connects to a gateway, and gives what it said, and the gateway's events."""

    def __call__(self, *options: str, stdin: str = "Q\n", **keys: str) -> tuple[str, Journal]:
        """Takes more options of its own, and more keys of `application.tls`."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with Origin(tmp_path_factory.mktemp("root"), listen=("127.0.0.2", 0), anonymous=True) as origin:
        yield origin.address


@pytest.fixture(params=[False, True], ids=["explicit", "implicit"])
def openssl(request: pytest.FixtureRequest, place: tuple[str, int]) -> OpenSSL:
    require("openssl")

    def run(*options: str, stdin: str = "Q\n", **keys: str) -> tuple[str, Journal]:
        more = tls_table("flexible", implicit=request.param, **keys)
        with no_mistakes(), gateway(application(place, PORTS, more=more)) as running:
            host, port = running.address
            done = subprocess.run(
                [
                    *("openssl", "s_client", "-connect", f"{host}:{port}", "-verify_return_error"),
                    *("-CAfile", certificates().ca, "-verify_hostname", "localhost"),
                    *(() if request.param else ("-starttls", "ftp")),
                    *options,
                ],
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
            )
        return done.stdout, running.journal

    return run


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of certificates for several names."""
    path = tmp_path_factory.mktemp("certificates")
    for stem, name in (("a", "one.example.com"), ("b", "two.example.com"), ("c", "*.other.example.com")):
        pair = certificates().issue(stem, name)
        (path / f"{stem}.pem").write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    return path


class TestOpenSSL:
    @pytest.mark.parametrize("version", ["1_2", "1_3"])
    def test_a_version(self, openssl: OpenSSL, version: str) -> None:
        said, journal = openssl(f"-tls{version}")
        assert f"New, TLSv{version.replace('_', '.')}, Cipher is " in said
        assert "Verified peername: localhost" in said
        assert not journal.all("tlsError")

    @pytest.mark.parametrize(
        ("version", "minimum"), [("1", "1.2"), ("1_1", "1.2"), ("1", "1.3"), ("1_1", "1.3"), ("1_2", "1.3")]
    )
    def test_an_old_version(self, openssl: OpenSSL, version: str, minimum: str) -> None:
        said, journal = openssl(f"-tls{version}", "-cipher", "ALL:@SECLEVEL=0", minimum_version=minimum)
        assert "alert protocol version" in said
        [error] = journal.all("tlsError")
        assert (error["side"], error["reason"]) == ("client", "unsupported protocol")

    def test_weak_ciphers(self, openssl: OpenSSL) -> None:
        said, journal = openssl("-tls1_2", "-cipher", "aNULL:eNULL:RC4:3DES:@SECLEVEL=0")
        assert "alert handshake failure" in said
        [error] = journal.all("tlsError")
        assert error["reason"] == "no shared cipher"

    def test_renegotiation(self, openssl: OpenSSL) -> None:
        said, _ = openssl("-tls1_2", stdin="R\n")
        assert "RENEGOTIATING\n" in said
        # What the gateway's alert says; or what the client says where the greeting came in the midst of it.
        assert ":no renegotiation:" in said or ":unexpected record:" in said

    @pytest.mark.parametrize("version", ["1_2", "1_3"])
    @pytest.mark.parametrize("offered", ["http/1.1", "h2,smtp"])
    def test_another_protocol_s_alpn(self, openssl: OpenSSL, offered: str, version: str) -> None:
        """ALPACA (CVE-2021-3618)."""
        said, journal = openssl(f"-tls{version}", "-alpn", offered)
        assert "alert no application protocol" in said
        [error] = journal.all("tlsError")
        assert error["reason"] == "the client's ALPN does not offer ftp"

    @pytest.mark.parametrize("version", ["1_2", "1_3"])
    @pytest.mark.parametrize("offered", ["ftp", "http/1.1,ftp"])
    def test_alpn(self, openssl: OpenSSL, offered: str, version: str) -> None:
        said, _ = openssl(f"-tls{version}", "-alpn", offered)
        assert "ALPN protocol: ftp\n" in said

    @pytest.mark.parametrize(
        ("asked", "shown"),
        [
            ("one.example.com", "one.example.com"),
            ("TWO.example.com", "two.example.com"),
            ("any.other.example.com", "any.other.example.com"),
            ("unknown.example.org", "one.example.com"),
            (None, "one.example.com"),
        ],
    )
    def test_the_name_picks_the_certificate(
        self, openssl: OpenSSL, asked: str | None, shown: str, directory: Path
    ) -> None:
        name = ("-noservername",) if asked is None else ("-servername", asked)
        said, _ = openssl(*name, "-verify_hostname", shown, pair=directory)
        assert f"Verified peername: {shown}" in said.replace("*.other", "any.other")
