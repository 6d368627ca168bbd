"""The embedded origin, by itself, through ftplib and real sockets."""

import contextlib
import ftplib
import hashlib
import io
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from origin import Origin
from origin.dialects import DIALECTS
from origin.faults import FAULTS
from origin.listener import IOLoop
from origin.samples import SAMPLES, write_samples
from origin.server import render_address
from tests.kit.certificates import Pair, certificates
from tests.kit.passive import passive_port
from tests.kit.ports import take

TIMEOUT = 20  # seconds; only a hang reaches it
USERS = {"alice": "wonder:land"}


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_samples(tmp_path)
    return tmp_path


@pytest.fixture
def no_login_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("origin.listener.FTPHandler.auth_failed_timeout", 0)


@contextlib.contextmanager
def connected(address: tuple[str, int]) -> Iterator[ftplib.FTP]:
    with ftplib.FTP(timeout=TIMEOUT) as client:
        client.connect(*address)
        yield client


@contextlib.contextmanager
def logged_in(address: tuple[str, int], user: str = "alice") -> Iterator[ftplib.FTP]:
    with connected(address) as client:
        client.login(user, USERS.get(user, "guest@example.com"))
        yield client


def retrieved(client: ftplib.FTP, name: str, rest: int | None = None) -> bytes:
    content = bytearray()
    client.retrbinary(f"RETR {name}", content.extend, rest=rest)
    return bytes(content)


def next_port(client: ftplib.FTP) -> int:
    return passive_port(client.sendcmd("PASV"))


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def received(sock: socket.socket) -> bytes:
    """What came until the peer closed or reset the connection."""
    content = bytearray()
    with contextlib.suppress(ConnectionError):
        while chunk := sock.recv(1 << 16):
            content += chunk
    return bytes(content)


class TestTransfers:
    def test_a_user_reads(self, root: Path) -> None:
        with Origin(root, users=USERS) as origin, logged_in(origin.address) as client:
            assert client.pwd() == "/"
            assert {name for name, _ in client.mlsd()} == {"welcome.txt", "data", "texts", "incoming"}
            random = SAMPLES["data/random.bin"]
            assert retrieved(client, "data/random.bin") == random
            assert retrieved(client, "data/random.bin", rest=len(random) - 10) == random[-10:]
            assert retrieved(client, "texts/passive mode.txt") == SAMPLES["texts/passive mode.txt"]

    # pyftpdlib's MFMT, from Python 3.12 on
    @pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")
    def test_a_user_writes(self, root: Path) -> None:
        with Origin(root, users=USERS, writable=True) as origin, logged_in(origin.address) as client:
            client.cwd("incoming")
            client.storbinary("STOR new", io.BytesIO(b"first "))
            client.storbinary("APPE new", io.BytesIO(b"second"))
            client.storbinary("STOU", io.BytesIO(b"unique"))
            client.sendcmd("MFMT 20010203040506 new")
            client.sendcmd("SITE CHMOD 600 new")
            client.rename("new", "renamed")
            client.mkd("sub")
            client.rmd("sub")
            assert client.sendcmd("MDTM renamed") == "213 20010203040506"
        renamed = root / "incoming" / "renamed"
        assert renamed.read_bytes() == b"first second"
        assert renamed.stat().st_mode & 0o777 == 0o600
        (unique,) = set((root / "incoming").iterdir()) - {renamed}
        assert unique.read_bytes() == b"unique"

    def test_read_only_refuses_every_change(self, root: Path) -> None:
        changes = [
            "STOR new",
            "APPE welcome.txt",
            "STOU",
            "DELE welcome.txt",
            "RNFR welcome.txt",
            "MKD new",
            "RMD incoming",
            "MFMT 20010203040506 welcome.txt",
            "SITE CHMOD 777 welcome.txt",
        ]
        with Origin(root, users=USERS) as origin, logged_in(origin.address) as client:
            for change in changes:
                with pytest.raises(ftplib.error_perm, match="550 Not enough privileges"):
                    client.sendcmd(change)

    @needs_ipv6
    def test_ipv6(self, root: Path) -> None:
        ports = take(50)
        with Origin(root, listen=("::1", 0), users=USERS, passive_ports=ports) as origin:
            assert origin.address[0] == "::1"
            with logged_in(origin.address) as client:
                assert client.makepasv()[1] in ports
                assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]

    @needs_ipv6
    def test_no_descriptor_is_closed_before_the_loop_forgets_it(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It could be another thread's by then."""
        forgotten: list[int] = []
        closed: list[int] = []
        unregister = IOLoop.unregister

        def watched(loop: IOLoop, fd: int) -> None:
            if fd in loop.socket_map:
                forgotten.append(fd)
                try:
                    os.fstat(fd)
                except OSError:
                    closed.append(fd)
            unregister(loop, fd)

        monkeypatch.setattr(IOLoop, "unregister", watched)
        with Origin(root, listen=("::1", 0), users=USERS) as origin, logged_in(origin.address) as client:
            assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]
        assert forgotten
        assert not closed


