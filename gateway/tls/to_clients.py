"""TLS towards clients."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

import attrs
from OpenSSL import SSL

from gateway.tls.certificates import Certificate, CertificateError, CertificateFiles, CertificateSet

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
PARTIAL_WRITE = 1  # SSL_MODE_ENABLE_PARTIAL_WRITE, set by pyOpenSSL but not named: one record a call
_FTP = b"ftp"  # the ALPN name of FTP in IANA's registry, which refers to RFC 4217


@attrs.define(eq=False)
class ServerTLS:
    """The TLS that one application offers its clients.

    :param files: its certificates.
    :param minimum_version: the oldest version of TLS that is accepted: 1.2 or 1.3.
    :param complain: called with the reason where changed files cannot be used; the earlier certificates stay in use.
    """

    files: CertificateFiles
    minimum_version: str
    complain: Callable[[str], None] = attrs.field(repr=False)
    _last: CertificateSet = attrs.field(init=False, repr=False)
    _complaint: str | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._last = self.files.read()

    def session(self) -> SessionTLS:
        """The TLS of one client's session."""
        try:
            self._last, self._complaint = self.files.read(), None
        except CertificateError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                self.complain(self._complaint)
        return SessionTLS(self._last, self.minimum_version)


@attrs.define(eq=False)
class SessionTLS:
    """The TLS of one client's control and data connections.

    The session has a context of its own, and so its own keys for session tickets: a data connection can resume only a
    TLS session of the client that has the control connection (RFC 4217 section 10.2).
    """

    certificates: CertificateSet = attrs.field(repr=False)
    minimum_version: str
    _identifier: bytes = attrs.field(factory=lambda: secrets.token_bytes(16), init=False, repr=False)
    _contexts: dict[Certificate, SSL.Context] = attrs.field(factory=dict, init=False, repr=False)

    def accept(self, client: socket.socket) -> SSL.Connection:
        """A TLS connection with a client, control or data; its handshake has not begun."""
        connection = SSL.Connection(self._first, client)
        one_record_a_call(connection)
        connection.set_accept_state()
        return connection

    @property
    def _first(self) -> SSL.Context:
        return self._context(self.certificates.certificates[0])

    def _context(self, certificate: Certificate) -> SSL.Context:
        context = self._contexts.get(certificate)
        if context is None:
            context = self._contexts[certificate] = SSL.Context(SSL.TLS_SERVER_METHOD)
            context.set_min_proto_version(VERSIONS[self.minimum_version])
            context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
            context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # most sessions are idle
            context.clear_mode(PARTIAL_WRITE)
            context.set_session_id(self._identifier)
            context.set_alpn_select_callback(_select)
            context.set_tlsext_servername_callback(self._named)
            certificate.install(context)
        return context

    def _named(self, connection: SSL.Connection) -> None:
        name = connection.get_servername()
        try:
            text = None if name is None else name.decode("ascii")
        except UnicodeDecodeError:
            return
        connection.set_context(self._context(self.certificates.choose(text)))


def _select(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """Refuses a handshake that was meant for another protocol's server (ALPACA, CVE-2021-3618)."""
    if _FTP not in offered:
        raise SSL.Error([("", "", "the client's ALPN does not offer ftp")])  # in the form of OpenSSL's own errors
    return _FTP


def one_record_a_call(connection: SSL.Connection) -> None:
    """Has a call that reads return behind each message of TLS itself, such as a KeyUpdate, even if more are there.

    Otherwise a peer that sends them without end holds the whole process in one call, as pyOpenSSL has it by default.
    There is no function for this, so it calls OpenSSL as `resumed` does.
    """
    SSL._lib.SSL_clear_mode(connection._ssl, SSL._lib.SSL_MODE_AUTO_RETRY)  # type: ignore[attr-defined]


def resumed(connection: SSL.Connection) -> bool:
    """Whether a complete handshake resumed an earlier session of its context.

    pyOpenSSL has no function for it, so this calls OpenSSL below it, and would fail loudly if that moved.
    """
    return bool(SSL._lib.SSL_session_reused(connection._ssl))  # type: ignore[attr-defined]
