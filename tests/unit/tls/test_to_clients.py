"""TLS towards clients."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from OpenSSL import SSL

from gateway.tls.certificates import CertificateError, CertificateFiles
from gateway.tls.to_clients import ServerTLS, SessionTLS, resumed
from tests.kit.certificates import Pair, certificates
from tests.unit.tls.handshake import hear, leave, pass_on, shake_hands

VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}
NO_SOCKET = cast(socket.socket, None)  # in memory


def server(
    files: CertificateFiles | None = None, version: str = "1.2", complaints: list[str] | None = None
) -> ServerTLS:
    pair = certificates().server
    told = [] if complaints is None else complaints
    return ServerTLS(files or CertificateFiles(pair.certificate, pair.key), version, told.append)


def client(version: str | None = None, *, alpn: list[bytes] | None = None) -> SSL.Context:
    """One that trusts the tests' authority."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(certificates().ca))
    context.set_verify(SSL.VERIFY_PEER)
    if version is not None:
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
    if alpn is not None:
        context.set_alpn_protos(alpn)
    return context


def control(session: SessionTLS, context: SSL.Context, name: bytes | None = None) -> SSL.Connection:
    """The client's end of a control connection, its handshake over."""
    end, ours = SSL.Connection(context, None), session.accept(NO_SOCKET)
    if name is not None:
        end.set_tlsext_host_name(name)
    shake_hands(end, ours)
    leave(end, ours)
    return end


def data(
    session: SessionTLS, context: SSL.Context, ticket: SSL.Session | None, name: bytes | None = None
) -> SSL.Connection:
    """The gateway's end of a data connection; it would have a socket."""
    end, ours = SSL.Connection(context, None), session.accept(NO_SOCKET)
    if name is not None:
        end.set_tlsext_host_name(name)
    if ticket is not None:
        end.set_session(ticket)
    shake_hands(end, ours)
    leave(end, ours)
    return ours


def names(end: SSL.Connection) -> set[str]:
    """Of the certificate that the client was shown."""
    certificate = end.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found.get_values_for_type(x509.DNSName))


def failure(session: SessionTLS, context: SSL.Context) -> str:
    """Why a handshake fails, in the words of the end that gave up first."""
    with pytest.raises(SSL.Error) as raised:
        control(session, context)
    return str(raised.value)


# What is shown and spoken


@pytest.mark.parametrize("version", VERSIONS)
def test_the_certificate_is_shown_with_those_that_vouch_for_it(version: str) -> None:
    end = control(server().session(), client(version))
    assert end.get_protocol_version_name() == version
    assert names(end) == {"ftp.example.com", "localhost"}


def test_old_versions_are_refused() -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_max_proto_version(SSL.TLS1_1_VERSION)
    assert "unsupported protocol" in failure(server().session(), context)


def test_a_minimum_of_1_3_refuses_1_2() -> None:
    session = server(version="1.3").session()
    assert "unsupported protocol" in failure(session, client("TLSv1.2"))
    assert control(session, client("TLSv1.3")).get_protocol_version_name() == "TLSv1.3"


def test_renegotiation_is_refused() -> None:
    end = SSL.Connection(client("TLSv1.2"), None)
    ours = server().session().accept(NO_SOCKET)
    shake_hands(end, ours)
    assert end.renegotiate()
    with pytest.raises(SSL.WantReadError):
        end.do_handshake()
    pass_on(end, ours)
    assert hear(ours) == b""
    pass_on(ours, end)
    with pytest.raises(SSL.Error, match="no renegotiation"):
        end.do_handshake()


# ALPN


@pytest.mark.parametrize("offered", [[b"ftp"], [b"x-filezilla-ftp", b"ftp"], [b"h2", b"ftp"]])
def test_alpn_of_ftp(offered: list[bytes]) -> None:
    assert control(server().session(), client(alpn=offered)).get_alpn_proto_negotiated() == b"ftp"


def test_no_alpn_at_all() -> None:
    assert control(server().session(), client()).get_alpn_proto_negotiated() == b""


@pytest.mark.parametrize("offered", [[b"http/1.1"], [b"h2", b"http/1.1"], [b"smtp"], [b"FTP"]])
def test_alpn_of_other_protocols_ends_the_handshake(offered: list[bytes]) -> None:
    assert "the client's ALPN does not offer ftp" in failure(server().session(), client(alpn=offered))