class TestLogin:
    def test_anonymous(self, root: Path) -> None:
        with Origin(root, anonymous=True) as origin, logged_in(origin.address, "anonymous") as client:
            assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]
            with pytest.raises(ftplib.error_perm, match="550"):
                client.storbinary("STOR new", io.BytesIO(b"content"))

    def test_anonymous_writes_where_users_may(self, root: Path) -> None:
        with (
            Origin(root, anonymous=True, writable=True) as origin,
            logged_in(origin.address, "anonymous") as client,
        ):
            client.storbinary("STOR incoming/new", io.BytesIO(b"content"))
        assert (root / "incoming" / "new").read_bytes() == b"content"

    @pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("bob", "x"), ("anonymous", "x")])
    @pytest.mark.usefixtures("no_login_delay")
    def test_others_are_refused(self, root: Path, user: str, password: str) -> None:
        with Origin(root, users=USERS) as origin, connected(origin.address) as client:
            with pytest.raises(ftplib.error_perm, match="530"):
                client.login(user, password)
            client.login("alice", USERS["alice"])


class TestSettings:
    def test_passive_ports(self, root: Path) -> None:
        ports = take(20)
        with Origin(root, users=USERS, passive_ports=ports) as origin, logged_in(origin.address) as client:
            assert all(next_port(client) in ports for _ in range(50))

    def test_227_names_the_address_that_was_reached(self, root: Path) -> None:
        with Origin(root, users=USERS) as origin, logged_in(origin.address) as client:
            assert ftplib.parse227(client.sendcmd("PASV"))[0] == origin.address[0] == "127.0.0.2"

    def test_227_names_the_masquerade_address(self, root: Path) -> None:
        with (
            Origin(root, users=USERS, masquerade_address="203.0.113.7") as origin,
            logged_in(origin.address) as client,
        ):
            reply = client.sendcmd("PASV")
        assert re.fullmatch(r"227 Entering passive mode \(203,0,113,7,\d+,\d+\)\.", reply)

    @pytest.mark.usefixtures("no_login_delay")
    def test_origins_share_no_setting(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        write_samples(one)
        two.mkdir()
        one_ports, two_ports = take(20), take(20)
        with (
            Origin(one, users=USERS, passive_ports=one_ports, masquerade_address="203.0.113.1") as first,
            Origin(two, anonymous=True, passive_ports=two_ports, writable=True) as second,
            Origin(two, anonymous=True) as third,
            logged_in(first.address) as alice,
            logged_in(second.address, "anonymous") as guest,
            logged_in(third.address, "anonymous") as visitor,
        ):
            one_host, one_port = ftplib.parse227(alice.sendcmd("PASV"))
            two_host, two_port = ftplib.parse227(guest.sendcmd("PASV"))
            three_host, three_port = ftplib.parse227(visitor.sendcmd("PASV"))
            assert (one_host, two_host, three_host) == ("203.0.113.1", "127.0.0.2", "127.0.0.2")
            assert one_port in one_ports
            assert two_port in two_ports
            assert three_port not in {*one_ports, *two_ports}
            assert retrieved(alice, "welcome.txt") == SAMPLES["welcome.txt"]
            guest.mkd("new")
            for reader in (alice, visitor):
                with pytest.raises(ftplib.error_perm, match="550"):
                    reader.mkd("another")
            with connected(first.address) as client, pytest.raises(ftplib.error_perm, match="530"):
                client.login()
            with connected(second.address) as client, pytest.raises(ftplib.error_perm, match="530"):
                client.login("alice", USERS["alice"])

    @pytest.mark.parametrize(
        "values",
        [
            {"root": "/nonexistent"},
            {"root": __file__},
            {"listen": ("127.0.0.2", 65536)},
            {"listen": ("127.0.0.2", -1)},
            {"listen": ("a..b", 0)},
            {"passive_ports": range(0)},
            {"passive_ports": range(10)},
            {"passive_ports": range(65530, 65537)},
            {"masquerade_address": "::1"},
            {"masquerade_address": "ftp.example.com"},
            {"users": {"anonymous": "secret"}},
            {"users": {"": "secret"}},
            {"dialect": "latin"},
            {"fault": "none"},
        ],
        ids=repr,
    )
    def test_bad_values(self, tmp_path: Path, values: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            Origin(**{"root": tmp_path, **values})


class FTP_TLS(ftplib.FTP_TLS):
    """A client that trusts `Certificates.ca` alone, for `Certificates.server`'s names."""

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT, context=ssl.create_default_context(cafile=certificates().ca))


class ImplicitFTP_TLS(FTP_TLS):
    """The same with TLS from the first byte on, which ftplib does not know."""

    _sock: ssl.SSLSocket | None = None

    @property
    def sock(self) -> ssl.SSLSocket | None:
        return self._sock

    @sock.setter
    def sock(self, sock: socket.socket | None) -> None:
        if sock is not None and not isinstance(sock, ssl.SSLSocket):
            sock = self.context.wrap_socket(sock, server_hostname=self.host)
        self._sock = sock


def tls(pair: Pair | None = None) -> dict[str, Any]:
    """The arguments that give an origin a certificate: the good one, unless another is asked for."""
    return attrs.asdict(pair or certificates().server)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A directory with a good certificate and its key, and keys that do not go with it."""
    server, expired = certificates().server, certificates().expired
    for file in (server.certificate, server.key, expired.key):
        shutil.copy(file, tmp_path)
    key = load_pem_private_key(server.key.read_bytes(), password=None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    (tmp_path / "encrypted.key").write_bytes(encrypted)
    for name, other in (("ec.key", generate_private_key(SECP256R1())), ("x25519.key", X25519PrivateKey.generate())):
        (tmp_path / name).write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return tmp_path


@contextlib.contextmanager
def secured(address: tuple[str, int], implicit: bool = False) -> Iterator[FTP_TLS]:
    """A session with TLS on both connections."""
    with ImplicitFTP_TLS() if implicit else FTP_TLS() as client:
        client.connect(*address)
        client.login("alice", USERS["alice"])
        client.prot_p()
        yield client


def first_line(sock: socket.socket) -> bytes:
    """Nothing behind it is taken from the socket."""
    line = b""
    while not line.endswith(b"\n"):
        line += sock.recv(1)
    return line


def feats(client: ftplib.FTP) -> set[str]:
    return {line.strip() for line in client.sendcmd("FEAT").splitlines()[1:-1]}


def curl(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run curl as alice, who asks for TLS on both connections and trusts `Certificates.ca` alone."""
    command = ("curl", "-q", "-sS", "--ssl-reqd", "--cacert", certificates().ca, "-u", "alice:" + USERS["alice"])
    return subprocess.run([*command, *arguments], cwd=root, capture_output=True, timeout=TIMEOUT)


explicit_and_implicit = pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])


