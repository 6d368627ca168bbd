"""TLS towards the origin."""

from __future__ import annotations

import socket
from pathlib import Path

import attrs
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address

from gateway.addresses import is_address
from gateway.tls.certificates import Certificate
from gateway.tls.to_clients import PARTIAL_WRITE, VERSIONS, one_record_a_call

# OpenSSL's numbers in words (openssl-verification-options(1)): the common ones, for the operator.
_REASONS = {
    9: "certificate is not yet valid",
    10: "certificate has expired",
    18: "certificate is self-signed",
    19: "certificate chain ends in an unknown self-signed certificate",
    20: "certificate is issued by an unknown authority",
    21: "certificate is issued by an unknown authority",
}


@attrs.define(eq=False)
class OriginTLS:
    """The TLS of one application's origin.

    :param name: the name that the origin's certificate must bear, a host name or an address; None: not verified.
    :param trust: a PEM file of authorities; None: the system's.
    :param certificate: the certificate for an origin that asks for one.
    """

    minimum_version: str
    name: str | None
    trust: Path | None
    certificate: Certificate | None
    server_name: str | None
    _context: SSL.Context = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        context = self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(VERSIONS[self.minimum_version])
        context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.clear_mode(PARTIAL_WRITE)
        if self.certificate is not None:
            self.certificate.install(context)
        if self.trust is not None:
            context.load_verify_locations(str(self.trust))
        elif self.name is not None:
            context.set_default_verify_paths()

    def session(self) -> OriginSession:
        """The TLS of one session with the origin."""
        return OriginSession(self)

    def connection(self, origin: socket.socket) -> SSL.Connection:
        """A new connection to the origin; its handshake has not begun."""
        connection = SSL.Connection(self._context, origin)
        one_record_a_call(connection)
        if self.server_name is not None:
            connection.set_tlsext_host_name(self.server_name.encode("ascii"))
        connection.set_connect_state()
        return connection


@attrs.define(eq=False)
class OriginSession:
    """The TLS of one session's control and data connections to the origin.

    :param failure: why the origin's certificate was refused; None where it was accepted, or not verified.
    """

    origin: OriginTLS
    failure: str | None = attrs.field(default=None, init=False)
    _control: SSL.Connection | None = attrs.field(default=None, init=False, repr=False)

    def begin(self, control: socket.socket) -> SSL.Connection:
        """The TLS connection for the control connection."""
        self._control = self._verified(self.origin.connection(control))
        return self._control

    def connect(self, data: socket.socket) -> SSL.Connection:
        """The TLS connection for a data connection; it resumes the control's TLS session, as most origins require.

        A ticket of TLS 1.3 may be used once, so the newest is taken each time (RFC 8446 appendix C.4).
        """
        connection = self._verified(self.origin.connection(data))
        session = None if self._control is None else self._control.get_session()
        if session is not None:
            connection.set_session(session)
        return connection

    def check(self, connection: SSL.Connection) -> str | None:
        """The reason why the peer of a complete handshake is not the origin; None where it is, or is not verified."""
        name = self.origin.name
        if name is None:
            return None
        try:
            if is_address(name):
                verify_ip_address(connection, name)
            else:
                verify_hostname(connection, name)
        except (VerificationError, CertificateError):  # the latter where the certificate bears no name at all
            return f"certificate is not for {name}"
        return None

    def _verified(self, connection: SSL.Connection) -> SSL.Connection:
        if self.origin.name is not None:
            connection.set_verify(SSL.VERIFY_PEER, self._judge)
        return connection

    def _judge(self, connection: SSL.Connection, certificate: object, error: int, depth: int, ok: int) -> bool:
        if not ok and self.failure is None:
            self.failure = _REASONS.get(error, f"certificate verification failed with OpenSSL's error {error}")
        return bool(ok)
