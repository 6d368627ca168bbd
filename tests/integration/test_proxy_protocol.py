"""The PROXY header: from the load balancers in front of the gateway, and to the origin behind it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from ftplib import FTP
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest

from gateway.net import reception
from origin import Origin
from tests.kit import PATIENCE
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import application, gateway, tls_table
from tests.kit.ports import take
from tests.kit.programs import until
from tests.kit.reactor import descriptors, in_reactor, turn
from tests.kit.scripted import ORIGIN, DataPort, OriginControl, ScriptedOrigin
from tests.kit.servers.requirements import require
from tests.kit.sockets import read_all, read_exactly, reset
from tests.kit.stage import Stage, before, behind, stage

BALANCER = "127.0.0.10"
CLIENT = "203.0.113.9"
REACHED = "198.51.100.7"
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
TRUSTING = f'[application.proxy_protocol]\naccept_from = ["{BALANCER}/32"]'
NOT_FTP = b"421 This is an FTP server; closing control connection."


def v1(client: str = CLIENT, reached: str = REACHED) -> bytes:
    """A header as haproxy's "send-proxy" writes it."""
    family = 6 if ":" in client else 4
    return f"PROXY TCP{family} {client} {reached} 50000 21\r\n".encode()


def v2(client: str = CLIENT, reached: str = REACHED, tlvs: bytes = b"") -> bytes:
    """And "send-proxy-v2"."""
    addresses = [ip_address(client), ip_address(reached)]
    kind = 0x11 if isinstance(addresses[0], IPv4Address) else 0x21
    body = b"".join(address.packed for address in addresses) + struct.pack("!HH", 50000, 21) + tlvs
    return SIGNATURE + struct.pack("!BBH", 0x21, kind, len(body)) + body


LOCAL = SIGNATURE + b"\x20\0\0\0"
UNKNOWN = b"PROXY UNKNOWN\r\n"
SIX = ("2001:db8::9", "2001:db8::7")