class TestTLS:
    @explicit_and_implicit
    def test_control_and_data(self, root: Path, implicit: bool) -> None:
        ports = take(100)
        with (
            Origin(root, users=USERS, writable=True, passive_ports=ports, implicit_tls=implicit, **tls()) as origin,
            secured(origin.address, implicit) as client,
        ):
            assert {"AUTH TLS", "PBSZ", "PROT"} <= feats(client)
            assert {name for name, _ in client.mlsd()} == {"welcome.txt", "data", "texts", "incoming"}
            random = SAMPLES["data/random.bin"]
            assert retrieved(client, "data/random.bin") == random
            assert retrieved(client, "data/empty") == b""
            client.storbinary("STOR incoming/new", io.BytesIO(random))
            client.storbinary("STOR incoming/empty", io.BytesIO(b""))
            assert next_port(client) in ports
        assert (root / "incoming" / "new").read_bytes() == random
        assert (root / "incoming" / "empty").read_bytes() == b""

    @pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
    @explicit_and_implicit
    def test_curl(self, root: Path, implicit: bool) -> None:
        with Origin(root, users=USERS, writable=True, implicit_tls=implicit, **tls()) as origin:
            url = f"{'ftps' if implicit else 'ftp'}://{render_address(origin.address)}"
            down = curl(root, f"{url}/data/random.bin")
            assert (down.returncode, down.stderr) == (0, b"")
            assert down.stdout == SAMPLES["data/random.bin"]
            # With TLS 1.3 curl before 8.9 may lose the end: it closes without reading the origin's session tickets.
            up = curl(root, "--tls-max", "1.2", "-T", root / "data" / "random.bin", f"{url}/incoming/new")
            assert (up.returncode, up.stderr) == (0, b"")
        assert (root / "incoming" / "new").read_bytes() == SAMPLES["data/random.bin"]

    @needs_ipv6
    def test_ipv6(self, root: Path) -> None:
        ports = take(50)
        with (
            Origin(root, listen=("::1", 0), users=USERS, passive_ports=ports, **tls()) as origin,
            secured(origin.address) as client,
        ):
            assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]

    def test_the_client_chooses(self, root: Path) -> None:
        with Origin(root, users=USERS, **tls()) as origin:
            with logged_in(origin.address) as client:
                assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]
            with secured(origin.address) as client:
                client.prot_c()
                assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]

    @explicit_and_implicit
    def test_required(self, root: Path, implicit: bool) -> None:
        with (
            Origin(root, users=USERS, tls_required=True, implicit_tls=implicit, **tls()) as origin,
            ImplicitFTP_TLS() if implicit else FTP_TLS() as client,
        ):
            client.connect(*origin.address)
            if not implicit:
                for command in ("USER alice", "PASS x"):
                    with pytest.raises(ftplib.error_perm, match="550 SSL/TLS required on the control channel"):
                        client.sendcmd(command)
            client.login("alice", USERS["alice"])
            for command in ("PASV", "EPSV", "EPRT |1|127.0.0.1|27199|"):
                with pytest.raises(ftplib.error_perm, match="550 SSL/TLS required on the data channel"):
                    client.sendcmd(command)
            client.prot_p()
            assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]

    def test_implicit_says_nothing_in_the_clear(self, root: Path) -> None:
        with (
            Origin(root, users=USERS, implicit_tls=True, **tls()) as origin,
            socket.create_connection(origin.address, TIMEOUT) as sock,
        ):
            sock.sendall(b"USER alice\r\n")
            assert b"220" not in received(sock)

    def test_none_without_a_certificate(self, root: Path) -> None:
        with Origin(root, users=USERS) as origin, logged_in(origin.address) as client:
            assert not {"AUTH TLS", "PBSZ", "PROT"} & feats(client)
            with pytest.raises(ftplib.error_perm, match="500"):
                client.sendcmd("AUTH TLS")

    def test_origins_share_no_certificate(self, root: Path) -> None:
        with (
            Origin(root, users=USERS, **tls()) as first,
            Origin(root, users=USERS, **tls(certificates().other_name)) as second,
            Origin(root, users=USERS) as third,
        ):
            with secured(first.address) as client:
                assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]
            with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"), secured(second.address):
                pass
            with pytest.raises(ftplib.error_perm, match="500"), secured(third.address):
                pass

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("other_name", "not valid for"),
            ("expired", "certificate has expired"),
            ("unknown_ca", "unable to get local issuer certificate"),
            ("self_signed", "self.signed certificate"),
        ],
    )
    def test_certificates_not_to_be_trusted(self, root: Path, kind: str, reason: str) -> None:
        with (
            Origin(root, users=USERS, **tls(getattr(certificates(), kind))) as origin,
            pytest.raises(ssl.SSLCertVerificationError, match=reason),
            secured(origin.address),
        ):
            pass

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda each: each.name)
    def test_versions(self, root: Path, version: ssl.TLSVersion) -> None:
        with Origin(root, users=USERS, **tls()) as origin, FTP_TLS() as client:
            client.context.minimum_version = client.context.maximum_version = version
            client.connect(*origin.address)
            client.login("alice", USERS["alice"])
            client.prot_p()
            assert retrieved(client, "data/random.bin") == SAMPLES["data/random.bin"]

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
    def test_older_versions_are_refused(self, root: Path) -> None:
        with Origin(root, users=USERS, **tls()) as origin, FTP_TLS() as client:
            client.context.minimum_version = client.context.maximum_version = ssl.TLSVersion.TLSv1_1
            client.context.set_ciphers("ALL:@SECLEVEL=0")
            client.connect(*origin.address)
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
                client.auth()

    def test_commands_behind_auth_are_executed_inside_tls(self, root: Path) -> None:
        """A flaw of pyftpdlib: what a man in the middle appends to AUTH is taken as the client's.

        The gateway must not let it through. If this fails, pyftpdlib has mended it, and the gateway's test of it
        needs another origin to mean anything.
        """
        with (
            Origin(root, users=USERS, **tls()) as origin,
            socket.create_connection(origin.address, TIMEOUT) as sock,
        ):
            assert first_line(sock).startswith(b"220 ")
            sock.sendall(b"AUTH TLS\r\nSYST\r\n")
            assert first_line(sock).startswith(b"234 ")
            context = ssl.create_default_context(cafile=certificates().ca)
            with context.wrap_socket(sock, server_hostname=origin.address[0]) as inside:
                assert first_line(inside) == b"215 UNIX Type: L8\r\n"

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"certificate": "server.pem"}, "belong together"),
            ({"key": "server.key"}, "belong together"),
            ({"tls_required": True}, "needs a certificate"),
            ({"implicit_tls": True}, "needs a certificate"),
            ({"certificate": "nowhere", "key": "server.key"}, "cannot read .*/nowhere: No such file or directory"),
            ({"certificate": "server.pem", "key": "nowhere"}, "cannot read .*/nowhere: No such file or directory"),
            ({"certificate": ".", "key": "server.key"}, "cannot read .*: Is a directory"),
            ({"certificate": "server.key", "key": "server.key"}, "not a certificate in PEM: .*/server.key"),
            ({"certificate": "server.pem", "key": "server.pem"}, "not a private key in PEM, .*/server.pem"),
            ({"certificate": "server.pem", "key": "encrypted.key"}, "without a passphrase: .*/encrypted.key"),
            ({"certificate": "server.pem", "key": "expired.key"}, "/server.pem cannot be used with .*/expired.key"),
            ({"certificate": "server.pem", "key": "ec.key"}, "/server.pem cannot be used with .*/ec.key"),
            ({"certificate": "server.pem", "key": "x25519.key"}, "/server.pem cannot be used with .*/x25519.key"),
        ],
        ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
    )
    def test_mistakes(self, root: Path, keys: Path, values: dict[str, Any], words: str) -> None:
        values = {name: keys / value if isinstance(value, str) else value for name, value in values.items()}
        with pytest.raises(ValueError, match=words):
            Origin(root, **values)

    def test_stop_closes_everything(self, root: Path) -> None:
        with (root / "large").open("wb") as large:
            large.truncate(64 << 20)  # more than socket buffers hold
        origin = Origin(root, users=USERS, writable=True, **tls())
        threads, descriptors = threading.enumerate(), open_descriptors()
        origin.start()
        with contextlib.ExitStack() as stack:
            idle, downloading, leaving, uploading, connecting = (
                stack.enter_context(secured(origin.address)) for _ in range(5)
            )
            handshaking = stack.enter_context(connected(origin.address))
            data = [
                downloading.transfercmd("RETR large"),
                leaving.transfercmd("RETR large"),
                uploading.transfercmd("STOR incoming/new"),
                ftplib.FTP.transfercmd(connecting, "RETR large"),
            ]
            handshaking.sendcmd("AUTH TLS")
            leaving.close()
            idle.voidcmd("NOOP")  # the origin's one thread has seen the rest by now

            origin.stop()
            assert threading.enumerate() == threads
            for client in (idle, downloading, uploading, connecting, handshaking):
                assert client.sock is not None
                received(client.sock)
                client.close()
            for sock in data:
                received(sock)
                sock.close()
        assert open_descriptors() == descriptors


