"""What holds of TLS, over real sockets, against a client and an origin that a test plays."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from origin import Origin
from tests.clients import content
from tests.harness import PATIENCE, Conversation, RunningGateway, application, gateway, in_reactor
from tests.scripted import (
    ORIGIN,
    DataPort,
    OriginControl,
    connect,
    descriptors,
    fill,
    no_mistakes,
    read_exactly,
    reactor_seconds,
    reset,
    was_reset,
)
from tests.scripted_tls import (
    NAME,
    PORTS,
    SecureStage,
    behind,
    client_context,
    cut,
    data_port,
    ending,
    finish,
    origin_context,
    read_whole,
    secure_client,
    secure_control,
    secure_origin,
    secure_stage,
    tls,
    ungreeted,
)
from tests.tls import Pair, certificates
from tests.unit.tls.test_certificates import nameless

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [V12, V13], ids=["TLS 1.2", "TLS 1.3"])
BOTH = pytest.mark.parametrize("mode", ["flexible", "strict"])
INJECTED = "bytes in the clear behind AUTH"


# Law 8: a cut stream never ends in a clean FIN or a clean close_notify


@VERSIONS
@BOTH
class TestStreams:
    @pytest.fixture
    def on(self, mode: str, version: ssl.TLSVersion) -> Iterator[SecureStage]:
        with secure_stage(mode, version=version) as on:
            on.protect()
            yield on

    @pytest.mark.parametrize("size", [0, 1, 100_000])
    def test_a_whole_upload(self, on: SecureStage, size: int) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        sent = content(size)
        at_client.sendall(sent)
        finish(at_client)
        assert read_whole(at_origin) == sent
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        assert on.running.journal.wait("dataChannel", outcome="complete")

    @pytest.mark.parametrize("size", [0, 1, 100_000])
    def test_a_whole_download(self, on: SecureStage, size: int) -> None:
        at_client, at_origin = on.transfer(b"RETR file")
        sent = content(size)
        at_origin.sendall(sent)
        finish(at_origin)
        assert read_whole(at_client) == sent
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        finish(at_client)
        assert ending(at_origin) == "whole"
        assert on.running.journal.wait("dataChannel", outcome="complete")

    @pytest.mark.parametrize("size", [0, 1, 100_000])
    @pytest.mark.parametrize("said", [b"226 Done.", b"426 Cut."])
    def test_an_upload_that_is_cut(self, on: SecureStage, size: int, said: bytes) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        sent = content(size)
        at_client.sendall(sent)
        cut(at_client)
        assert ending(at_origin) == "reset"
        on.control.say(said)
        assert on.client.reply().startswith(b"426 ")
        assert on.running.journal.wait("dataChannel")["outcome"] == "client reset"

    @pytest.mark.parametrize("size", [0, 1, 100_000])
    def test_an_upload_that_is_reset(self, on: SecureStage, size: int) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        at_client.sendall(content(size))
        reset(at_client)
        assert ending(at_origin) == "reset"
        on.control.say(b"226 Done.")
        assert on.client.reply().startswith(b"426 ")

    @pytest.mark.parametrize("size", [0, 1, 100_000])
    @pytest.mark.parametrize("said", [b"226 Done.", b"451 Cut."])
    def test_a_download_that_is_cut(self, on: SecureStage, size: int, said: bytes) -> None:
        at_client, at_origin = on.transfer(b"RETR file")
        at_origin.sendall(content(size))
        if on.private is None:  # in the clear a FIN is the end, so it takes more to cut it
            reset(at_origin)
        else:
            cut(at_origin)
        assert ending(at_client) == "reset"
        on.control.say(said)
        reply = on.client.reply()
        assert reply == said if said.startswith(b"4") else reply.startswith(b"426 ")
        assert on.running.journal.wait("dataChannel")["outcome"] == "origin reset"

    def test_a_download_that_the_client_cuts(self, on: SecureStage) -> None:
        at_client, at_origin = on.transfer(b"RETR file")
        at_origin.sendall(content(1000))
        assert read_exactly(at_client, 1000) == content(1000)
        at_client.close()
        assert ending(at_origin) == "reset"
        on.control.say(b"426 Cut.")
        assert on.client.reply() == b"426 Cut."

    def test_a_download_whose_client_goes_without_a_farewell(self, on: SecureStage) -> None:
        """As many do that have got all, by the close_notify."""
        at_client, at_origin = on.transfer(b"RETR file")
        at_origin.sendall(b"all of it")
        finish(at_origin)
        assert read_whole(at_client) == b"all of it"
        at_client.close()
        assert ending(at_origin) == "whole"
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        assert on.running.journal.wait("dataChannel", outcome="complete")

    def test_an_upload_whose_origin_goes_without_a_farewell(self, on: SecureStage) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        at_client.sendall(b"all of it")
        finish(at_client)
        assert read_whole(at_origin) == b"all of it"
        cut(at_origin)
        at_origin.close()
        assert ending(at_client) == "whole"
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."

    def test_a_session_that_ends_cuts_its_transfer(self, on: SecureStage) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        at_client.sendall(b"some of it")
        assert read_exactly(at_origin, 10) == b"some of it"
        on.client.close()
        assert ending(at_origin) == "reset"
        assert ending(at_client) == "reset"

    def test_an_abort_cuts_its_transfer(self, on: SecureStage) -> None:
        at_client, at_origin = on.transfer(b"RETR file")
        at_origin.sendall(b"some of it")
        assert read_exactly(at_client, 10) == b"some of it"
        on.client.send(b"ABOR\r\n")
        on.control.expect(b"ABOR")
        on.control.say(b"426 Aborted.")
        assert on.client.reply() == b"426 Aborted."
        on.control.say(b"226 Abort done.")
        assert on.client.reply() == b"226 Abort done."
        assert ending(at_client) == "reset"
        assert ending(at_origin) == "reset"

    def test_a_transfer_behind_one_that_was_cut(self, on: SecureStage) -> None:
        """Both sides' data connections still resume the session."""
        for _ in range(3):
            at_client, at_origin = on.transfer(b"STOR file")
            at_client.sendall(b"some of it")
            assert read_exactly(at_origin, 10) == b"some of it"
            reset(at_client)
            assert ending(at_origin) == "reset"
            on.control.say(b"426 Cut.")
            assert on.client.reply() == b"426 Cut."
        self.test_a_whole_upload(on, 10)

    @pytest.mark.parametrize("half", ["client", "origin"])
    def test_either_end_may_be_closed_while_bytes_come_from_the_other(self, on: SecureStage, half: str) -> None:
        at_client, at_origin = on.transfer(b"RETR file")
        first, second = (at_client, at_origin) if half == "client" else (at_origin, at_client)
        first.sendall(b"first")
        finish(first)
        assert read_whole(second) == b"first"
        second.sendall(b"second")
        finish(second)
        assert read_whole(first) == b"second"
        assert on.running.journal.wait("dataChannel", outcome="complete")

    def test_an_empty_upload_that_is_cut_though_the_origin_has_ended(self, on: SecureStage) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        finish(at_origin)
        assert read_whole(at_client) == b""
        cut(at_client)
        assert ending(at_origin) == "reset"
        on.control.say(b"226 Done.")
        assert on.client.reply().startswith(b"426 ")

    def test_an_empty_download_that_is_cut_though_the_client_has_ended(self, on: SecureStage) -> None:
        at_client, at_origin = on.transfer(b"RETR file")
        finish(at_client)
        assert read_whole(at_origin) == b""
        if on.private is None:
            reset(at_origin)
        else:
            cut(at_origin)
        assert ending(at_client) == "reset"
        on.control.say(b"226 Done.")
        assert on.client.reply().startswith(b"426 ")