@contextlib.contextmanager
def passed_on(header: bytes, more: str = TRUSTING, **keys: str) -> Iterator[Stage]:
    """A session that a balancer passes on with this header."""
    with stage(more, source=BALANCER, header=header, **keys) as on:
        yield on


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header has to arrive soon."""
    monkeypatch.setattr(reception, "DEADLINE", 0.2)


# In: the control connection


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (v1(), CLIENT),
        (v2(), CLIENT),
        (v1(*SIX), SIX[0]),
        (v2(*SIX), SIX[0]),
        (v2(tlvs=b"\x02\x00\x03ftp" + b"\x20\x0f\xa0" + bytes(4000)), CLIENT),
        (v1("::ffff:203.0.113.9", "::ffff:198.51.100.7"), CLIENT),
        (LOCAL, BALANCER),
        (UNKNOWN, BALANCER),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", BALANCER),
    ],
)
def test_the_client_is_whom_the_header_names(header: bytes, client: str) -> None:
    with passed_on(header) as on:
        record = on.running.journal.wait("connect")
        assert record["client"] == client
        assert record.get("proxy") == (None if client == BALANCER else BALANCER)
        on.login()


@pytest.mark.parametrize("header", [v1(), v2()])
def test_a_header_may_come_byte_by_byte(header: bytes) -> None:
    with behind(TRUSTING) as (running, origin), Conversation(connect(running.address, BALANCER)) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header:
            client.send(bytes([byte]))
            turn()
        with origin.accept() as control:
            control.say(b"220 Ready.")
            assert client.reply() == b"220 Ready."
            assert running.journal.wait("connect")["client"] == CLIENT


@pytest.mark.parametrize("header", [v1(), v2()])
def test_the_first_command_may_come_with_the_header(header: bytes) -> None:
    with passed_on(header + b"USER user\r\n") as on:
        on.control.expect(b"USER user")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"USER user\r\n", "no PROXY header"),
        (b"PROXY TCP4 203.0.113.9 198.51.100.7 50000\r\n", "version 1 and malformed: "),
        (b"PROXY TCP4 203.0.113.9 198.51.100.7 x 21\r\n", "version 1 and malformed: "),
        (b"PROXY TCP4 2001:db8::9 198.51.100.7 50000 21\r\n", "version 1 and malformed: "),
        (b"PROXY TCP6 fe80::1%eth0 fe80::2 50000 21\r\n", "version 1 and malformed: "),
        (b"PROXY UNKNOWN " + b"x" * 100, "version 1 and no end of line within 107 bytes"),
        (SIGNATURE + b"\x31\x11\0\x0c" + bytes(12), "version 2 and malformed: "),
        (SIGNATURE + b"\x21\x11\0\x04" + bytes(4), "version 2 and malformed: "),
        (SIGNATURE + b"\x21\x12\0\x0c" + bytes(12), "version 2 and malformed: not of a TCP connection"),
        (SIGNATURE + b"\x21\x31\0\xd8" + bytes(216), "version 2 and malformed: not of a TCP connection"),
        (SIGNATURE + b"\x21\x41\0\x0c" + bytes(12), "version 2 and of an unknown address family"),
        (SIGNATURE + b"\x21\x11\xff\xff", "version 2 and longer than 4096 bytes"),
        (b"", "no complete header within 0.2 seconds"),
        (v1()[:-1], "no complete header within 0.2 seconds"),
        (v2()[:-1], "no complete header within 0.2 seconds"),
    ],
)
def test_a_balancer_without_a_header_is_not_let_in(sent: bytes, reason: str) -> None:
    with behind(TRUSTING) as (running, origin), Conversation(connect(running.address, BALANCER)) as client:
        client.send(sent)
        record = running.journal.wait("proxyHeaderRefused")
        assert (record["proxy"], record["application"]) == (BALANCER, "ftp.example.com")
        assert record["reason"].startswith(reason)
        assert client.at_end()
        assert running.journal.all("connect") == []
        origin.listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            origin.accept()


def test_a_balancer_that_goes_without_a_word_is_no_matter() -> None:
    with behind(TRUSTING) as (running, _):
        connect(running.address, BALANCER).close()
        with connect(running.address, BALANCER) as client:
            client.sendall(b"PROXY TCP4")
        assert running.journal.wait("proxyHeaderRefused")["reason"] == "closed in the middle of its header"
        assert len(running.journal.all("proxyHeaderRefused")) == 1


def test_nobody_waits_for_a_header_when_the_gateway_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "DEADLINE", 60.0)
    with behind(TRUSTING) as (running, _), Conversation(connect(running.address, BALANCER)) as client:
        client.send(b"PROXY TCP4")
        turn()
        in_reactor(running.service.stopService)
        assert client.at_end()


def test_a_crowd_without_headers_is_bounded(monkeypatch: pytest.MonkeyPatch, nothing_is_left: None) -> None:
    """A balancer that is set to send none, and hundreds of clients behind it."""
    monkeypatch.setattr(reception, "DEADLINE", 60.0)
    with behind(TRUSTING) as (running, origin), contextlib.ExitStack() as stack:
        first = descriptors()
        waiting = [stack.enter_context(connect(running.address, BALANCER)) for _ in range(reception.MAX_NEWCOMERS)]
        for _ in range(800 - reception.MAX_NEWCOMERS):
            waiting.append(stack.enter_context(connect(running.address, BALANCER)))
            with waiting.pop(0) as longest:  # the one that has been silent longest gives way
                assert read_all(longest) == b""
        assert descriptors() == first + 2 * reception.MAX_NEWCOMERS
        refused = "too many connections without one"
        running.journal.wait("proxyHeaderRefused", 800 - reception.MAX_NEWCOMERS, proxy=BALANCER, reason=refused)
        stack.close()
        turn()
        with connect(running.address, BALANCER) as client:
            client.sendall(v1())
            origin.accept().close()
        running.journal.wait("disconnect", client=CLIENT)


def test_a_burst_of_clients_behind_a_balancer_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than may owe a header come while the gateway is busy, each with its header at once."""
    monkeypatch.setattr(reception, "MAX_NEWCOMERS", 4)
    with behind(TRUSTING) as (running, origin), contextlib.ExitStack() as stack:

        def come() -> list[socket.socket]:
            clients = [stack.enter_context(connect(running.address, BALANCER)) for _ in range(50)]
            for client in clients:
                client.sendall(v1())
            return clients

        clients = in_reactor(come)  # which accepts none of them meanwhile
        for _ in clients:
            stack.enter_context(origin.accept()).say(b"220 Ready.")
        for client in clients:
            assert read_exactly(client, 12) == b"220 Ready.\r\n"