# Names


@pytest.fixture
def directory(tmp_path: Path) -> CertificateFiles:
    for number, pair in enumerate((certificates().server, certificates().other_name)):
        file = tmp_path / f"{number}.pem"
        file.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    return CertificateFiles(tmp_path, None)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (None, "ftp.example.com"),
        (b"ftp.example.com", "ftp.example.com"),
        (b"other.example.com", "other.example.com"),
        (b"OTHER.example.com", "other.example.com"),
        (b"nobody.example.com", "ftp.example.com"),
        (b"\xff\xfe.example.com", "ftp.example.com"),
    ],
)
def test_the_name_that_the_client_asks_for(
    directory: CertificateFiles, version: str, name: bytes | None, shown: str
) -> None:
    assert shown in names(control(server(directory).session(), client(version), name))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("again", [True, False], ids=["named again", "not named again"])
def test_a_session_of_another_name_can_be_resumed(directory: CertificateFiles, version: str, again: bool) -> None:
    session, context = server(directory).session(), client(version)
    ticket = control(session, context, b"other.example.com").get_session()
    assert resumed(data(session, context, ticket, b"other.example.com" if again else None))


# Resumption


@pytest.mark.parametrize("version", VERSIONS)
class TestResumption:
    def test_data_connections_resume_the_control_connection(self, version: str) -> None:
        session, context = server().session(), client(version)
        end = control(session, context)
        for _ in range(3):
            assert resumed(data(session, context, end.get_session()))

    def test_one_that_does_not(self, version: str) -> None:
        session, context = server().session(), client(version)
        control(session, context)
        assert not resumed(data(session, context, None))

    def test_the_session_of_another_client_is_no_use(self, version: str) -> None:
        application, context = server(), client(version)
        session, other = application.session(), application.session()
        control(session, context)
        assert not resumed(data(session, context, control(other, context).get_session()))

    def test_clients_without_tickets(self, version: str) -> None:
        session, context = server().session(), client(version)
        context.set_options(SSL.OP_NO_TICKET)
        end = control(session, context)
        for _ in range(3):
            assert resumed(data(session, context, end.get_session()))

    def test_the_session_of_a_data_connection_is_as_good(self, version: str) -> None:
        session, context = server().session(), client(version)
        end, ours = SSL.Connection(context, None), session.accept(NO_SOCKET)
        ticket = control(session, context).get_session()
        assert ticket is not None
        end.set_session(ticket)
        shake_hands(end, ours)
        leave(end, ours)
        assert resumed(data(session, context, end.get_session()))


# Files that change


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """Copies of a good pair, that a test may change."""
    put(tmp_path, certificates().server)
    return CertificateFiles(tmp_path / "chain.pem", tmp_path / "key.pem")


def put(directory: Path, pair: Pair) -> None:
    for source, name in ((pair.certificate, "chain.pem"), (pair.key, "key.pem")):
        new = directory / "new"
        shutil.copy(source, new)
        new.rename(directory / name)


def test_new_sessions_show_the_new_certificate_and_running_ones_go_on(files: CertificateFiles) -> None:
    application, context = server(files), client()
    before = application.session()
    ticket = control(before, context).get_session()
    put(files.path.parent, certificates().other_name)
    assert names(control(application.session(), context)) == {"other.example.com"}
    assert resumed(data(before, context, ticket))
    assert names(control(before, context)) == {"ftp.example.com", "localhost"}


def test_files_that_cannot_be_used_are_told_once(files: CertificateFiles) -> None:
    complaints: list[str] = []
    application, context = server(files, complaints=complaints), client()
    good = files.path.read_bytes()

    files.path.write_text("half of a certifica")
    for _ in range(3):
        assert names(control(application.session(), context)) == {"ftp.example.com", "localhost"}
    assert complaints == [f"{files.path} holds no PEM certificate"]

    files.path.unlink()
    for _ in range(3):
        application.session()
    assert complaints[1:] == [f"{files.path}: No such file or directory"]

    files.path.write_bytes(good)
    application.session()
    files.path.unlink()
    application.session()
    assert complaints[2:] == [f"{files.path}: No such file or directory"]


def test_files_that_cannot_be_used_at_first(files: CertificateFiles) -> None:
    files.path.unlink()
    with pytest.raises(CertificateError, match="No such file"):
        server(files)