# Law 11: bytes in the clear behind AUTH, before TLS, end the session


IAC_NOP = b"\xff\xf1"
IAC_SB = b"\xff\xfa\x18"


class TestInjection:
    @pytest.mark.parametrize("mode", ["flexible", "full", "strict", "passthrough"])
    @pytest.mark.parametrize(
        "extra",
        [b"USER eve\r\n", b"U", b"\r\n", b"\n", b"\0\r\n", b"x" * 5000, IAC_NOP, IAC_SB, b"\xff", b"\x16\x03\x01"],
        ids=["command", "letter", "empty line", "LF", "NUL", "long", "IAC NOP", "IAC SB", "IAC", "ClientHello"],
    )
    def test_in_the_same_packet(self, mode: str, extra: bytes) -> None:
        with secure_stage(mode) as on:
            on.client.send(b"AUTH TLS\r\n" + extra)
            if mode == "passthrough":
                on.control.expect(b"AUTH TLS")
                with contextlib.suppress(OSError):  # it may have gone already
                    on.control.say(b"234 Go on.")
            assert on.client.at_end()
            assert on.control.hear() == b"", "the origin hears nothing of it"
            assert on.running.journal.wait("tlsError")["reason"] == INJECTED
            assert on.running.journal.wait("disconnect")["outcome"] == INJECTED

    @pytest.mark.parametrize("mode", ["flexible", "strict", "passthrough"])
    @pytest.mark.parametrize("extra", [b"USER eve\r\n", b"U", b"\0\r\n", IAC_NOP])
    def test_while_auth_waits_for_its_turn(self, mode: str, extra: bytes) -> None:
        with secure_stage(mode) as on:
            on.client.send(b"SYST\r\nAUTH TLS\r\n" + extra)
            on.control.expect(b"SYST")
            on.control.say(b"215 UNIX")
            assert on.client.reply() == b"215 UNIX"
            if mode == "passthrough" and on.control.hear() == b"AUTH TLS":
                with contextlib.suppress(OSError):
                    on.control.say(b"234 Go on.")
            assert on.client.at_end()
            assert on.running.journal.wait("disconnect")["outcome"] == INJECTED

    def test_while_the_origin_thinks_about_auth(self) -> None:
        with secure_stage("passthrough") as on:
            on.client.send(b"AUTH TLS\r\n")
            on.control.expect(b"AUTH TLS")
            on.client.send(b"USER eve\r\n")
            assert on.client.at_end()
            assert on.control.hear() == b""
            assert on.running.journal.wait("disconnect")["outcome"] == INJECTED

    @pytest.mark.parametrize(
        ("mode", "extra"),
        [
            ("flexible", b"USER eve\r\nPASS secret\r\n"),
            ("flexible", b"NOOP\r\n"),
            ("strict", b"NOOP\r\n"),
            ("passthrough", b"NOOP\r\n"),
            ("passthrough", b"\r\n"),
            ("passthrough", IAC_NOP),
        ],
    )
    def test_in_a_later_packet_before_the_handshake(self, mode: str, extra: bytes) -> None:
        with secure_stage(mode) as on:
            on.client.send(b"AUTH TLS\r\n")
            if mode == "passthrough":
                on.control.expect(b"AUTH TLS")
                on.control.say(b"234 Go on.")
            assert on.client.reply().startswith(b"234 ")
            on.client.send(extra)
            assert on.control.hear() == b"", "the origin hears nothing of it"
            read_to_the_end(on.client.socket)
            outcome = INJECTED if mode == "passthrough" else "client's TLS failed"
            assert on.running.journal.wait("disconnect")["outcome"] == outcome
            assert on.running.journal.wait("tlsError")["reason"]

    @pytest.mark.parametrize("mode", ["full", "strict"])
    @pytest.mark.parametrize("extra", [b"230 Come in.\r\n", b"2", b"\r\n", b"200-\r\n"])
    def test_behind_the_origins_234(self, mode: str, extra: bytes) -> None:
        with ungreeted(tls(mode)) as (running, client, control):
            control.say(b"220 Ready.")
            control.expect(b"AUTH TLS")
            control.send(b"234 Go on.\r\n" + extra)
            assert client.reply() == b"421 Service not available; closing control connection."
            assert client.at_end()
            assert control.hear() == b"", "no ClientHello either"
            assert running.journal.wait("disconnect")["outcome"] == INJECTED
            assert running.journal.wait("tlsError")["reason"] == INJECTED

    @pytest.mark.parametrize("mode", ["full", "strict"])
    def test_behind_the_origins_234_in_a_later_packet(self, mode: str) -> None:
        with ungreeted(tls(mode)) as (running, client, control):
            control.say(b"220 Ready.")
            control.expect(b"AUTH TLS")
            control.say(b"234 Go on.")
            assert read_exactly(control.socket, 1) == b"\x16"
            control.say(b"200 Fine.")
            assert client.reply() == b"421 Service not available; closing control connection."
            assert client.at_end()
            assert running.journal.wait("disconnect")["outcome"] == "origin's TLS failed"

    @pytest.mark.parametrize("extra", [b"230 Come in.\r\n", b"2"])
    def test_behind_the_origins_234_in_passthrough(self, extra: bytes) -> None:
        with secure_stage("passthrough") as on:
            on.client.send(b"AUTH TLS\r\n")
            on.control.expect(b"AUTH TLS")
            on.control.send(b"234 Go on.\r\n" + extra)
            assert on.client.at_end()
            assert on.running.journal.wait("disconnect")["outcome"] == INJECTED

    def test_behind_the_origins_234_in_a_later_packet_in_passthrough(self) -> None:
        with secure_stage("passthrough") as on:
            on.client.send(b"AUTH TLS\r\n")
            on.control.expect(b"AUTH TLS")
            on.control.say(b"234 Go on.")
            assert on.client.reply() == b"234 Go on."
            on.control.say(b"230 Come in.")
            assert on.client.at_end()
            assert on.running.journal.wait("disconnect")["outcome"] == INJECTED

    @pytest.mark.parametrize("mode", ["flexible", "strict"])
    def test_what_came_before_is_no_injection(self, mode: str) -> None:
        with secure_stage(mode) as on:
            on.client.send(b"\xff\xf4\xff\xf2SYST\r\nAUTH TLS\r\n")
            on.control.expect(b"SYST")
            on.control.say(b"215 UNIX")
            assert on.client.reply() == b"215 UNIX"
            assert on.client.reply().startswith(b"234 ")
            on.client.socket = secure_client(on.client.socket)
            assert on.client.ask(b"PBSZ 0") == b"200 PBSZ=0"

    def test_the_flaw_of_the_embedded_origin_cannot_be_reached(self, tmp_path: Path) -> None:
        """It runs commands that came behind AUTH in the clear as if they had come by TLS."""
        pair = certificates().server
        ports = range(PORTS[-1] - 20, PORTS[-1])
        with Origin(
            tmp_path, passive_ports=ports, users={"user": "secret"}, certificate=pair.certificate, key=pair.key
        ) as origin:
            with Conversation.to(origin.address) as direct:
                direct.reply()
                direct.send(b"AUTH TLS\r\nSYST\r\n")
                assert direct.reply().startswith(b"234 ")
                direct.socket = client_context().wrap_socket(direct.socket, server_hostname=NAME)
                assert direct.reply().startswith(b"215 "), "the flaw is gone, and so may be this test"
            toml = application(origin.address, ports, more=tls("passthrough"))
            with no_mistakes(), gateway(toml) as running, Conversation(connect(running.address)) as client:
                client.reply()
                client.send(b"AUTH TLS\r\nSYST\r\n")
                assert client.at_end()
                assert running.journal.wait("disconnect")["outcome"] == INJECTED
            with no_mistakes(), gateway(toml) as running, Conversation(connect(running.address)) as client:
                client.reply()
                assert client.ask(b"AUTH TLS").startswith(b"234 ")
                client.send(b"SYST\r\n")
                assert client.at_end()
                assert running.journal.wait("disconnect")["outcome"] == INJECTED


