"""Certificates on disk."""

import datetime
import os
import shutil
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa, rsa
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from gateway.tls.certificates import CertificateError, CertificateFiles, read_authorities, read_certificate
from tests.kit.certificates import Pair, certificates

NOBODY = 65534


def joined(pair: Pair) -> bytes:
    """A chain and its key in one file."""
    return pair.certificate.read_bytes() + pair.key.read_bytes()


@cache
def issued(*names: str) -> bytes:
    """A chain for these names and its key, in one file."""
    return joined(certificates().issue("issued", *names))


def self_made(key: rsa.RSAPrivateKey | mldsa.MLDSA44PrivateKey, algorithm: HashAlgorithm | None) -> bytes:
    """A certificate without a name of a server, and its key, in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ftp.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, algorithm)
    )
    return certificate.public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


@cache
def nameless() -> bytes:
    """A good certificate but for its missing names, and its key."""
    return self_made(rsa.generate_private_key(65537, 2048), SHA256())


def mistake(chain: Path, key: Path | None) -> str:
    with pytest.raises(CertificateError) as raised:
        read_certificate(chain, key)
    return str(raised.value)


# One certificate


def test_a_chain_and_its_key() -> None:
    pair = certificates().server
    certificate = read_certificate(pair.certificate, pair.key)
    assert len(certificate.chain) == 2
    assert certificate.names == {"ftp.example.com", "localhost"}
    certificate.install(context := SSL.Context(SSL.TLS_METHOD))
    context.check_privatekey()


def test_a_chain_and_its_key_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "both.pem"
    file.write_bytes(joined(certificates().server))
    assert read_certificate(file, None).chain == read_certificate(*pair_files(certificates().server)).chain


def pair_files(pair: Pair) -> tuple[Path, Path]:
    return pair.certificate, pair.key


def test_the_key_is_in_no_repr() -> None:
    assert "key" not in repr(read_certificate(*pair_files(certificates().server)))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    pair = certificates().server
    missing = tmp_path / "missing.pem"
    assert mistake(missing, pair.key) == f"{missing}: No such file or directory"
    assert mistake(pair.certificate, missing) == f"{missing}: No such file or directory"
    assert mistake(tmp_path, None) == f"{tmp_path}: Is a directory"
    fifo = tmp_path / "fifo.pem"
    os.mkfifo(fifo)
    assert mistake(fifo, pair.key) == f"{fifo}: not a regular file"
    assert mistake(pair.certificate, fifo) == f"{fifo}: not a regular file"


def test_a_file_that_holds_something_else(tmp_path: Path) -> None:
    pair = certificates().server
    other = tmp_path / "other.pem"
    other.write_text("no PEM at all")
    assert mistake(other, pair.key) == f"{other} holds no PEM certificate"
    assert mistake(pair.certificate, other) == f"{other} holds no PEM key without a passphrase"
    assert mistake(pair.certificate, None) == f"{pair.certificate} holds no PEM key without a passphrase"
    assert mistake(pair.key, pair.key) == f"{pair.key} holds no PEM certificate"


def test_a_key_with_a_passphrase(tmp_path: Path) -> None:
    pair = certificates().server
    locked = tmp_path / "locked.key"
    key = load_pem_private_key(pair.key.read_bytes(), None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    assert mistake(pair.certificate, locked) == f"{locked} holds no PEM key without a passphrase"


def test_a_key_of_another_certificate() -> None:
    chain, key = certificates().server.certificate, certificates().other_name.key
    assert mistake(chain, key) == f"the key in {key} is not that of the certificate in {chain}"


def test_a_damaged_key(tmp_path: Path) -> None:
    """Its public part is that of the certificate, and nothing that it signs is valid."""
    pair = certificates().server
    key = load_pem_private_key(pair.key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d + 2, numbers.dmp1 + 2, numbers.dmq1 + 2, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    damaged = tmp_path / "damaged.key"
    damaged.write_bytes(wrong.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert mistake(pair.certificate, damaged) == f"{damaged} holds a damaged key"


def test_a_key_that_openssl_takes_for_too_weak(tmp_path: Path) -> None:
    file = tmp_path / "weak.pem"
    file.write_bytes(self_made(rsa.generate_private_key(65537, 1024), SHA256()))
    assert mistake(file, None) == f"{file} cannot be used: ee key too small"


def test_a_key_of_a_kind_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "strange.pem"
    file.write_bytes(self_made(mldsa.MLDSA44PrivateKey.generate(), None))
    assert mistake(file, None) == f"{file} cannot be used: keys of its kind are not supported"


def test_a_certificate_without_names(tmp_path: Path) -> None:
    file = tmp_path / "nameless.pem"
    file.write_bytes(nameless())
    assert read_certificate(file, None).names == frozenset()


def test_authorities(tmp_path: Path) -> None:
    read_authorities(certificates().ca)
    other = tmp_path / "other.pem"
    with pytest.raises(CertificateError, match=r"other\.pem: No such file or directory$"):
        read_authorities(other)
    os.mkfifo(other)
    with pytest.raises(CertificateError, match=r"other\.pem: not a regular file$"):
        read_authorities(other)
    other.unlink()
    other.write_text("no PEM at all")
    with pytest.raises(CertificateError, match=r"other\.pem holds no PEM certificate$"):
        read_authorities(other)


# Several


def test_authorities_are_the_same_until_their_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(certificates().ca.read_bytes())
    before = read_authorities(file)
    assert read_authorities(file) is before
    file.write_bytes(certificates().ca.read_bytes() + b"\n")
    assert read_authorities(file) is not before


def test_authorities_of_the_system_change_with_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "system.pem"
    file.write_bytes(certificates().ca.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    before = read_authorities(None)
    assert read_authorities(None) is before
    file.write_bytes(certificates().ca.read_bytes() + b"\n")
    assert read_authorities(None) is not before


def test_what_was_read_by_one_is_known_to_the_next(files: CertificateFiles) -> None:
    before = files.read().certificates
    assert CertificateFiles(files.path, files.key).read().certificates == before


def test_expiry() -> None:
    expired, server = certificates().expired, certificates().server
    assert list(CertificateFiles(server.certificate, server.key).read().expired()) == []
    [found] = CertificateFiles(expired.certificate, expired.key).read().expired()
    ended = found.chain[0].not_valid_after_utc
    assert not found.expired(ended)
    assert found.expired(ended + datetime.timedelta(microseconds=1))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory of certificates, two of which are for ftp.example.com."""
    (tmp_path / "1.pem").write_bytes(issued("B.example", "*.b.example"))
    (tmp_path / "2.pem").write_bytes(joined(certificates().server))
    (tmp_path / "3.pem").write_bytes(issued("ftp.example.com", "only.example"))
    (tmp_path / "notes.txt").write_text("no certificate")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        (None, 0),
        ("b.example", 0),
        ("B.EXAMPLE", 0),
        ("ftp.b.example", 0),
        ("deep.ftp.b.example", 0),
        ("ftp.example.com", 1),
        ("localhost", 1),
        ("only.example", 2),
        ("nobody.example", 0),
        ("example", 0),
        ("*.b.example", 0),
        ("", 0),
    ],
)
def test_choosing_by_name(directory: Path, name: str | None, chosen: int) -> None:
    found = CertificateFiles(directory, None).read()
    assert found.choose(name) is found.certificates[chosen]


