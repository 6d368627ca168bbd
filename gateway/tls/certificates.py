"""Certificates as they lie on disk: read, checked, chosen by name, read again when they change.

No file is read twice that did not change, whoever asks: the check of a configuration, the start, a reload, a session.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

from gateway.files import FileCache, State, read_regular, state
from gateway.tls.errors import reason


class CertificateError(ValueError):
    """A certificate or key that cannot be used. The text says why, in one clause."""


@attrs.frozen(eq=False)
class Certificate:
    """A certificate, the certificates that vouch for it, and its key."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKeyTypes = attrs.field(repr=False)

    @property
    def names(self) -> frozenset[str]:
        """The DNS names that the certificate is for, in lower case; ``*.`` begins a wildcard."""
        try:
            names = self.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return frozenset()
        return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))

    def expired(self, now: datetime) -> bool:
        """Whether the certificate has expired."""
        return self.chain[0].not_valid_after_utc < now

    def install(self, context: SSL.Context) -> None:
        """Makes a context present the certificate.

        :raises CertificateError: where OpenSSL finds it too weak, or cannot use keys of its kind.
        """
        try:
            context.use_certificate(self.chain[0])
            for intermediate in self.chain[1:]:
                context.add_extra_chain_cert(intermediate)
            context.use_privatekey(self.key)  # type: ignore[arg-type]
        except SSL.Error as error:
            raise CertificateError(reason(error)) from None
        except TypeError:
            raise CertificateError("keys of its kind are not supported") from None


def read_certificate(chain: Path, key: Path | None) -> Certificate:
    """Reads PEM files; without ``key`` the key is in the same file as the chain.

    :raises CertificateError: where a file cannot be read, or the two do not belong together.
    """
    pem = _read(chain)
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise CertificateError(f"{chain} holds no PEM certificate") from None
    key_file, key_pem = (chain, pem) if key is None else (key, _read(key))
    try:
        # The primes of an RSA key are not tested: 50 ms for each, in which the whole process stands still. `_works`
        # finds a damaged one.
        private = serialization.load_pem_private_key(key_pem, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateError(f"{key_file} holds no PEM key without a passphrase") from None
    if _public(private) != _public(certificates[0]):
        raise CertificateError(f"the key in {key_file} is not that of the certificate in {chain}")
    if not _works(private):
        raise CertificateError(f"{key_file} holds a damaged key")
    certificate = Certificate(tuple(certificates), private)
    try:
        certificate.install(SSL.Context(SSL.TLS_METHOD))
    except CertificateError as error:
        raise CertificateError(f"{chain} cannot be used: {error}") from None
    return certificate


@attrs.frozen(eq=False)
class Authorities:
    """The authorities in a PEM file, or those of the system.

    :param path: the file; None: the system's.
    """

    path: Path | None


def read_authorities(path: Path | None) -> Authorities:
    """Checks a PEM file of certificate authorities; those of the system are taken as they are.

    While the files do not change, it gives the same object.

    :raises CertificateError: where one cannot be read, or holds none.
    """

    def read() -> Authorities:
        if path is not None:
            pem = _read(path)
            try:
                x509.load_pem_x509_certificates(pem)
            except ValueError:
                raise CertificateError(f"{path} holds no PEM certificate") from None
        return Authorities(path)

    system = ssl.get_default_verify_paths()
    places = [system.cafile, system.capath] if path is None else [path]
    with _oserrors():
        return _authorities.get(tuple(Path(place) for place in places if place is not None), read)


def forget_unused() -> None:
    """Lets go of the certificates that were read and that no application uses."""
    _certificates.forget_unused()
    _authorities.forget_unused()


def is_directory(path: Path) -> bool:
    """Whether a path is known to be a directory; where it cannot be looked at, reading it tells why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _public(owner: x509.Certificate | PrivateKeyTypes) -> bytes:
    return owner.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _works(key: PrivateKeyTypes) -> bool:
    """Whether a signature of an RSA key is valid; other kinds of keys were tested when they were read."""
    if isinstance(key, RSAPrivateKey):
        try:
            key.public_key().verify(key.sign(b"", PKCS1v15(), SHA256()), b"", PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
    return True


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from None


@contextlib.contextmanager
def _oserrors() -> Iterator[None]:
    """Tells of a file that cannot be looked at as a mistake."""
    try:
        yield
    except OSError as error:
        raise CertificateError(f"{error.filename}: {error.strerror}") from None


_certificates: FileCache[Certificate] = FileCache()
_authorities: FileCache[Authorities] = FileCache()


@attrs.frozen(eq=False)
class CertificateSet:
    """The certificates of one application; the first is used where a client names none of them."""

    certificates: tuple[Certificate, ...]
    _by_name: Mapping[str, Certificate] = attrs.field(init=False, repr=False)

    @_by_name.default
    def _index(self) -> Mapping[str, Certificate]:
        return {name: each for each in reversed(self.certificates) for name in each.names}

    def choose(self, name: str | None) -> Certificate:
        """The certificate for a server name (RFC 6066 section 3)."""
        if name is None:
            return self.certificates[0]
        name = name.lower()
        wildcard = "*." + name.partition(".")[2]
        return self._by_name.get(name) or self._by_name.get(wildcard) or self.certificates[0]

    def expired(self, now: datetime | None = None) -> Iterator[Certificate]:
        """The certificates that have expired."""
        moment = datetime.now(UTC) if now is None else now
        return (each for each in self.certificates if each.expired(moment))


@attrs.define(eq=False)
class CertificateFiles:
    """The files of one application's certificates.

    :param path: a PEM file; or a directory, in which each ``*.pem`` holds a chain and its key.
    :param key: the PEM file of the key; None where the key is in ``path``.
    """

    path: Path
    key: Path | None
    _read_at: State = attrs.field(default=(), init=False, repr=False)
    _set: CertificateSet | None = attrs.field(default=None, init=False, repr=False)

    def read(self) -> CertificateSet:
        """Gives the certificates as they are now; they are read again only if a file changed.

        :raises CertificateError: where one cannot be used.
        """
        chains = self._chains()
        files = chains if self.key is None else [*chains, self.key]
        with _oserrors():
            now = state(files)
            if self._set is None or now != self._read_at:
                self._set = CertificateSet(tuple(map(self._certificate, chains)))
                self._read_at = now
        return self._set

    def _certificate(self, chain: Path) -> Certificate:
        files = (chain,) if self.key is None else (chain, self.key)
        return _certificates.get(files, lambda: read_certificate(chain, self.key))

    def _chains(self) -> list[Path]:
        if not is_directory(self.path):
            return [self.path]
        chains = sorted(self.path.glob("*.pem"))
        if not chains:
            raise CertificateError(f"{self.path} holds no *.pem file")
        return chains
