"""Certificates for tests: trustworthy ones, and one of each kind that must not be trusted."""

from __future__ import annotations

import atexit
import datetime
import threading
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

NAMES = ("ftp.example.com", "localhost", "127.0.0.1", "127.0.0.2", "::1")
"""The server's names, in every server certificate but `Certificates.other_name`."""

_making = threading.Lock()  # two threads that ask first, at the same time, would get two authorities
_YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
_TOMORROW = _YESTERDAY + datetime.timedelta(days=2)


@attrs.frozen
class Pair:
    """A certificate and its private key, both in PEM."""

    certificate: Path
    """Intermediate certificates, where there are any, follow it."""
    key: Path


@attrs.frozen(slots=False)
class Certificates:
    """The certificates in a directory; each is made when a test first asks for it."""

    directory: Path
    _root: trustme.CA = attrs.field(factory=trustme.CA, init=False, repr=False)

    @cached_property
    def ca(self) -> Path:
        """The certificate to trust, that of the root authority."""
        path = self.directory / "ca.pem"
        self._root.cert_pem.write_to_path(path)
        return path

    @cached_property
    def server(self) -> Pair:
        """A server's certificate without a fault, through an intermediate authority."""
        return self.issue("server", *NAMES)

    @cached_property
    def client(self) -> Pair:
        """A client's certificate."""
        return self.issue("client", "client@example.com")

    @cached_property
    def other_name(self) -> Pair:
        """A certificate for another server: other.example.com."""
        return self.issue("other_name", "other.example.com")

    @cached_property
    def expired(self) -> Pair:
        """A certificate that was valid until yesterday."""
        return self.issue("expired", *NAMES, until=_YESTERDAY)

    @cached_property
    def unknown_ca(self) -> Pair:
        """A certificate of an authority that nobody trusts."""
        return self._write("unknown_ca", _issued(trustme.CA(), *NAMES))

    @cached_property
    def self_signed(self) -> Pair:
        """A certificate signed with its own key."""
        pair = self._write("self_signed", _issued(trustme.CA(), *NAMES))
        issued = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        key = load_pem_private_key(pair.key.read_bytes(), password=None)
        assert isinstance(key, RSAPrivateKey)
        names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        signed = (
            x509.CertificateBuilder()
            .issuer_name(issued.subject)
            .subject_name(issued.subject)
            .public_key(issued.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_YESTERDAY)
            .not_valid_after(_TOMORROW)
            .add_extension(names, critical=False)
            .sign(key, SHA256())
        )
        pair.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        return pair

    def issue(self, stem: str, *names: str, until: datetime.datetime = _TOMORROW) -> Pair:
        """Makes or replaces ``stem.pem`` and ``stem.key``, without a fault, for these names."""
        return self._write(stem, _issued(self._root.create_child_ca(), *names, until=until))

    def _write(self, stem: str, issued: trustme.LeafCert) -> Pair:
        pair = Pair(self.directory / f"{stem}.pem", self.directory / f"{stem}.key")
        pair.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        pair.key.write_bytes(issued.private_key_pem.bytes())
        pair.key.chmod(0o600)
        return pair


def _issued(authority: trustme.CA, *names: str, until: datetime.datetime = _TOMORROW) -> trustme.LeafCert:
    # RSA, because vsftpd's default cipher takes nothing else.
    return authority.issue_cert(*names, not_after=until, key_type=trustme.KeyType.RSA)


def certificates() -> Certificates:
    """The same certificates for all tests of a run, and for all threads of a test."""
    with _making:
        return _made()


@cache
def _made() -> Certificates:
    directory = TemporaryDirectory(prefix="certificates-")
    atexit.register(directory.cleanup)
    return Certificates(Path(directory.name))