def read_to_the_end(connection: socket.socket) -> bytes:
    """What comes until the connection ends, in whatever way."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while chunk := connection.recv(1 << 16):
            received += chunk
    return bytes(received)


# What is said of AUTH, PBSZ and PROT


def code(reply: bytes) -> int:
    return int(reply[:3])


class TestDialogue:
    def test_off(self) -> None:
        with secure_stage("off") as on:
            for command in (b"AUTH TLS", b"AUTH SSL", b"PBSZ 0", b"PROT P", b"CCC"):
                assert code(on.client.ask(command)) == 502
            feat = on.on.exchange(b"FEAT", b"211-Features:\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n SIZE\r\n211 End")
            assert feat == b"211-Features:\r\n SIZE\r\n211 End"

    @BOTH
    def test_the_codes(self, mode: str) -> None:
        with secure_stage(mode) as on:
            for command in (b"PBSZ 0", b"PROT P", b"CCC"):
                assert code(on.client.ask(command)) == 503
            assert code(on.client.ask(b"AUTH GSSAPI")) == 504
            assert code(on.client.ask(b"AUTH")) == 504
            on.auth()
            assert code(on.client.ask(b"AUTH TLS")) == 503
            assert code(on.client.ask(b"PROT P")) == 503
            assert on.client.ask(b"PBSZ 0") == b"200 PBSZ=0"
            for level, answer in ((b"P", 200), (b"C", 200), (b"S", 536), (b"E", 536), (b"X", 504), (b"", 504)):
                assert code(on.client.ask(b"PROT " + level)) == answer
            assert code(on.client.ask(b"CCC")) == 534
            assert code(on.client.ask(b"REIN")) == 502
            feat = on.on.exchange(b"FEAT", b"211-Features:\r\n AUTH SSL\r\n EPRT\r\n SIZE\r\n211 End")
            assert feat == b"211-Features:\r\n SIZE\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End"

    @pytest.mark.parametrize("mechanism", [b"TLS", b"tls-c", b"SSL", b"TLS-P"])
    def test_every_mechanism(self, mechanism: bytes) -> None:
        with secure_stage("flexible") as on:
            assert code(on.client.ask(b"AUTH " + mechanism)) == 234
            on.client.socket = secure_client(on.client.socket)
            assert on.client.ask(b"PBSZ 0") == b"200 PBSZ=0"

    def test_ssl_protects_data_at_once(self) -> None:
        with secure_stage("flexible") as on:
            assert code(on.client.ask(b"AUTH SSL")) == 234
            on.client.socket = secure_client(on.client.socket)
            assert on.client.ask(b"PBSZ 0") == b"200 PBSZ=0"  # which a ticket of TLS 1.3 comes ahead of
            at_client, at_origin = on.transfer(b"RETR file")
            at_origin.close()
            assert read_whole(at_client) == b""

    @BOTH
    def test_data_in_the_clear_behind_a_control_connection_that_is_not(self, mode: str) -> None:
        with secure_stage(mode) as on:
            on.auth()
            data = on.passive()
            at_client = on.on.dial(data.port)
            at_origin = on.begin(b"RETR file", data)
            at_origin.sendall(b"all of it")
            finish(at_origin)
            assert read_whole(at_client) == b"all of it"
            at_client.close()
            assert ending(at_origin) == "whole"
            on.control.say(b"226 Done.")
            assert on.client.reply() == b"226 Done."

    def test_no_login_in_the_clear(self) -> None:
        with secure_stage("flexible", 'require = "control"') as on:
            assert on.client.ask(b"USER user") == b"530 TLS is required: send AUTH TLS before you log in."
            assert code(on.client.ask(b"PASS secret")) == 530
            on.auth()
            on.on.login()
            data = on.passive()
            on.on.dial(data.port)
            on.begin(b"LIST", data)

    def test_no_transfer_in_the_clear(self) -> None:
        with secure_stage("flexible", 'require = "data"') as on:
            on.auth()
            on.on.login()
            on.passive()
            for command in (b"RETR file", b"STOR file", b"LIST"):
                assert code(on.client.ask(command)) == 522
            assert on.client.ask(b"PBSZ 0") == b"200 PBSZ=0"
            assert code(on.client.ask(b"PROT C")) == 534
            assert code(on.client.ask(b"RETR file")) == 522
            assert code(on.client.ask(b"PROT P")) == 200
            at_client, at_origin = on.transfer(b"RETR file")
            at_origin.close()
            assert read_whole(at_client) == b""
            assert len(on.running.journal.all("commandRefused")) == 4

    def test_a_handshake_does_not_log_in(self) -> None:
        with secure_stage("flexible", timeouts="login = 1") as on:
            on.auth()
            assert on.client.reply() == b"421 Login timeout; closing control connection."
            assert read_to_the_end(on.client.socket) == b""

    def test_1_3_at_least(self) -> None:
        with secure_stage("flexible", 'minimum_version = "1.3"') as on:
            assert code(on.client.ask(b"AUTH TLS")) == 234
            with pytest.raises(ssl.SSLError, match="protocol version"):
                secure_client(on.client.socket, V12)
            assert on.running.journal.wait("tlsError", side="client")["reason"] == "unsupported protocol"
            assert on.running.journal.wait("disconnect")["outcome"] == "client's TLS failed"
            other = on.another()
            other.version = V13
            other.protect()

    def test_1_3_at_least_of_the_origin(self) -> None:
        with ungreeted(tls("full", 'minimum_version = "1.3"')) as (running, client, control):
            control.say(b"220 Ready.")
            control.expect(b"AUTH TLS")
            control.say(b"234 Go on.")
            with pytest.raises(ssl.SSLError):
                secure_origin(control.socket, origin_context(V12))
            assert code(client.reply()) == 421
            assert "protocol version" in running.journal.wait("tlsError", side="origin")["reason"]

    def test_alpn(self) -> None:
        with secure_stage("flexible") as on:
            assert code(on.client.ask(b"AUTH TLS")) == 234
            context = ssl.create_default_context(cafile=str(certificates().ca))
            context.set_alpn_protocols(["http/1.1"])
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(on.client.socket, server_hostname=NAME)
            event = on.running.journal.wait("tlsError", side="client")
            assert event["reason"] == "the client's ALPN does not offer ftp"


class TestImplicit:
    def test_a_client_that_speaks_tls(self) -> None:
        with implicit() as (running, client, control):
            control.say(b"220 Ready.")
            client.socket = secure_client(client.socket)
            assert client.reply() == b"220 Ready."
            assert code(client.ask(b"AUTH TLS")) == 503
            client.send(b"NOOP\r\n")
            control.expect(b"NOOP")
            assert not running.journal.all("tlsError")

    def test_its_data_is_protected_without_prot(self) -> None:
        with implicit() as (_, client, control):
            control.say(b"220 Ready.")
            client.socket = session = secure_client(client.socket)
            assert client.reply() == b"220 Ready."
            with data_port() as data:
                client.send(b"EPSV\r\n")
                control.answer_passive(data)
                assert code(client.reply()) == 229
                with connect((client.socket.getpeername()[0], data.port)) as raw:
                    client.send(b"STOR file\r\n")
                    control.expect(b"STOR file")
                    with data.accept() as at_origin, secure_client(raw, session=session.session) as at_client:
                        at_client.sendall(b"all of it")
                        finish(at_client)
                        assert read_whole(at_origin) == b"all of it"

    @pytest.mark.parametrize("said", [b"USER user\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100])
    def test_a_client_that_does_not_gets_nothing_in_the_clear(self, said: bytes) -> None:
        with implicit() as (running, client, control):
            control.say(b"220 Ready.")
            client.send(said)
            received = read_to_the_end(client.socket)
            assert received == b"" or received[0] == 0x15, "no more than TLS's own alert"
            assert running.journal.wait("tlsError", side="client")["reason"]
            assert running.journal.wait("disconnect")["outcome"] == "client's TLS failed"
            assert control.hear() == b""

    @pytest.mark.parametrize("leaves", [True, False])
    def test_a_client_that_waits_for_a_greeting_gets_nothing_either(self, leaves: bool) -> None:
        with implicit("[application.timeouts]\nlogin = 1") as (running, client, control):
            control.say(b"220 Ready.")
            if leaves:
                client.socket.shutdown(socket.SHUT_WR)
            assert read_to_the_end(client.socket) == b""
            outcome = "client's TLS failed" if leaves else "login timeout"
            assert running.journal.wait("disconnect")["outcome"] == outcome

    def test_of_the_origin(self) -> None:
        with ungreeted(tls("strict", "origin_implicit = true")) as (_, client, control):
            control.socket = secure_origin(control.socket, origin_context())
            control.say(b"220 Ready.")
            for command in (b"PBSZ 0", b"PROT P"):
                control.expect(command)
                control.say(b"200 Fine.")
            assert client.reply() == b"220 Ready."

    def test_of_an_origin_that_speaks_in_the_clear(self) -> None:
        with ungreeted(tls("full", "origin_implicit = true")) as (running, client, control):
            control.say(b"220 Ready.")
            assert client.reply() == b"421 Service not available; closing control connection."
            assert running.journal.wait("disconnect")["outcome"] == "origin's TLS failed"
            assert running.journal.wait("tlsError", side="origin")["reason"]


@contextlib.contextmanager
def implicit(more: str = "") -> Iterator[tuple[RunningGateway, Conversation, OriginControl]]:
    """A session with a gateway that speaks TLS from the first byte; nobody has said anything yet."""
    with ungreeted(tls("flexible", "implicit = true") + "\n" + more) as session:
        yield session


# Handshakes that fail


class TestClientHandshake:
    @pytest.fixture
    def on(self) -> Iterator[SecureStage]:
        with secure_stage("flexible", timeouts="login = 2") as on:
            assert code(on.client.ask(b"AUTH TLS")) == 234
            yield on

    @pytest.mark.parametrize("said", [b"nothing that TLS knows", b"\x16\x03\x01\x02\x00" + bytes(512)])
    def test_garbage(self, on: SecureStage, said: bytes) -> None:
        on.client.send(said)
        read_to_the_end(on.client.socket)
        assert on.running.journal.wait("tlsError", side="client")["reason"] not in ("", "Error")
        assert on.running.journal.wait("disconnect")["outcome"] == "client's TLS failed"

    @pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
    def test_a_client_that_goes(self, on: SecureStage, said: bytes) -> None:
        on.client.send(said)
        on.client.close()
        event = on.running.journal.wait("tlsError", side="client")
        assert event["reason"] == "connection lost in the handshake"
        assert on.running.journal.wait("disconnect")["outcome"] == "client's TLS failed"

    def test_a_client_that_is_reset(self, on: SecureStage) -> None:
        reset(on.client.socket)
        assert on.running.journal.wait("disconnect")["outcome"] == "client's TLS failed"

    def test_a_client_that_trusts_nobody(self, on: SecureStage) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(on.client.socket, server_hostname=NAME)
        event = on.running.journal.wait("tlsError", side="client")
        assert "alert" in event["reason"] and "unknown ca" in event["reason"]

    def test_a_client_that_never_begins(self, on: SecureStage) -> None:
        assert on.running.journal.wait("disconnect")["outcome"] == "login timeout"
        assert read_to_the_end(on.client.socket) == b""


class TestOriginHandshake:
    """The client gets a 421 and is never told why; the operator is."""

    UNAVAILABLE = b"421 Service not available; closing control connection."

    @pytest.mark.parametrize("mode", ["full", "strict"])
    @pytest.mark.parametrize(
        ("refused", "reply"), [(b"AUTH TLS", b"502 No."), (b"PBSZ 0", b"503 No."), (b"PROT P", b"536 No.")]
    )
    def test_an_origin_that_refuses(self, mode: str, refused: bytes, reply: bytes) -> None:
        with ungreeted(tls(mode)) as (running, client, control):
            control.say(b"220 Ready.")
            for command in (b"AUTH TLS", b"PBSZ 0", b"PROT P"):
                control.expect(command)
                if command == refused:
                    control.say(reply)
                    break
                control.say(b"234 Go on." if command == b"AUTH TLS" else b"200 Fine.")
                if command == b"AUTH TLS":
                    control.socket = secure_origin(control.socket, origin_context())
            assert client.reply() == self.UNAVAILABLE
            assert client.at_end()
            reason = f"{refused[:4].decode()} was refused with {reply[:3].decode()}"
            assert running.journal.wait("tlsError", side="origin")["reason"] == reason
            assert running.journal.wait("disconnect")["outcome"] == "origin's TLS failed"
            assert not any(b"USER" in line for line in rest(control))

    @pytest.mark.parametrize("mode", ["full", "strict"])
    @pytest.mark.parametrize("how", ["fin", "reset", "garbage", "alert"])
    def test_an_origin_that_fails(self, mode: str, how: str) -> None:
        with asked(mode) as (running, client, control):
            match how:
                case "fin":
                    control.socket.shutdown(socket.SHUT_WR)
                case "reset":
                    reset(control.socket)
                case "garbage":
                    control.send(b"nothing that TLS knows")
                case "alert":
                    control.send(b"\x15\x03\x03\x00\x02\x02\x28")
            assert client.reply() == self.UNAVAILABLE
            assert running.journal.wait("tlsError", side="origin")["reason"] not in ("", "Error")
            assert running.journal.wait("disconnect")["outcome"] == "origin's TLS failed"

    @pytest.mark.parametrize("begins", [True, False])
    def test_an_origin_that_never_shakes_hands(self, begins: bool) -> None:
        with ungreeted(tls("full", timeouts="login = 1")) as (running, client, control):
            control.say(b"220 Ready.")
            control.expect(b"AUTH TLS")
            if begins:
                control.say(b"234 Go on.")
            assert client.reply() == self.UNAVAILABLE
            assert running.journal.wait("tlsError", side="origin")["reason"] == "not secure in time"
            assert running.journal.wait("disconnect")["outcome"] == "origin's TLS failed"

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("other_name", f"certificate is not for {NAME}"),
            ("expired", "certificate has expired"),
            ("self_signed", "certificate is self-signed"),
            ("unknown_ca", "certificate is issued by an unknown authority"),
        ],
    )
    @VERSIONS
    def test_an_origin_that_cannot_be_believed(self, version: ssl.TLSVersion, kind: str, reason: str) -> None:
        with asked("strict") as (running, client, control):
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                control.socket = secure_origin(control.socket, origin_context(version, getattr(certificates(), kind)))
            assert client.reply() == self.UNAVAILABLE
            assert running.journal.wait("tlsError", side="origin")["reason"] == reason
            assert running.journal.wait("disconnect")["outcome"] == "origin's TLS failed"
            assert rest(control) == []

    def test_an_origin_whose_certificate_bears_no_name(self, tmp_path: Path) -> None:
        file = tmp_path / "nameless.pem"
        file.write_bytes(nameless())
        keys = f'origin_ca = "{file}"'
        server = certificates().server
        shown = f'mode = "strict"\ncertificate = "{server.certificate}"\nkey = "{server.key}"'
        with ungreeted(f"[application.tls]\n{shown}\n{keys}") as (running, client, control):
            control.say(b"220 Ready.")
            control.expect(b"AUTH TLS")
            control.say(b"234 Go on.")
            control.socket = secure_origin(control.socket, origin_context(None, Pair(file, file)))
            assert client.reply() == self.UNAVAILABLE
            event = running.journal.wait("tlsError", side="origin")
            assert event["reason"] == f"certificate is not for {ORIGIN}"

    @pytest.mark.parametrize("kind", ["other_name", "expired", "self_signed", "unknown_ca"])
    def test_whoever_it_is(self, kind: str) -> None:
        with ungreeted(tls("full")) as (_, client, control):
            control.say(b"220 Ready.")
            secure_control(control, origin_context(None, getattr(certificates(), kind)))
            assert client.reply() == b"220 Ready."


@contextlib.contextmanager
def asked(mode: str) -> Iterator[tuple[RunningGateway, Conversation, OriginControl]]:
    """A session whose origin has just agreed to TLS."""
    with ungreeted(tls(mode)) as (running, client, control):
        control.say(b"220 Ready.")
        control.expect(b"AUTH TLS")
        control.say(b"234 Go on.")
        yield running, client, control


def rest(control: OriginControl) -> list[bytes]:
    """What the origin still hears, line by line, however its connection ends."""
    return read_to_the_end(control.socket).splitlines() if isinstance(control.socket, ssl.SSLSocket) else []