def test_a_wildcard_is_no_name_of_its_own_domain_or_of_a_deeper_one(directory: Path) -> None:
    (directory / "0.pem").write_bytes(joined(certificates().other_name))
    (directory / "1.pem").write_bytes(issued("*.b.example"))
    found = CertificateFiles(directory, None).read()
    assert found.choose("ftp.b.example") is found.certificates[1]
    assert found.choose("b.example") is found.certificates[0]
    assert found.choose("deep.ftp.b.example") is found.certificates[0]


def test_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"holds no \*\.pem file$"):
        CertificateFiles(tmp_path, None).read()


# Read again


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """Copies of a good pair, that a test may spoil."""
    pair = certificates().server
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    shutil.copy(pair.certificate, chain)
    shutil.copy(pair.key, key)
    return CertificateFiles(chain, key)


def test_files_that_did_not_change_are_not_read_again(files: CertificateFiles) -> None:
    assert files.read() is files.read()


def replace(file: Path, content: bytes) -> None:
    """As certbot does: another file takes the place."""
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.rename(file)


def test_files_that_changed_are_read_again(files: CertificateFiles) -> None:
    before, other = files.read(), certificates().other_name
    assert files.key is not None
    replace(files.path, other.certificate.read_bytes())
    replace(files.key, other.key.read_bytes())
    after = files.read()
    assert after is not before
    assert after.certificates[0].names == {"other.example.com"}


def test_a_change_in_place_is_seen(files: CertificateFiles) -> None:
    before = files.read()
    files.path.write_bytes(files.path.read_bytes())
    os.utime(files.path, ns=(1, 1))
    assert files.read() is not before


def test_a_change_under_way_is_a_mistake_until_it_is_complete(files: CertificateFiles) -> None:
    files.read()
    other = certificates().other_name
    assert files.key is not None
    replace(files.path, other.certificate.read_bytes())
    for _ in range(2):
        with pytest.raises(CertificateError, match="is not that of the certificate"):
            files.read()
    replace(files.key, other.key.read_bytes())
    assert files.read().certificates[0].names == {"other.example.com"}


def test_a_file_that_went_away(files: CertificateFiles) -> None:
    files.read()
    assert files.key is not None
    files.key.unlink()
    with pytest.raises(CertificateError, match=r"key\.pem: No such file or directory$"):
        files.read()


def test_a_new_file_in_a_directory_is_seen(directory: Path) -> None:
    files = CertificateFiles(directory, None)
    assert len(files.read().certificates) == 3
    (directory / "4.pem").write_bytes(joined(certificates().other_name))
    assert len(files.read().certificates) == 4


def test_a_place_that_must_not_be_looked_at(tmp_path: Path, files: CertificateFiles) -> None:
    files.read()
    tmp_path.chmod(0)
    before = os.geteuid()
    try:
        if before == 0:  # who may look at everything
            os.seteuid(NOBODY)
        with pytest.raises(CertificateError, match=r"chain\.pem: Permission denied$"):
            files.read()
    finally:
        os.seteuid(before)
        tmp_path.chmod(0o700)


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(CertificateError, match=r"File name too long$"):
        CertificateFiles(Path("x" * 300), None).read()