@pytest.mark.parametrize(("source", "header"), [("127.0.0.1", b""), (BALANCER, v1())])
def test_a_header_is_taken_from_balancers_alone_and_only_first(source: str, header: bytes) -> None:
    """Spoofing (sftpgo issue 2038, pftp's PROXY command): no other PROXY line changes the client's address."""
    with stage(TRUSTING, source=source, header=header) as on:
        client = on.running.journal.wait("connect")["client"]
        assert on.client.ask(v1("192.0.2.66").removesuffix(b"\r\n")).startswith(b"500 ")
        refused = on.running.journal.wait("commandRefused")
        assert refused["client"] == client == (CLIENT if header else "127.0.0.1")
        on.login()


@pytest.mark.parametrize(("source", "header"), [("127.0.0.1", b""), (BALANCER, v2())])
def test_a_header_in_binary_from_anyone_else_ends_the_session(source: str, header: bytes) -> None:
    with stage(TRUSTING, source=source, header=header) as on:
        on.client.send(v2("192.0.2.66"))
        assert on.client.reply() == NOT_FTP
        assert on.client.at_end()
        ended = on.running.journal.wait("disconnect")
        assert (ended["outcome"], ended["client"]) == ("client speaks no FTP", CLIENT if header else "127.0.0.1")


def test_a_header_before_implicit_tls() -> None:
    more = tls_table("flexible", implicit=True) + "\n" + TRUSTING
    with behind(more) as (running, origin), connect(running.address, BALANCER) as connection:
        # The handshake's first bytes come in one packet with the header.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = context.wrap_bio(incoming, outgoing)
        first = v2()
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(first + outgoing.read())
                first = b""
                incoming.write(connection.recv(1 << 16))
        connection.sendall(outgoing.read())
        with origin.accept() as control:
            control.say(b"220 Ready.")
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    assert client.read(100) == b"220 Ready.\r\n"
                    break
                incoming.write(connection.recv(1 << 16))
        assert running.journal.wait("connect")["client"] == CLIENT


# In: what the client reached


def test_227_names_the_address_that_the_client_reached() -> None:
    with passed_on(v1()) as on:
        on.client.send(b"PASV\r\n")
        data = on.own(on.control.answer_passive())
        numbers = b"%s,%d,%d" % (REACHED.replace(".", ",").encode(), data.port >> 8, data.port & 0xFF)
        assert on.client.reply() == b"227 Entering Passive Mode (%s)." % numbers
        assert on.listens(data.port)  # at the address that the balancer reached


def test_pasv_is_of_no_use_to_a_client_that_reached_the_balancer_over_ipv6() -> None:
    with passed_on(v1(*SIX)) as on:
        assert on.client.ask(b"PASV").startswith(b"425 ")


# In: data connections


