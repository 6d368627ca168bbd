"""The TLS of an origin: its certificate and key, checked before anything starts."""

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL


def server_context(certificate: Path, key: Path) -> SSL.Context:
    """A context for TLS 1.2 and 1.3; raises ValueError where the files cannot be used for it.

    Both are in PEM. The intermediate certificates may follow the certificate.
    """
    certificate_text, key_text = _content(certificate), _content(key)
    try:
        leaf, *intermediates = x509.load_pem_x509_certificates(certificate_text)
    except ValueError:
        raise ValueError(f"not a certificate in PEM: {certificate}") from None
    try:
        private = load_pem_private_key(key_text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key needs a passphrase
        raise ValueError(f"not a private key in PEM, without a passphrase: {key}") from None
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    try:
        context.use_certificate(leaf)
        for intermediate in intermediates:
            context.add_extra_chain_cert(intermediate)
        context.use_privatekey(private)  # type: ignore[arg-type]  # a kind that cannot sign is a TypeError
        context.check_privatekey()
    except (SSL.Error, TypeError):
        raise ValueError(f"the certificate {certificate} cannot be used with the key {key}") from None
    return context


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
