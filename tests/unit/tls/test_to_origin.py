"""TLS towards the origin."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from OpenSSL import SSL

from gateway.tls.certificates import read_certificate
from gateway.tls.to_origin import OriginSession, OriginTLS
from tests.kit.certificates import Pair, certificates
from tests.unit.tls.handshake import leave, pass_on, shake_hands
from tests.unit.tls.test_certificates import nameless

VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}
NO_SOCKET = cast(socket.socket, None)  # in memory


def towards(
    name: str | None, *, trust: Path | None = None, shown: Pair | None = None, version: str = "1.2"
) -> OriginTLS:
    """How an origin of that name is spoken to; None: whoever it is."""
    certificate = None if shown is None else read_certificate(shown.certificate, shown.key)
    server_name = None if name is None or name[0].isdigit() or ":" in name else name
    return OriginTLS(version, name, trust or certificates().ca, certificate, server_name)


def origin(pair: Pair, version: str | None = None, *, asks: bool = False) -> SSL.Context:
    """An origin that shows this certificate.

    :param asks: whether it wants to see one.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_session_id(b"origin")
    read_certificate(pair.certificate, pair.key).install(context)
    if version is not None:
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
    if asks:
        context.load_verify_locations(str(certificates().ca))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    return context


def control(session: OriginSession, context: SSL.Context) -> tuple[SSL.Connection, SSL.Connection]:
    """Both ends of a control connection, the gateway's first, its handshake over."""
    ours, theirs = session.begin(NO_SOCKET), SSL.Connection(context, None)
    shake_hands(ours, theirs)
    leave(theirs)
    return ours, theirs