@pytest.mark.parametrize("header", [v1(), v2()])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_data_connection_has_a_header_as_well(header: bytes, pieces: bool) -> None:
    with passed_on(v1()) as on:
        data = on.passive()
        at_client = on.dial(data.port, BALANCER)
        content = b"content" * 10000
        if pieces:
            at_client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in header:
                at_client.sendall(bytes([byte]))
                turn()
            at_client.sendall(content)
        else:
            at_client.sendall(header + content)
        at_client.shutdown(socket.SHUT_WR)
        on.client.send(b"STOR a\r\n")
        on.control.expect(b"STOR a")
        at_origin = on.accept(data)
        assert read_all(at_origin) == content
        at_origin.close()
        record = on.running.journal.wait("dataChannel")
        assert (record["dataClient"], record["toOrigin"]) == (CLIENT, len(content))


@pytest.mark.parametrize(("header", "stranger"), [(v1("203.0.113.66"), "203.0.113.66"), (LOCAL, BALANCER)])
def test_a_data_connection_of_another_client_is_a_strangers(header: bytes, stranger: str) -> None:
    with passed_on(v2()) as on:
        data = on.passive()
        other = on.dial(data.port, BALANCER)
        other.sendall(header)
        assert read_all(other) == b""
        assert on.running.journal.wait("strangerRefused")["stranger"] == stranger
        at_client = on.dial(data.port, BALANCER)
        at_client.sendall(v1())
        at_origin = on.accept(data)
        at_origin.sendall(b"down")
        assert at_client.recv(4) == b"down"


def test_a_data_connection_past_the_balancer_is_a_strangers() -> None:
    """Its header is nobody's: what an address without trust says of itself is not read."""
    with passed_on(v2()) as on:
        data = on.passive()
        other = on.dial(data.port, "127.0.0.66")
        assert on.running.journal.wait("strangerRefused")["stranger"] == "127.0.0.66"
        with contextlib.suppress(OSError):
            other.sendall(v1())
        with contextlib.suppress(ConnectionResetError):
            assert read_all(other) == b""


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"content", "no PROXY header"),
        (v1()[:20], "no complete header within 0.2 seconds"),
        (b"", "no complete header within 0.2 seconds"),
    ],
)
def test_a_data_connection_without_a_header_is_not_let_in(sent: bytes, reason: str) -> None:
    with passed_on(v1()) as on:
        data = on.passive()
        at_client = on.dial(data.port, BALANCER)
        at_client.sendall(sent)
        record = on.running.journal.wait("proxyHeaderRefused", client=CLIENT, proxy=BALANCER, port=data.port)
        assert record["reason"] == reason
        with contextlib.suppress(ConnectionResetError):
            assert read_all(at_client) == b""
        second = on.dial(data.port, BALANCER)  # the port goes on waiting
        second.sendall(v1())
        on.accept(data)


def test_headers_that_are_awaited_end_with_the_port() -> None:
    with passed_on(v1()) as on:
        data = on.passive()
        waiting = on.dial(data.port, BALANCER)
        waiting.sendall(b"PROXY")
        turn()
        on.client.close()
        on.running.journal.wait("disconnect")
        with contextlib.suppress(ConnectionResetError):
            assert read_all(waiting) == b""


def test_a_header_before_tls_on_a_data_connection() -> None:
    with stage(f"{TRUSTING}\n{tls_table('flexible')}", source=BALANCER, header=v1()) as on:
        on.protect()
        data = on.passive()
        at_client = on.dial(data.port, BALANCER)
        at_client.sendall(v2())
        on.client.send(b"RETR a\r\n")
        on.control.expect(b"RETR a")
        at_origin = on.accept(data)
        protected = on.secure(at_client)
        at_origin.sendall(b"down")
        assert protected.recv(4) == b"down"