class TestLife:
    def test_stop_closes_everything(self, root: Path) -> None:
        with (root / "large").open("wb") as large:
            large.truncate(64 << 20)  # more than socket buffers hold
        threads, descriptors = threading.enumerate(), open_descriptors()
        origin = Origin(root, users=USERS, writable=True)
        origin.start()
        idle, listening, downloading, uploading, quitting, failing = clients = [
            ftplib.FTP(timeout=TIMEOUT) for _ in range(6)
        ]
        for client in clients:
            client.connect(*origin.address)
            if client is not failing:
                client.login("alice", USERS["alice"])
        listening.makepasv()
        data = [
            downloading.transfercmd("RETR large"),
            uploading.transfercmd("STOR incoming/new"),
            quitting.transfercmd("RETR large"),
        ]
        quitting.putcmd("QUIT")
        failing.sendcmd("USER alice")
        failing.putcmd("PASS wrong")
        # The origin's one thread takes what arrived in its order, so now it has seen the QUIT and the PASS.
        idle.voidcmd("NOOP")

        origin.stop()
        assert threading.enumerate() == threads
        for sock in [client.sock for client in clients] + data:
            assert sock is not None
            received(sock)
            sock.close()
        for client in clients:
            client.close()
        assert open_descriptors() == descriptors

    def test_start_and_stop_again(self, root: Path) -> None:
        origin = Origin(root, users=USERS)
        origin.stop()
        with pytest.raises(RuntimeError, match="not started"):
            _ = origin.address
        for _ in range(3):
            origin.start()
            with pytest.raises(RuntimeError, match="started already"):
                origin.start()
            with logged_in(origin.address) as client:
                client.voidcmd("NOOP")
            address = origin.address
            origin.stop()
            origin.stop()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, TIMEOUT)

    def test_a_port_that_is_taken(self, root: Path) -> None:
        with Origin(root) as first:
            descriptors = open_descriptors()
            second = Origin(root, listen=first.address)
            host, port = first.address
            with pytest.raises(OSError, match=rf"cannot listen on {host}:{port}: Address already in use"):
                second.start()
            assert open_descriptors() == descriptors
            second.stop()

    def test_hundreds_of_sessions(self, root: Path) -> None:
        sessions = 600  # pyftpdlib by itself takes 512
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = open_descriptors() + 2 * sessions + 100
        if hard != resource.RLIM_INFINITY and hard < needed:
            pytest.skip("too few file descriptors")
        with contextlib.ExitStack() as stack:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            origin = stack.enter_context(Origin(root, users=USERS))
            socks = [stack.enter_context(socket.create_connection(origin.address, TIMEOUT)) for _ in range(sessions)]
            assert all(sock.recv(4) == b"220 " for sock in socks)
            with logged_in(origin.address) as client:
                assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]


