"""A certificate to try TLS with."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509

from gateway.tls.throwaway import write_certificate


def test_it_is_for_this_machine_and_soon_over(tmp_path: Path) -> None:
    path = tmp_path / "throwaway.pem"
    write_certificate(path)
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc < now < certificate.not_valid_after_utc < now + timedelta(days=8)


def test_its_owner_alone_reads_the_key(tmp_path: Path) -> None:
    path = tmp_path / "throwaway.pem"
    write_certificate(path)
    assert path.stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)  # the key is the certificate's


def test_who_is_told_to_trusts_it(tmp_path: Path) -> None:
    path = tmp_path / "throwaway.pem"
    write_certificate(path)
    (trusted,) = ssl.create_default_context(cafile=str(path)).get_ca_certs()
    assert trusted["subject"] == trusted["issuer"] == ((("commonName", "localhost"),),)