def test_a_header_before_a_data_connection_that_passes_unseen() -> None:
    ports = take(3)
    with stage(f"{TRUSTING}\n{tls_table('passthrough')}", data_ports=ports, source=BALANCER, header=v1()) as on:
        assert on.exchange(b"AUTH TLS", b"234 Go on.") == b"234 Go on."
        data = on.own(DataPort.at(ORIGIN, ports[1]))
        bad = on.dial(data.port, BALANCER)
        bad.sendall(b"content")
        assert on.running.journal.wait("proxyHeaderRefused", client=CLIENT)["port"] == data.port
        at_client = on.dial(data.port, BALANCER)
        at_client.sendall(v1() + b"up")
        assert read_exactly(on.accept(data), 2) == b"up"


# Out


def sending(**headers: str) -> str:
    """The TOML that sends headers to the origin."""
    return "[application.proxy_protocol]\n" + "\n".join(f'{key} = "{value}"' for key, value in headers.items())


def header_of(connection: socket.socket, version: str) -> tuple[str, str, int, int]:
    """Reads a header from a connection: the client's address, the reached one, and their ports."""
    if version == "v1":
        line = bytearray()
        while not line.endswith(b"\r\n"):
            line += connection.recv(1)
        word, family, client, reached, client_port, port = line.decode().split()
        assert (word, family) == ("PROXY", "TCP6" if ":" in client else "TCP4")
        return client, reached, int(client_port), int(port)
    signature, command, kind, size = struct.unpack("!12sBBH", read_exactly(connection, 16))
    assert (signature, command, size) == (SIGNATURE, 0x21, {0x11: 12, 0x21: 36}[kind])
    body = read_exactly(connection, size)
    half = 4 if kind == 0x11 else 16
    address = IPv4Address if kind == 0x11 else IPv6Address
    client_port, port = struct.unpack("!HH", body[2 * half :])
    return str(address(body[:half])), str(address(body[half : 2 * half])), client_port, port


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_origin_is_told_of_the_client(version: str) -> None:
    with stage(sending(send_control=version), greeting=None) as on:
        _, client_port = on.client.socket.getsockname()
        host, port = on.running.address
        assert header_of(on.control.socket, version) == ("127.0.0.1", host, client_port, port)
        on.control.say(b"220 Ready.")
        assert on.client.reply() == b"220 Ready."
        at_client, at_origin = on.transfer(b"RETR a")
        at_origin.sendall(b"down")  # nothing comes before it
        assert at_client.recv(4) == b"down"
        at_client.sendall(b"up")
        assert read_exactly(at_origin, 2) == b"up"


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("early", [False, True], ids=["client first", "command first"])
def test_the_origin_is_told_on_data_connections_as_well(version: str, early: bool) -> None:
    with stage(sending(send_data=version)) as on:
        _, client_port = on.client.socket.getsockname()
        data = on.passive()
        if early:  # the origin is dialled before the client came
            on.client.send(b"STOR a\r\n")
            at_origin = on.accept(data)
            at_client = on.dial(data.port)
        else:
            at_client = on.dial(data.port)
            at_origin = on.accept(data)
            on.client.send(b"STOR a\r\n")
        at_client.sendall(b"up")
        assert header_of(at_origin, version) == ("127.0.0.1", on.running.address[0], client_port, data.port)
        assert read_exactly(at_origin, 2) == b"up"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_is_passed_on_in_the_other_version(version: str) -> None:
    more = f'{TRUSTING}\nsend_control = "{version}"'
    with passed_on(v2() if version == "v1" else v1(), more, greeting=None) as on:
        assert header_of(on.control.socket, version) == (CLIENT, REACHED, 50000, 21)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_two_families_are_told_as_ipv6(version: str) -> None:
    more = f'{TRUSTING}\nsend_control = "{version}"'
    with passed_on(v2(SIX[0], "::ffff:198.51.100.7"), more, greeting=None) as on:
        client, reached, *_ = header_of(on.control.socket, version)
        assert (client, ip_address(reached)) == (SIX[0], ip_address("::ffff:198.51.100.7"))