Launch = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start ``python -m origin``; every warning in it is an error."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str | Path) -> subprocess.Popen[str]:
            command = [sys.executable, "-W", "error", "-m", "origin", *map(str, arguments)]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def ready_at(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout is not None
    line = process.stdout.readline()
    ready = re.fullmatch(r"origin ready: (?:\[(.+)\]|([^:]+)):([0-9]+)\n", line)
    assert ready, line or process.communicate(timeout=TIMEOUT)
    return ready[1] or ready[2], int(ready[3])


class TestCommand:
    @pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
    def test_serves_until_a_signal(self, launch: Launch, root: Path, stop: signal.Signals) -> None:
        process = launch(
            *("--root", root, "--listen", "127.0.0.2:0", "--passive-ports", "23400-23419", "--writable"),
            *("--masquerade-address", "203.0.113.7", "--user", "bob:x", "--user", "alice:wonder:land"),
        )
        address = ready_at(process)
        with logged_in(address) as client:
            host, port = ftplib.parse227(client.sendcmd("PASV"))
            assert host == "203.0.113.7"
            assert 23400 <= port <= 23419
            client.storbinary("STOR new", io.BytesIO(b"content"))
            process.send_signal(stop)
            assert process.communicate(timeout=TIMEOUT) == ("", "")
        assert process.returncode == 0
        assert (root / "new").read_bytes() == b"content"

    @needs_ipv6
    def test_ipv6_and_anonymous(self, launch: Launch, root: Path) -> None:
        process = launch("--root", root, "--listen", "[::1]:0", "--anonymous")
        with logged_in(ready_at(process), "anonymous") as client:
            assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]

    @explicit_and_implicit
    def test_tls(self, launch: Launch, root: Path, implicit: bool) -> None:
        pair = certificates().server
        process = launch(
            *("--root", root, "--listen", "127.0.0.2:0", "--passive-ports", "27150-27199"),
            *("--user", "alice:wonder:land", "--certificate", pair.certificate, "--key", pair.key, "--tls-required"),
            *(["--implicit-tls"] if implicit else []),
        )
        with secured(ready_at(process), implicit) as client:
            assert retrieved(client, "welcome.txt") == SAMPLES["welcome.txt"]
            client.prot_c()
            with pytest.raises(ftplib.error_perm, match="550"):
                client.sendcmd("EPSV")
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=TIMEOUT) == ("", "")
        assert process.returncode == 0

    @pytest.mark.parametrize(
        ("mistake", "words"),
        [
            (("--passive-ports", "20020-20000"), "20020 is greater than 20000"),
            (("--passive-ports", "20000"), "not LO-HI"),
            (("--passive-ports", "0-70000"), "between 1 and 65535"),
            (("--listen", "2121"), "not HOST:PORT"),
            (("--listen", "::1:2121"), "not HOST:PORT"),
            (("--listen", "[127.0.0.2]:2121"), "not HOST:PORT"),
            (("--listen", "127.0.0.2:65536"), "65536"),
            (("--listen", "a..b:2121"), "a..b"),
            (("--listen", "192.0.2.1:2121"), "cannot listen on 192.0.2.1:2121"),
            (("--masquerade-address", "ftp.example.com"), "not an IPv4 address"),
            (("--root", "/nonexistent"), "not a directory: /nonexistent"),
            (("--user", "alice"), "not NAME:PASSWORD"),
            (("--user", ":secret"), "not NAME:PASSWORD"),
            (("--user", "anonymous:secret"), "anonymous"),
            (("--certificate", "server.pem"), "belong together"),
            (("--certificate", "/nowhere", "--key", "/nowhere"), "cannot read /nowhere: No such file or directory"),
            (("--tls-required",), "needs a certificate"),
            (("--implicit-tls",), "needs a certificate"),
            (("--dialect", "latin"), "--dialect: invalid choice: 'latin'"),
            (("--fault", "none"), "--fault: invalid choice: 'none'"),
            (("--unknown",), "--unknown"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_mistakes(self, launch: Launch, root: Path, mistake: tuple[str, ...], words: str) -> None:
        self.assert_mistake(launch("--root", root, "--anonymous", *mistake), words)

    def test_nobody_could_log_in(self, launch: Launch, root: Path) -> None:
        self.assert_mistake(launch("--root", root), "nobody could log in")

    def test_missing_root(self, launch: Launch) -> None:
        self.assert_mistake(launch("--anonymous"), "--root")

    def test_a_port_that_is_taken(self, launch: Launch, root: Path) -> None:
        with Origin(root) as origin:
            host, port = origin.address
            process = launch("--root", root, "--anonymous", "--listen", f"{host}:{port}")
            self.assert_mistake(process, f"cannot listen on {host}:{port}: Address already in use")

    def assert_mistake(self, process: subprocess.Popen[str], words: str) -> None:
        output, sentence = process.communicate(timeout=TIMEOUT)
        assert output == ""
        assert process.returncode == 2
        assert re.fullmatch(r"python -m origin: [^\n]+\n", sentence)
        assert words in sentence

    def test_help(self, launch: Launch) -> None:
        process = launch("--help")
        output, errors = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, errors) == (0, "")
        assert "--masquerade-address" in output
        described = set(re.findall(r"^  ([a-z0-9][a-z0-9-]*) +\w", output, re.MULTILINE))
        assert described == DIALECTS.keys() | FAULTS.keys()

    def test_a_dialect_and_a_fault(self, launch: Launch, root: Path) -> None:
        process = launch(
            *("--root", root, "--listen", "127.0.0.2:0", "--anonymous", "--dialect", "vsftpd", "--fault", "twice")
        )
        with connected(ready_at(process)) as client:
            assert client.welcome == client.getresp() == "220 (vsFTPd 3.0.3)"

    @pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit(2)")
    def test_listens_on_when_descriptors_were_short(self, launch: Launch, root: Path) -> None:
        process = launch("--root", root, "--listen", "127.0.0.2:0", "--anonymous")
        address = ready_at(process)
        spare = 5
        used = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + spare, hard))
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(socket.create_connection(address, TIMEOUT)) for _ in range(2 * spare)]
            assert all(sock.recv(4) == b"220 " for sock in socks[:spare])
        with connected(address) as client:
            client.login()


def test_samples_may_be_written_again(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "samples"
    write_samples(directory)
    (directory / "welcome.txt").write_bytes(b"changed")
    (directory / "incoming" / "mine").write_bytes(b"kept")
    write_samples(directory)
    assert {name: (directory / name).read_bytes() for name in SAMPLES} == SAMPLES
    assert (directory / "incoming" / "mine").read_bytes() == b"kept"
    checksum, name = (directory / "data" / "SHA256SUMS").read_text().split()
    content = (directory / "data" / name).read_bytes()
    assert len(content) == 1 << 20
    assert hashlib.sha256(content).hexdigest() == checksum