def data(session: OriginSession, context: SSL.Context) -> tuple[SSL.Connection, SSL.Connection]:
    """Both ends of a data connection, the gateway's first, over real sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        one, other = session.connect(ours), SSL.Connection(context, theirs)
        other.set_accept_state()
        for connection in (ours, theirs):
            connection.setblocking(False)
        waiting = [one, other]
        while waiting:
            for end in waiting.copy():
                try:
                    end.do_handshake()
                except SSL.WantReadError:
                    continue
                waiting.remove(end)
    leave(one, other)
    return one, other


# Who it is


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["ftp.example.com", "127.0.0.2", "::1", "FTP.example.com"])
def test_the_right_origin(version: str, name: str) -> None:
    session = towards(name).session()
    ours, _ = control(session, origin(certificates().server, version))
    assert session.check(ours) is None
    assert session.failure is None


@pytest.mark.parametrize("name", ["other.example.com", "example.com", "127.0.0.3", "ftp.example.com.evil.example"])
def test_an_origin_of_another_name(name: str) -> None:
    session = towards(name).session()
    ours, _ = control(session, origin(certificates().server))
    assert session.check(ours) == f"certificate is not for {name}"


@pytest.mark.parametrize("name", ["ftp.example.com", "127.0.0.2"])
def test_an_origin_whose_certificate_bears_no_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / "nameless.pem"
    file.write_bytes(nameless())
    session = towards(name, trust=file).session()
    ours, _ = control(session, origin(Pair(file, file)))
    assert session.check(ours) == f"certificate is not for {name}"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("expired", "certificate has expired"),
        ("self_signed", "certificate is self-signed"),
        ("unknown_ca", "certificate is issued by an unknown authority"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_an_origin_that_cannot_be_believed(version: str, kind: str, why: str) -> None:
    context = origin(getattr(certificates(), kind), version)
    session = towards("ftp.example.com").session()
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        control(session, context)
    assert session.failure == why
    # of a data connection it is the same
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        data(towards("ftp.example.com").session(), context)


def test_a_chain_that_ends_in_an_authority_of_its_own(tmp_path: Path) -> None:
    made = certificates()
    chain = tmp_path / "chain.pem"
    chain.write_bytes(made.server.certificate.read_bytes() + made.ca.read_bytes())
    file = tmp_path / "other.pem"
    file.write_bytes(nameless())
    session = towards("ftp.example.com", trust=file).session()
    with pytest.raises(SSL.Error):
        control(session, origin(Pair(chain, made.server.key)))
    assert session.failure == "certificate chain ends in an unknown self-signed certificate"


def test_a_failure_that_has_no_words_of_ours() -> None:
    session = towards("ftp.example.com").session()
    ours, _ = control(session, context := origin(certificates().client))
    assert session.check(ours) == "certificate is not for ftp.example.com"
    assert not session._judge(SSL.Connection(context, None), None, 26, 0, 0)
    assert session.failure == "certificate verification failed with OpenSSL's error 26"
    assert not session._judge(SSL.Connection(context, None), None, 10, 0, 0)
    assert session.failure == "certificate verification failed with OpenSSL's error 26"


@pytest.mark.parametrize("kind", ["server", "expired", "self_signed", "unknown_ca", "other_name"])
def test_whoever_it_is(kind: str) -> None:
    session = towards(None).session()
    ours, _ = control(session, context := origin(getattr(certificates(), kind)))
    assert session.check(ours) is None
    ours, _ = data(session, context)
    assert session.check(ours) is None


def test_without_a_file_the_systems_authorities_are_trusted() -> None:
    session = OriginTLS("1.2", "ftp.example.com", None, None, "ftp.example.com").session()
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        control(session, origin(certificates().server))


# What is said and shown


@pytest.mark.parametrize(("name", "said"), [("ftp.example.com", b"ftp.example.com"), ("127.0.0.2", None)])
def test_the_server_name(name: str, said: bytes | None) -> None:
    assert control(towards(name).session(), origin(certificates().server))[1].get_servername() == said


@pytest.mark.parametrize("version", VERSIONS)
def test_the_certificate_that_is_shown(version: str) -> None:
    session = towards("ftp.example.com", shown=certificates().client).session()
    context = origin(certificates().server, version, asks=True)
    _, end = control(session, context)
    shown = end.get_peer_certificate(as_cryptography=True)
    assert shown == x509.load_pem_x509_certificates(certificates().client.certificate.read_bytes())[0]
    _, theirs = data(session, context)
    assert theirs.get_peer_certificate(as_cryptography=True) == shown


def test_the_minimum_version() -> None:
    session = towards("ftp.example.com", version="1.3").session()
    with pytest.raises(SSL.Error):
        control(session, origin(certificates().server, "TLSv1.2"))
    assert control(session, origin(certificates().server))[1].get_protocol_version_name() == "TLSv1.3"


# Resumption


@pytest.mark.parametrize("version", VERSIONS)
def test_data_connections_resume_the_control_connection(version: str) -> None:
    context = origin(certificates().server, version)
    session = towards("ftp.example.com").session()
    control(session, context)
    for _ in range(3):
        ours, theirs = data(session, context)
        assert session.check(ours) is None
        assert reused(theirs)


def test_a_data_connection_takes_the_newest_ticket() -> None:
    """Those of TLS 1.3 come behind the handshake."""
    context = origin(certificates().server, "TLSv1.3")
    session = towards("ftp.example.com").session()
    ours, theirs = session.begin(NO_SOCKET), SSL.Connection(context, None)
    shake_hands(ours, theirs)
    theirs.send(b"220 Ready.\r\n")
    pass_on(theirs, ours)
    with pytest.raises(SSL.WantReadError):
        ours.recv(100)  # each call reads one message: first the ticket
    assert ours.recv(100) == b"220 Ready.\r\n"
    assert reused(data(session, context)[1])


def test_a_data_connection_of_an_origin_in_the_clear_is_new() -> None:
    context = origin(certificates().server)
    ours, theirs = data(towards("ftp.example.com").session(), context)
    assert not reused(theirs)
    assert ours.get_protocol_version_name() == "TLSv1.3"


def reused(end: SSL.Connection) -> bool:
    """Whether its session was resumed."""
    return bool(SSL._lib.SSL_session_reused(end._ssl))  # type: ignore[attr-defined]