def test_a_header_comes_before_tls_to_the_origin() -> None:
    more = sending(send_control="v1", send_data="v1") + "\n" + tls_table("full", origin_implicit=True)
    with stage(more, greeting=None) as on:
        header_of(on.control.socket, "v1")
        assert on.control.socket.recv(1) == b"\x16"  # a ClientHello


def test_an_origin_that_knows_no_header() -> None:
    """It takes the header for a command, and answers that before it is asked anything."""

    def closing(control: OriginControl) -> None:
        assert control.hear().startswith(b"PROXY ")
        control.say(b"421 What was that?")

    with ScriptedOrigin.at() as origin:
        origin.play(closing)
        with (
            before(origin.address, sending(send_control="v1")) as running,
            Conversation.to(running.address) as client,
        ):
            assert client.reply() == b"421 What was that?"
            assert running.journal.wait("disconnect")["outcome"] == "origin refused the session"


def test_an_origin_that_resets_a_data_connection_with_a_header() -> None:
    with stage(sending(send_data="v2")) as on:
        data = on.passive()
        at_client = on.dial(data.port)
        at_origin = on.accept(data)
        header_of(at_origin, "v2")
        reset(at_origin)
        with pytest.raises(ConnectionResetError):
            at_client.recv(1)
        assert on.running.journal.wait("dataChannel")["outcome"] == "origin reset"


# Both, with the program that the header comes from

HAPROXY = """
global
    log stdout format raw local0
defaults
    mode tcp
    timeout connect 10s
    timeout client 10s
    timeout server 10s
listen before-control
    bind {front}:2121
    server gateway {gateway}:2121 source {front} {send}
listen before-data
    bind {front}:{ports}
    server gateway {gateway} source {front} {send}
listen behind-control
    bind {back}:2121 accept-proxy
    server origin {origin}:2121 source {back}
listen behind-data
    bind {back}:{ports} accept-proxy
    server origin {origin} source {back}
"""


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("passive", ["PASV", "EPSV"])
def test_between_two_haproxies(version: str, passive: str, tmp_path: Path) -> None:
    """haproxy passes the client on to the gateway, and takes it from it before the origin; headers all the way."""
    require("haproxy")
    front, middle, back, rear = "127.0.0.10", "127.0.0.1", "127.0.0.2", "127.0.0.3"
    ports = take(6)
    (tmp_path / "content").mkdir()
    content = bytes(range(256)) * 4096
    (tmp_path / "content" / "file").write_bytes(content)
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(
        HAPROXY.format(
            front=front,
            gateway=middle,
            back=back,
            origin=rear,
            ports=f"{ports[0]}-{ports[-1]}",
            send="send-proxy" if version == "v1" else "send-proxy-v2",
        )
    )
    more = f'{TRUSTING}\nsend_control = "{version}"\nsend_data = "{version}"'
    toml = application((back, 2121), ports, listen=f"tcp:2121:interface={middle}", more=more)
    with (
        Origin(
            tmp_path / "content", listen=(rear, 2121), passive_ports=ports, users={"user": "secret"}, writable=True
        ),
        gateway(toml) as running,
        subprocess.Popen(["haproxy", "-f", str(configuration), "-db"]) as haproxy,
    ):
        try:
            until(lambda: _listens((front, 2121)))
            with FTP() as ftp:
                ftp.connect(front, 2121, PATIENCE, ("127.0.0.77", 0))
                ftp.login("user", "secret")
                ftp.af = socket.AF_INET6 if passive == "EPSV" else socket.AF_INET  # what ftplib chooses by
                received: list[bytes] = []
                ftp.retrbinary("RETR file", received.append)
                assert b"".join(received) == content
                ftp.quit()
        finally:
            haproxy.terminate()
        assert running.journal.wait("dataChannel")["dataClient"] == "127.0.0.77"
        assert running.journal.wait("disconnect", client="127.0.0.77")["outcome"] == "quit"


def _listens(place: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(place) == 0
