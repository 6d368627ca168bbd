"""The contract of TLS, over real sockets, between a client and an origin that a test plays."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from gateway.cli import main
from origin import Origin
from tests.kit import PATIENCE
from tests.kit.certificates import Pair, certificates
from tests.kit.content import content
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import RunningGateway, application, gateway
from tests.kit.mistakes import no_mistakes
from tests.kit.ports import take
from tests.kit.reactor import comes_to_rest, descriptors, in_reactor, reactor_seconds
from tests.kit.scripted import ORIGIN, DataPort, OriginControl
from tests.kit.sockets import read_exactly, reset, was_reset
from tests.kit.stage import Stage, stage, tls_stage, trusting, ungreeted
from tests.kit.tls import (
    NAME,
    client_context,
    cut,
    ending,
    finish,
    origin_context,
    read_whole,
    secure_client,
    secure_origin,
)
from tests.unit.tls.test_certificates import nameless

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [V12, V13], ids=["TLS 1.2", "TLS 1.3"])
BOTH = pytest.mark.parametrize("mode", ["flexible", "strict"])
CLOSE_NOTIFY = b"\x15\x03\x03\x00\x02\x01\x00"
FATAL_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"  # handshake_failure
INJECTED = "bytes in the clear behind AUTH"


# Law 8: a cut stream never ends in a clean FIN or a clean close_notify


@VERSIONS
@BOTH
class TestStreams:
    @pytest.fixture
    def on(self, mode: str, version: ssl.TLSVersion) -> Iterator[Stage]:
        with tls_stage(mode, version=version) as on:
            on.protect()
            yield on

    @pytest.mark.parametrize("size", [0, 100_000])
    def test_a_whole_upload(self, on: Stage, size: int) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        sent = content(size)
        at_client.sendall(sent)
        finish(at_client)
        assert read_whole(at_origin) == sent
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        assert on.running.journal.wait("dataChannel", outcome="complete")

    @pytest.mark.parametrize("size", [0, 100_000])
    def test_a_whole_download(self, on: Stage, size: int) -> None:
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

    @pytest.mark.parametrize("size", [0, 100_000])
    @pytest.mark.parametrize("said", [b"226 Done.", b"426 Cut."])
    def test_an_upload_that_is_cut(self, on: Stage, size: int, said: bytes) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        sent = content(size)
        at_client.sendall(sent)
        cut(at_client)
        assert ending(at_origin) == "reset"
        on.control.say(said)
        assert on.client.reply().startswith(b"426 ")
        assert on.running.journal.wait("dataChannel")["outcome"] == "client reset"

    @pytest.mark.parametrize("size", [0, 100_000])
    def test_an_upload_that_is_reset(self, on: Stage, size: int) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        at_client.sendall(content(size))
        reset(at_client)
        assert ending(at_origin) == "reset"
        on.control.say(b"226 Done.")
        assert on.client.reply().startswith(b"426 ")

    @pytest.mark.parametrize("size", [0, 100_000])
    @pytest.mark.parametrize("said", [b"226 Done.", b"451 Cut."])
    def test_a_download_that_is_cut(self, on: Stage, size: int, said: bytes) -> None:
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

    def test_a_download_that_the_client_cuts(self, on: Stage) -> None:
        at_client, at_origin = on.transfer(b"RETR file")
        at_origin.sendall(content(1000))
        assert read_exactly(at_client, 1000) == content(1000)
        at_client.close()
        assert ending(at_origin) == "reset"
        on.control.say(b"426 Cut.")
        assert on.client.reply() == b"426 Cut."

    def test_a_download_whose_client_goes_without_a_farewell(self, on: Stage) -> None:
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

    def test_an_upload_whose_origin_goes_without_a_farewell(self, on: Stage) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        at_client.sendall(b"all of it")
        finish(at_client)
        assert read_whole(at_origin) == b"all of it"
        cut(at_origin)
        at_origin.close()
        assert ending(at_client) == "whole"
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."

    def test_a_session_that_ends_cuts_its_transfer(self, on: Stage) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        at_client.sendall(b"some of it")
        assert read_exactly(at_origin, 10) == b"some of it"
        on.client.close()
        assert ending(at_origin) == "reset"
        assert ending(at_client) == "reset"

    def test_an_abort_cuts_its_transfer(self, on: Stage) -> None:
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

    def test_a_transfer_behind_one_that_was_cut(self, on: Stage) -> None:
        """Both sides' data connections still resume the session."""
        for _ in range(3):
            at_client, at_origin = on.transfer(b"STOR file")
            for end in (at_client, at_origin):
                assert not isinstance(end, ssl.SSLSocket) or end.session_reused
            at_client.sendall(b"some of it")
            assert read_exactly(at_origin, 10) == b"some of it"
            reset(at_client)
            assert ending(at_origin) == "reset"
            on.control.say(b"426 Cut.")
            assert on.client.reply() == b"426 Cut."
        self.test_a_whole_upload(on, 10)

    @pytest.mark.parametrize("half", ["client", "origin"])
    def test_either_end_may_be_closed_while_bytes_come_from_the_other(self, on: Stage, half: str) -> None:
        at_client, at_origin = on.transfer(b"RETR file")
        first, second = (at_client, at_origin) if half == "client" else (at_origin, at_client)
        first.sendall(b"first")
        finish(first)
        assert read_whole(second) == b"first"
        second.sendall(b"second")
        finish(second)
        assert read_whole(first) == b"second"
        assert on.running.journal.wait("dataChannel", outcome="complete")

    def test_an_empty_upload_that_is_cut_though_the_origin_has_ended(self, on: Stage) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        finish(at_origin)
        assert read_whole(at_client) == b""
        cut(at_client)
        assert ending(at_origin) == "reset"
        on.control.say(b"226 Done.")
        assert on.client.reply().startswith(b"426 ")

    def test_an_empty_download_that_is_cut_though_the_client_has_ended(self, on: Stage) -> None:
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
    @pytest.mark.parametrize("mode", ["flexible", "strict", "passthrough"])
    @pytest.mark.parametrize(
        "extra",
        [b"USER eve\r\n", b"U", b"\r\n", b"\n", b"\0\r\n", b"x" * 5000, IAC_NOP, IAC_SB, b"\xff", b"\x16\x03\x01"],
        ids=["command", "letter", "empty line", "LF", "NUL", "long", "IAC NOP", "IAC SB", "IAC", "ClientHello"],
    )
    def test_in_the_same_packet(self, mode: str, extra: bytes) -> None:
        """CVE-2011-0411, CVE-2011-1575, CVE-2012-2532, pyftpdlib issue 315: it must not come to be said under TLS."""
        with tls_stage(mode) as on:
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
        with tls_stage(mode) as on:
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
        with tls_stage("passthrough") as on:
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
        with tls_stage(mode) as on:
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
        with ungreeted(trusting(mode)) as (running, client, control):
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
        with ungreeted(trusting(mode)) as (running, client, control):
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
        with tls_stage("passthrough") as on:
            on.client.send(b"AUTH TLS\r\n")
            on.control.expect(b"AUTH TLS")
            on.control.send(b"234 Go on.\r\n" + extra)
            assert on.client.at_end()
            assert on.running.journal.wait("disconnect")["outcome"] == INJECTED

    def test_behind_the_origins_234_in_a_later_packet_in_passthrough(self) -> None:
        with tls_stage("passthrough") as on:
            on.client.send(b"AUTH TLS\r\n")
            on.control.expect(b"AUTH TLS")
            on.control.say(b"234 Go on.")
            assert on.client.reply() == b"234 Go on."
            on.control.say(b"230 Come in.")
            assert on.client.at_end()
            assert on.running.journal.wait("disconnect")["outcome"] == INJECTED

    @pytest.mark.parametrize("mode", ["flexible", "strict"])
    def test_what_came_before_is_no_injection(self, mode: str) -> None:
        with tls_stage(mode) as on:
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
        ports = take(20)
        with Origin(
            tmp_path, passive_ports=ports, users={"user": "secret"}, certificate=pair.certificate, key=pair.key
        ) as origin:
            with Conversation.to(origin.address) as direct:
                direct.reply()
                direct.send(b"AUTH TLS\r\nSYST\r\n")
                assert direct.reply().startswith(b"234 ")
                direct.socket = client_context().wrap_socket(direct.socket, server_hostname=NAME)
                assert direct.reply().startswith(b"215 "), "the flaw is gone, and so may be this test"
            toml = application(origin.address, ports, more=trusting("passthrough"))
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
        with tls_stage("off") as on:
            for command in (b"AUTH TLS", b"AUTH SSL", b"PBSZ 0", b"PROT P", b"CCC"):
                assert code(on.client.ask(command)) == 502
            feat = on.exchange(b"FEAT", b"211-Features:\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n SIZE\r\n211 End")
            assert feat == b"211-Features:\r\n SIZE\r\n211 End"

    @BOTH
    def test_the_codes(self, mode: str) -> None:
        with tls_stage(mode) as on:
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
            feat = on.exchange(b"FEAT", b"211-Features:\r\n AUTH SSL\r\n EPRT\r\n SIZE\r\n211 End")
            assert feat == b"211-Features:\r\n SIZE\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End"

    @pytest.mark.parametrize("mechanism", [b"TLS", b"tls-c", b"SSL", b"TLS-P"])
    def test_every_mechanism(self, mechanism: bytes) -> None:
        with tls_stage("flexible") as on:
            assert code(on.client.ask(b"AUTH " + mechanism)) == 234
            on.client.socket = secure_client(on.client.socket)
            assert on.client.ask(b"PBSZ 0") == b"200 PBSZ=0"

    def test_ssl_protects_data_at_once(self) -> None:
        with tls_stage("flexible") as on:
            assert code(on.client.ask(b"AUTH SSL")) == 234
            on.client.socket = secure_client(on.client.socket)
            assert on.client.ask(b"PBSZ 0") == b"200 PBSZ=0"  # which a ticket of TLS 1.3 comes ahead of
            on.protected = True
            at_client, at_origin = on.transfer(b"RETR file")
            at_origin.close()
            assert read_whole(at_client) == b""

    @BOTH
    def test_data_in_the_clear_behind_a_control_connection_that_is_not(self, mode: str) -> None:
        with tls_stage(mode) as on:
            on.auth()
            data = on.passive()
            at_client = on.dial(data.port)
            at_origin = on.begin(b"RETR file", data)
            at_origin.sendall(b"all of it")
            finish(at_origin)
            assert read_whole(at_client) == b"all of it"
            at_client.close()
            assert ending(at_origin) == "whole"
            on.control.say(b"226 Done.")
            assert on.client.reply() == b"226 Done."

    def test_no_login_in_the_clear(self) -> None:
        with tls_stage("flexible", require="control") as on:
            assert on.client.ask(b"USER user") == b"530 TLS is required: send AUTH TLS before you log in."
            assert code(on.client.ask(b"PASS secret")) == 530
            on.auth()
            on.login()
            data = on.passive()
            on.dial(data.port)
            on.begin(b"LIST", data)

    def test_no_transfer_in_the_clear(self) -> None:
        with tls_stage("flexible", require="data") as on:
            on.auth()
            on.login()
            on.passive()
            for command in (b"RETR file", b"STOR file", b"LIST"):
                assert code(on.client.ask(command)) == 522
            assert on.client.ask(b"PBSZ 0") == b"200 PBSZ=0"
            assert code(on.client.ask(b"PROT C")) == 534
            assert code(on.client.ask(b"RETR file")) == 522
            assert code(on.client.ask(b"PROT P")) == 200
            on.protected = True
            at_client, at_origin = on.transfer(b"RETR file")
            at_origin.close()
            assert read_whole(at_client) == b""
            assert len(on.running.journal.all("commandRefused")) == 4

    def test_a_handshake_does_not_log_in(self) -> None:
        with tls_stage("flexible", "timeouts = { login = 1 }") as on:
            on.auth()
            assert on.client.reply() == b"421 Login timeout; closing control connection."
            assert read_to_the_end(on.client.socket) == b""

    def test_1_3_at_least(self) -> None:
        with tls_stage("flexible", minimum_version="1.3") as on:
            assert code(on.client.ask(b"AUTH TLS")) == 234
            with pytest.raises(ssl.SSLError, match="protocol version"):
                secure_client(on.client.socket, V12)
            assert on.running.journal.wait("tlsError", side="client")["reason"] == "unsupported protocol"
            assert on.running.journal.wait("disconnect")["outcome"] == "client's TLS failed"
            other = on.another()
            other.version = V13
            other.protect()

    def test_1_3_at_least_of_the_origin(self) -> None:
        with ungreeted(trusting("full", minimum_version="1.3")) as (running, client, control):
            control.say(b"220 Ready.")
            control.expect(b"AUTH TLS")
            control.say(b"234 Go on.")
            with pytest.raises(ssl.SSLError):
                secure_origin(control.socket, origin_context(V12))
            assert code(client.reply()) == 421
            assert "protocol version" in running.journal.wait("tlsError", side="origin")["reason"]

    def test_alpn(self) -> None:
        with tls_stage("flexible") as on:
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
            with DataPort.at(ORIGIN) as data:
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
    def test_a_client_that_waits_for_a_greeting_gets_nothing_either(
        self, leaves: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.relay.sides.CLOSE_TIMEOUT", 0.1)
        with implicit("[application.timeouts]\nlogin = 1") as (running, client, control):
            control.say(b"220 Ready.")
            if leaves:
                client.socket.shutdown(socket.SHUT_WR)
            received = read_to_the_end(client.socket)
            assert received == b"" or (leaves and received[0] == 0x15), "no more than TLS's own alert"
            outcome = "client's TLS failed" if leaves else "login timeout"
            assert running.journal.wait("disconnect")["outcome"] == outcome

    def test_of_the_origin(self) -> None:
        with ungreeted(trusting("strict", origin_implicit=True)) as (_, client, control):
            control.socket = secure_origin(control.socket, origin_context())
            control.say(b"220 Ready.")
            for command in (b"PBSZ 0", b"PROT P"):
                control.expect(command)
                control.say(b"200 Fine.")
            assert client.reply() == b"220 Ready."

    def test_of_an_origin_that_speaks_in_the_clear(self) -> None:
        with ungreeted(trusting("full", origin_implicit=True)) as (running, client, control):
            control.say(b"220 Ready.")
            assert client.reply() == b"421 Service not available; closing control connection."
            assert running.journal.wait("disconnect")["outcome"] == "origin's TLS failed"
            assert running.journal.wait("tlsError", side="origin")["reason"]


@contextlib.contextmanager
def implicit(more: str = "") -> Iterator[tuple[RunningGateway, Conversation, OriginControl]]:
    """A session with a gateway that speaks TLS from the first byte; nobody has said anything yet."""
    with ungreeted(trusting("flexible", implicit=True) + "\n" + more) as session:
        yield session


# Handshakes that fail


class TestClientHandshake:
    @pytest.fixture
    def on(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
        monkeypatch.setattr("gateway.relay.sides.CLOSE_TIMEOUT", 0.1)
        with tls_stage("flexible", "timeouts = { login = 1 }") as on:
            assert code(on.client.ask(b"AUTH TLS")) == 234
            yield on

    @pytest.mark.parametrize(
        "said",
        [b"nothing that TLS knows", b"\x16\x03\x01\x02\x00" + bytes(512), CLOSE_NOTIFY, FATAL_ALERT],
        ids=["text", "record", "close_notify", "alert"],
    )
    def test_garbage(self, on: Stage, said: bytes) -> None:
        on.client.send(said)
        read_to_the_end(on.client.socket)
        assert on.running.journal.wait("tlsError", side="client")["reason"] not in ("", "Error")
        assert on.running.journal.wait("disconnect")["outcome"] == "client's TLS failed"

    @pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
    def test_a_client_that_goes(self, on: Stage, said: bytes) -> None:
        on.client.send(said)
        on.client.close()
        event = on.running.journal.wait("tlsError", side="client")
        assert event["reason"] == "connection lost"
        assert on.running.journal.wait("disconnect")["outcome"] == "client's TLS failed"

    def test_a_client_that_is_reset(self, on: Stage) -> None:
        reset(on.client.socket)
        assert on.running.journal.wait("disconnect")["outcome"] == "client's TLS failed"

    def test_a_client_that_trusts_nobody(self, on: Stage) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(on.client.socket, server_hostname=NAME)
        event = on.running.journal.wait("tlsError", side="client")
        assert "alert" in event["reason"] and "unknown ca" in event["reason"]

    def test_a_client_that_never_begins(self, on: Stage) -> None:
        assert on.running.journal.wait("disconnect")["outcome"] == "login timeout"
        assert read_to_the_end(on.client.socket) == b""


@pytest.mark.parametrize("last", ["client", "origin"])
def test_bytes_that_are_no_tls_behind_the_end(last: str) -> None:
    """From the side that closes last: TLS breaks on it when nothing else of the session is left."""
    with tls_stage("full") as on:
        on.auth()
        assert on.exchange(b"QUIT", b"221 Bye.") == b"221 Bye."
        assert on.running.journal.wait("disconnect")["outcome"] == "quit"
        first, other = (on.control, on.client) if last == "client" else (on.client, on.control)
        first.close()
        assert comes_to_rest()
        with socket.socket(fileno=other.socket.detach()) as raw:
            raw.sendall(b"no TLS")


class TestOriginHandshake:
    """The client gets a 421 and is never told why; the operator is."""

    UNAVAILABLE = b"421 Service not available; closing control connection."

    @pytest.mark.parametrize("mode", ["full", "strict"])
    @pytest.mark.parametrize(
        ("refused", "reply"), [(b"AUTH TLS", b"502 No."), (b"PBSZ 0", b"503 No."), (b"PROT P", b"536 No.")]
    )
    def test_an_origin_that_refuses(self, mode: str, refused: bytes, reply: bytes) -> None:
        with ungreeted(trusting(mode)) as (running, client, control):
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
    @pytest.mark.parametrize("how", ["fin", "reset", "garbage", "alert", "close_notify"])
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
                    control.send(FATAL_ALERT)
                case "close_notify":
                    control.send(CLOSE_NOTIFY)
            assert client.reply() == self.UNAVAILABLE
            assert running.journal.wait("tlsError", side="origin")["reason"] not in ("", "Error")
            assert running.journal.wait("disconnect")["outcome"] == "origin's TLS failed"

    @pytest.mark.parametrize("begins", [True, False])
    def test_an_origin_that_never_shakes_hands(self, begins: bool) -> None:
        with ungreeted("timeouts = { login = 1 }\n" + trusting("full")) as (running, client, control):
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
        """As pftp believes any (InsecureSkipVerify)."""
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
        with ungreeted(trusting("full")) as (_, client, control):
            control.say(b"220 Ready.")
            control.become_secure(origin_context(None, getattr(certificates(), kind)))
            assert client.reply() == b"220 Ready."


@contextlib.contextmanager
def asked(mode: str) -> Iterator[tuple[RunningGateway, Conversation, OriginControl]]:
    """A session whose origin has just agreed to TLS."""
    with ungreeted(trusting(mode)) as (running, client, control):
        control.say(b"220 Ready.")
        control.expect(b"AUTH TLS")
        control.say(b"234 Go on.")
        assert control.socket.recv(1, socket.MSG_PEEK) == b"\x16"
        yield running, client, control


def rest(control: OriginControl) -> list[bytes]:
    """What the origin still hears, line by line, however its connection ends."""
    return read_to_the_end(control.socket).splitlines() if isinstance(control.socket, ssl.SSLSocket) else []


# Data connections: whose they are


TLS_FAILED = b"522 TLS negotiation failed on the data connection; it has to resume the control's session."


def was_turned_away(
    connection: socket.socket, version: ssl.TLSVersion | None, session: ssl.SSLSession | None
) -> bool:
    """Whether a handshake, or what comes behind it, ends as cut; only TLS 1.2 tells a client by the handshake."""
    try:
        secure = secure_client(connection, version, session)
    except (ssl.SSLError, ConnectionError):
        return True
    with secure:
        return ending(secure) != "whole"


def reset_at_once(on: Stage, port: int) -> bool:
    """Whether a data connection is reset as soon as it is there; it may be the connect that tells."""
    try:
        return was_reset(on.dial(port))
    except ConnectionResetError:
        return True


@attrs.define(eq=False)
class Stranger:
    """Somebody at the client's address who is not the client."""

    on: Stage
    connection: socket.socket

    @classmethod
    def at(cls, on: Stage, port: int) -> Stranger:
        """Connects."""
        return cls(on, on.dial(port))

    def fails(self, how: str) -> bool:
        """Whether he is turned away."""
        match how:
            case "no session":
                return was_turned_away(self.connection, self.on.version, None)
            case "another session":
                other = self.on.another()
                other.protect()
                return was_turned_away(self.connection, self.on.version, other.session)
            case "garbage":
                self.connection.sendall(b"RETR me the money\r\n")
            case "goes":
                self.connection.shutdown(socket.SHUT_WR)
        return was_reset(self.connection)


KINDS = pytest.mark.parametrize("how", ["no session", "another session", "garbage", "goes"])


@VERSIONS
class TestWhoseData:
    @pytest.fixture
    def on(self, version: ssl.TLSVersion) -> Iterator[Stage]:
        with tls_stage("flexible", "timeouts = { data_accept = 5 }", version=version) as on:
            on.protect()
            yield on

    @KINDS
    def test_a_stranger_alone_is_refused(self, on: Stage, how: str) -> None:
        data = on.passive()
        stranger = Stranger.at(on, data.port)
        at_origin = on.begin(b"RETR file", data)
        assert stranger.fails(how)
        assert ending(at_origin) == "reset"
        on.control.say(b"426 Cut.")
        assert on.client.reply() == TLS_FAILED
        event = on.running.journal.wait("tlsError", side="client data")
        assert event["dataClient"] == "127.0.0.1" and event["port"] == data.port
        assert "session" not in how or event["reason"] == "session not resumed"
        assert on.running.journal.wait("dataChannel")["outcome"] == "client's TLS failed"

    @KINDS
    @pytest.mark.parametrize("first", [True, False], ids=["stranger first", "client first"])
    def test_a_stranger_does_not_keep_the_client_from_its_data(self, on: Stage, how: str, first: bool) -> None:
        data = on.passive()
        if first:
            stranger = Stranger.at(on, data.port)
            at_client = on.dial(data.port)
        else:
            at_client = on.dial(data.port)
            stranger = Stranger.at(on, data.port)
        at_origin = on.begin(b"RETR file", data)
        at_origin.sendall(b"for the client alone")
        at_origin.close()
        assert stranger.fails(how)
        assert on.running.journal.wait("tlsError", side="client data")["dataClient"] == "127.0.0.1"
        assert read_whole(on.secure(at_client)) == b"for the client alone"
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."

    def test_strangers_who_wait_do_not_keep_the_client_from_its_data(self, on: Stage) -> None:
        data = on.passive()
        strangers = [Stranger.at(on, data.port) for _ in range(3)]
        at_client = on.dial(data.port)
        strangers.append(Stranger.at(on, data.port))
        assert was_reset(strangers.pop(1).connection)
        event = on.running.journal.wait("tlsError", side="client data")
        assert event["reason"] == "gave way to a newer connection"
        at_origin = on.begin(b"RETR file", data)
        at_origin.sendall(b"for the client alone")
        at_origin.close()
        assert read_whole(on.secure(at_client)) == b"for the client alone"
        assert all(was_reset(stranger.connection) for stranger in strangers)

    def test_the_client_may_come_behind_strangers_who_failed(self, on: Stage) -> None:
        data = on.passive()
        strangers = [Stranger.at(on, data.port) for _ in range(4)]
        at_origin = on.begin(b"RETR file", data)
        for count, stranger in enumerate(strangers[1:], 1):
            assert stranger.fails("garbage")
            on.running.journal.wait("tlsError", count, side="client data")
        at_client = on.dial(data.port)
        at_origin.sendall(b"for the client alone")
        at_origin.close()
        assert read_whole(on.secure(at_client)) == b"for the client alone"

    def test_a_client_that_comes_behind_the_150(self, on: Stage) -> None:
        data = on.passive()
        at_origin = on.begin(b"RETR file", data)
        at_origin.sendall(b"for the client alone")
        at_origin.close()
        assert read_whole(on.secure(on.dial(data.port))) == b"for the client alone"

    def test_a_client_that_need_not_resume(self, version: ssl.TLSVersion) -> None:
        with tls_stage("flexible", data_session_reuse="optional", version=version) as on:
            on.protect()
            data = on.passive()
            at_client = on.dial(data.port)
            at_origin = on.begin(b"STOR file", data)
            with secure_client(at_client, version, None) as secure:
                secure.sendall(b"all of it")
                finish(secure)
                assert read_whole(at_origin) == b"all of it"
            assert not on.running.journal.all("tlsError")

    def test_one_session_cannot_take_the_data_of_another(self, on: Stage) -> None:
        """Not even one that the gateway knows: each has its own keys."""
        other = on.another()
        other.protect()
        data = on.passive()
        at_thief = on.dial(data.port)
        on.begin(b"RETR file", data)
        assert was_turned_away(at_thief, on.version, other.session)
        assert on.running.journal.wait("tlsError")["reason"] == "session not resumed"


class TestDataHandshake:
    def test_one_that_never_begins(self) -> None:
        with tls_stage("flexible", "timeouts = { data_accept = 1 }") as on:
            on.protect()
            for late in (False, True):
                data = on.passive()
                if not late:
                    at_client = on.dial(data.port)
                at_origin = on.begin(b"RETR file", data)
                if late:
                    at_client = on.dial(data.port)
                assert ending(at_origin) == "reset"
                on.control.say(b"426 Cut.")
                assert on.client.reply() == TLS_FAILED
                assert was_reset(at_client)
                event = on.running.journal.wait("tlsError", 1 + late, side="client data")
                assert event["reason"] == "no TLS handshake in time"
                assert on.running.journal.wait("dataChannel", 1 + late)["outcome"] == "client's TLS failed"

    def test_a_client_that_never_comes(self) -> None:
        with tls_stage("flexible", "timeouts = { data_accept = 1 }") as on:
            on.protect()
            data = on.passive()
            at_origin = on.begin(b"RETR file", data)
            assert ending(at_origin) == "reset"
            on.control.say(b"425 Nobody.")
            assert on.client.reply() == b"425 Nobody."
            assert on.running.journal.wait("dataChannel")["outcome"] == "client did not come"

    def test_bytes_in_the_clear_are_never_passed_on(self) -> None:
        with tls_stage("flexible") as on:
            on.protect()
            data = on.passive()
            at_client = on.dial(data.port)
            at_client.sendall(b"a file, and no TLS around it")
            at_origin = on.begin(b"STOR file", data)
            assert ending(at_origin) == "reset"
            on.control.say(b"226 Done.")
            assert on.client.reply() == TLS_FAILED
            assert on.running.journal.wait("dataChannel")["toOrigin"] == 0

    def test_tls_is_not_looked_for_where_data_is_to_be_clear(self) -> None:
        with tls_stage("flexible") as on:
            on.auth()
            data = on.passive()
            at_client = on.dial(data.port)
            at_client.sendall(b"\x16\x03\x01 is how some files begin")
            at_client.shutdown(socket.SHUT_WR)
            assert read_whole(on.begin(b"STOR file", data)) == b"\x16\x03\x01 is how some files begin"

    @pytest.mark.parametrize("said", [b"426 Cut.", b"226 Done."])
    @pytest.mark.parametrize("how", ["fin", "reset", "garbage", "close_notify", "other_name", "unknown_ca"])
    def test_an_origin_that_fails(self, how: str, said: bytes) -> None:
        with tls_stage("strict") as on:
            on.protect()
            on.private = None
            data = on.passive()
            at_client = on.dial(data.port)
            at_origin = on.begin(b"RETR file", data)
            assert at_origin.recv(1, socket.MSG_PEEK) == b"\x16"
            reason = "connection lost"
            match how:
                case "fin":
                    at_origin.shutdown(socket.SHUT_WR)
                case "reset":
                    reset(at_origin)
                case "garbage":
                    reason = "wrong version number"
                    at_origin.sendall(b"150 no TLS here\r\n")
                case "close_notify":
                    reason = "ZeroReturnError"
                    at_origin.sendall(CLOSE_NOTIFY)
                case _:
                    reason = {
                        "other_name": f"certificate is not for {NAME}",
                        "unknown_ca": "certificate is issued by an unknown authority",
                    }[how]
                    with contextlib.suppress(ssl.SSLError, ConnectionError):
                        secure_origin(at_origin, origin_context(None, getattr(certificates(), how))).close()
            event = on.running.journal.wait("tlsError", side="origin data")
            assert event["reason"] == reason
            assert on.running.journal.wait("dataChannel")["outcome"] == "origin's TLS failed"
            assert was_reset(at_client)
            on.control.say(said)
            assert code(on.client.reply()) == 426
            # and the session goes on
            on.private = origin_context()
            at_client, at_origin = on.transfer(b"RETR file")
            finish(at_origin)
            assert ending(at_client) == "whole"

    def test_an_origin_that_never_shakes_hands(self) -> None:
        with tls_stage("strict", "timeouts = { data_stall = 1 }") as on:
            on.protect()
            on.private = None
            data = on.passive()
            at_client = on.dial(data.port)
            at_origin = on.begin(b"RETR file", data)
            at_client = on.secure(at_client)
            assert ending(at_client) == "reset"
            assert was_reset(at_origin)
            on.control.say(b"425 No TLS.")
            assert on.client.reply() == b"425 No TLS."
            assert on.running.journal.wait("dataChannel")["outcome"] == "stalled"

    def test_nothing_is_left_of_those_that_failed(self) -> None:
        with tls_stage("strict", "timeouts = { data_accept = 1 }") as on:
            on.protect()
            on.running.journal.wait("connect")
            before = descriptors()
            for count in range(1, 4):
                data = on.passive()
                with connect((on.running.address[0], data.port)) as silent, connect(silent.getpeername()) as loud:
                    loud.sendall(b"no TLS")
                    on.client.send(b"RETR file\r\n")
                    on.control.expect(b"RETR file")
                    with data.accept():
                        on.running.journal.wait("dataChannel", count)
                on.control.say(b"426 Cut.")
                assert on.client.reply() == TLS_FAILED
                data.close()
            assert descriptors() == before


# Back-pressure, and both directions


def push(connection: socket.socket, data: memoryview, quiet: float = 0.3) -> int:
    """Sends until nothing more is taken for a while; how many bytes were taken."""
    sent = 0
    connection.settimeout(quiet)
    with contextlib.suppress(TimeoutError):
        while sent < len(data):
            sent += connection.send(data[sent : sent + (1 << 16)])
    connection.settimeout(PATIENCE)
    return sent


@BOTH
class TestFlow:
    SIZE = 64 << 20

    @pytest.fixture
    def on(self, mode: str) -> Iterator[Stage]:
        with tls_stage(mode, "timeouts = { data_stall = 60 }") as on:
            on.protect()
            yield on

    @pytest.mark.parametrize("command", [b"STOR file", b"RETR file"])
    def test_a_slow_reader_stops_the_sender_and_nothing_is_lost(self, on: Stage, command: bytes) -> None:
        at_client, at_origin = on.transfer(command)
        sender, reader = (at_client, at_origin) if command == b"STOR file" else (at_origin, at_client)
        sent = memoryview(content(self.SIZE))
        taken = push(sender, sent)
        assert taken < self.SIZE // 2, "the gateway keeps it all"
        busy = reactor_seconds()
        assert push(sender, sent[taken:], quiet=1) == 0
        assert reactor_seconds() - busy < 0.2, "the gateway spins"

        def send_the_rest() -> None:
            sender.sendall(sent[taken:])
            finish(sender)

        rest = threading.Thread(target=send_the_rest)
        rest.start()
        received = bytearray()
        for size in (1, 100, 16_383, 16_385, 100_000, 1 << 20):
            received += read_exactly(reader, size)
        received += read_whole(reader)
        rest.join()
        assert received == sent
        if command == b"STOR file":
            finish(reader)
            assert ending(sender) == "whole"
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."

    def test_both_directions_at_once(self, on: Stage) -> None:
        at_client, at_origin = on.transfer(b"STOR file")
        size = 8 << 20
        sent = {at_client: content(size, 1), at_origin: content(size, 2)}
        received: dict[socket.socket, bytes] = {}

        def turn(ours: socket.socket) -> None:
            """Sends and receives by turns, as one that cannot do both at once."""
            rest, got = memoryview(sent[ours]), bytearray()
            ours.setblocking(False)
            while rest or len(got) < size:
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                    rest = rest[ours.send(rest[: 1 << 16]) :] if rest else rest
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                    got += ours.recv(1 << 16)
            ours.settimeout(PATIENCE)
            received[ours] = bytes(got)

        other = threading.Thread(target=turn, args=(at_origin,))
        other.start()
        turn(at_client)
        other.join()
        assert received[at_client] == sent[at_origin]
        assert received[at_origin] == sent[at_client]

    @pytest.mark.parametrize("full", [False, True])
    def test_a_transfer_that_moves_nothing_is_cut(self, mode: str, full: bool) -> None:
        with tls_stage(mode, "timeouts = { data_stall = 1 }") as on:
            on.protect()
            at_client, at_origin = on.transfer(b"RETR file")
            if full:
                push(at_origin, memoryview(bytes(self.SIZE)))
            assert on.running.journal.wait("dataChannel")["outcome"] == "stalled"
            assert ending(at_client) == "reset"
            assert ending(at_origin) != "whole"
            on.control.say(b"226 Done.")
            assert code(on.client.reply()) == 426

    def test_a_client_that_does_not_read_its_replies_stops_the_origin(self, on: Stage) -> None:
        count = 12
        reply = b"211-Status\r\n" + (b" " + b"x" * 997 + b"\r\n") * 900 + b"211 End\r\n"
        sent = Progress()

        def answer() -> None:
            for _ in range(count):
                on.control.expect(b"STAT")
                on.control.send(reply)
                sent.add()

        origin = threading.Thread(target=answer)
        origin.start()
        on.client.send(b"STAT\r\n" * count)
        assert sent.at_rest() < 10, "the gateway keeps it all"
        assert len(read_exactly(on.client.socket, len(reply) * count)) == len(reply) * count
        origin.join()


class Progress:
    """Counts, and tells when that has come to rest."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def add(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify()

    def at_rest(self, quiet: float = 0.5) -> int:
        """How far it is once nothing was added for so long."""
        with self._changed:
            while self._changed.wait(quiet):
                pass
            return self._count


# Certificates, while it runs


OURS, OTHERS = {NAME, "localhost"}, {"other.example.com"}


def shown(on: Stage, name: str | None = None) -> set[str]:
    """The names in the certificate that a client sees, who asks for that name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates().ca)
    context.check_hostname = False
    assert code(on.client.ask(b"AUTH TLS")) == 234
    on.client.socket = secure = context.wrap_socket(on.client.socket, server_hostname=name)
    certificate = secure.getpeercert()
    assert certificate is not None
    return {str(value) for kind, value in certificate["subjectAltName"] if kind == "DNS"}


@attrs.frozen
class Files:
    """A certificate and its key where the gateway looks for them."""

    directory: Path

    @property
    def chain(self) -> Path:
        return self.directory / "chain.pem"

    @property
    def toml(self) -> str:
        key = self.directory / "key.pem"
        return f'[application.tls]\nmode = "flexible"\ncertificate = "{self.chain}"\nkey = "{key}"'

    def put(self, pair: Pair) -> None:
        """As certbot does: other files take the place, one by one."""
        for source, name in ((pair.certificate, "chain.pem"), (pair.key, "key.pem")):
            new = self.directory / "new"
            new.write_bytes(source.read_bytes())
            new.rename(self.directory / name)


class TestCertificates:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Files:
        files = Files(tmp_path)
        files.put(certificates().server)
        return files

    @pytest.fixture
    def on(self, files: Files) -> Iterator[Stage]:
        with stage(files.toml) as on:
            on.protect()
            yield on

    def goes_on(self, on: Stage) -> None:
        """The session that was there before still resumes."""
        at_client, at_origin = on.transfer(b"RETR file")
        at_origin.close()
        assert ending(at_client) == "whole"
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."

    @pytest.mark.parametrize("reload", [False, True])
    def test_files_that_change_are_read_again(self, on: Stage, files: Files, reload: bool) -> None:
        assert shown(on.another()) == OURS
        files.put(certificates().other_name)
        if reload:
            in_reactor(on.running.service.reload)
        assert shown(on.another()) == OTHERS
        self.goes_on(on)

    @pytest.mark.parametrize("reload", [False, True])
    def test_files_that_cannot_be_used_change_nothing(self, on: Stage, files: Files, reload: bool) -> None:
        files.chain.write_text("half of a certifica")
        if reload:
            in_reactor(on.running.service.reload)
        for _ in range(3):
            assert shown(on.another()) == OURS
        event = on.running.journal.wait("tlsError", side="certificate")
        assert event["reason"] == f"{files.chain} holds no PEM certificate"
        files.put(certificates().other_name)
        assert shown(on.another()) == OTHERS
        on.running.journal.wait("connect", 5)
        assert len(on.running.journal.all("tlsError")) == 1, "once, not for each session"
        self.goes_on(on)

    def test_files_that_are_gone(self, on: Stage, files: Files) -> None:
        files.chain.unlink()
        assert shown(on.another()) == OURS
        event = on.running.journal.wait("tlsError", side="certificate")
        assert event["reason"] == f"{files.chain}: No such file or directory"

    def test_the_name_that_the_client_asks_for(self, tmp_path: Path) -> None:
        for number, pair in enumerate((certificates().server, certificates().other_name)):
            (tmp_path / f"{number}.pem").write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
        with stage(f'[application.tls]\nmode = "flexible"\ncertificate = "{tmp_path}"') as on:
            assert shown(on.another()) == OURS
            assert shown(on.another(), NAME) == OURS
            assert shown(on.another(), "other.example.com") == OTHERS
            assert shown(on.another(), "nobody.example.com") == OURS
            on.protect()
            self.goes_on(on)

    @pytest.mark.parametrize("kind", ["server", "expired"])
    def test_check(self, files: Files, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
        files.put(getattr(certificates(), kind))
        file = tmp_path / "gateway.toml"
        file.write_text(application(("198.51.100.1", 21), range(20000, 20021), listen="tcp:21", more=files.toml))
        assert main(["check", str(file)]) == 0
        [warning] = capsys.readouterr().err.splitlines() or [""]
        path = "warning: application[0].tls.certificate"
        assert warning.startswith(f"{path}: a certificate in {files.chain} expired on ") is (kind == "expired")

    def test_check_finds_what_cannot_be_used(
        self, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "gateway.toml"
        file.write_text(application(("198.51.100.1", 21), range(20000, 20021), listen="tcp:21", more=files.toml))
        files.chain.write_bytes(certificates().other_name.certificate.read_bytes())
        assert main(["check", str(file)]) == 2
        files.chain.unlink()
        assert main(["check", str(file)]) == 2
        assert capsys.readouterr().err.splitlines() == [
            f"application[0].tls.certificate: the key in {tmp_path}/key.pem is not that of the certificate "
            f"in {files.chain}",
            f"application[0].tls.certificate: {files.chain}: No such file or directory",
        ]


# Passthrough: what cannot be read is relayed as it is


FEW = take(10)
FAR = "127.0.0.9"


class TestPassthrough:
    @pytest.fixture
    def on(self) -> Iterator[Stage]:
        with stage(trusting("passthrough"), data_ports=FEW) as on:
            self.go_opaque(on)
            yield on

    @pytest.fixture
    def hasty(self) -> Iterator[Stage]:
        """Whose session is not idle for long."""
        with stage("timeouts = { idle = 3 }\n" + trusting("passthrough"), data_ports=FEW) as on:
            self.go_opaque(on)
            yield on

    def go_opaque(self, on: Stage) -> None:
        """Both ends of the control connection shake hands with each other."""
        assert on.exchange(b"AUTH TLS", b"234 Go on.") == b"234 Go on."
        done = threading.Thread(target=self.be_secure, args=(on,))
        done.start()
        on.client.socket = secure_client(on.client.socket)
        done.join()

    def be_secure(self, on: Stage) -> None:
        on.control.socket = secure_origin(on.control.socket, origin_context())

    def passes(self, on: Stage, at_client: socket.socket, at_origin: socket.socket) -> None:
        """What the one sends the other receives, and the other way round."""
        at_client.sendall(b"from the client")
        assert read_exactly(at_origin, 15) == b"from the client"
        at_origin.sendall(b"from the origin")
        assert read_exactly(at_client, 15) == b"from the origin"

    def test_control_and_data(self, on: Stage) -> None:
        with DataPort.at(ORIGIN, FEW[0]) as data:
            assert on.exchange(b"EPSV", b"229 (|||%d|)" % data.port) == b"229 (|||%d|)" % data.port
            at_client = on.dial(data.port)
            at_origin = on.own(data.accept())
            at_client.sendall(content(100_000))
            at_client.shutdown(socket.SHUT_WR)
            assert read_whole(at_origin) == content(100_000)
            at_origin.close()
            assert ending(at_client) == "whole"
            assert on.exchange(b"USER user", b"331 Password, please.") == b"331 Password, please."
            event = on.running.journal.wait("dataChannel")
            assert (event["outcome"], event["toOrigin"]) == ("complete", 100_000)

    def test_every_port_is_open_for_this_client_alone(self, on: Stage) -> None:
        """CVE-2015-5361: behind AUTH a firewall opened its ports to everyone."""
        host = on.running.address[0]
        for port in FEW:
            with DataPort.at(ORIGIN, port) as data, connect((host, port)) as at_client:
                with data.accept() as at_origin:
                    self.passes(on, at_client, at_origin)
                with connect((host, port), FAR) as stranger:
                    assert read_whole(stranger) == b""
                assert data.accept_now() is None
        on.running.journal.wait("strangerRefused", len(FEW), stranger=FAR)

    def test_the_ports_are_closed_with_the_session(self, on: Stage) -> None:
        host = on.running.address[0]
        with DataPort.at(ORIGIN, FEW[0]) as data, connect((host, FEW[0])) as at_client, data.accept() as at_origin:
            on.client.close()
            on.running.journal.wait("disconnect")
            self.passes(on, at_client, at_origin)  # it may be another session's
        for port in FEW:
            with pytest.raises(ConnectionRefusedError):
                connect((host, port))

    def test_an_origins_port_that_is_closed(self, on: Stage) -> None:
        assert reset_at_once(on, FEW[0])
        assert on.running.journal.wait("dataChannel")["outcome"] == "origin unreachable"

    def test_a_cut_is_passed_on(self, on: Stage) -> None:
        with DataPort.at(ORIGIN, FEW[0]) as data:
            at_client = on.dial(data.port)
            at_origin = on.own(data.accept())
            at_client.sendall(b"some of it")
            assert read_exactly(at_origin, 10) == b"some of it"
            reset(at_client)
            assert ending(at_origin) == "reset"

    def test_a_port_from_before_does_not_keep_it_awake(self) -> None:
        """The port was asked for in the clear; when its time is over it is counted with the others."""
        hasty = f"timeouts = {{ idle = 2, data_accept = 1 }}\n{trusting('passthrough')}"
        with stage(hasty, data_ports=FEW) as on, DataPort.at(ORIGIN, FEW[1]) as data:
            on.passive(data=DataPort.at(ORIGIN, FEW[0]))
            self.go_opaque(on)
            at_client, at_origin = on.dial(data.port), on.own(data.accept())
            at_client.close()
            at_origin.close()
            on.running.journal.wait("dataChannel", outcome="client did not come")
            on.running.journal.wait("disconnect", outcome="idle timeout")

    def test_a_channel_keeps_the_session_from_being_idle(self, hasty: Stage) -> None:
        with DataPort.at(ORIGIN, FEW[0]) as data:
            at_client = hasty.dial(data.port)
            at_origin = hasty.own(data.accept())
            idle = hasty.another()
            assert idle.client.line() == b"421 Idle timeout; closing control connection."
            self.passes(hasty, at_client, at_origin)
            at_client.close()
            at_origin.close()
        hasty.running.journal.wait("disconnect", 2, outcome="idle timeout")
        assert ending(hasty.client.socket) == "cut", "the gateway has no keys to say more"

    @pytest.mark.parametrize("turn", [1, -1])
    def test_two_sessions_of_one_client(self, hasty: Stage, turn: int) -> None:
        """The data is taken to belong to the one that spoke last."""
        other = hasty.another()
        self.go_opaque(other)
        one, two = (hasty, other)[::turn]
        one.exchange(b"EPSV", b"229 (|||%d|)" % FEW[0])
        with DataPort.at(ORIGIN, FEW[0]) as data:
            at_client, at_origin = hasty.dial(FEW[0]), hasty.own(data.accept())
        hasty.running.journal.wait("disconnect", outcome="idle timeout")
        assert ending(two.client.socket) == "cut"
        self.passes(one, at_client, at_origin)
        one.exchange(b"NOOP", b"200 Fine.")

    @pytest.mark.parametrize("turn", [1, -1])
    def test_the_end_of_one_session_does_not_cut_the_data_of_another(self, on: Stage, turn: int) -> None:
        other = on.another()
        self.go_opaque(other)
        with DataPort.at(ORIGIN, FEW[0]) as data:
            channels = [(on.dial(FEW[0]), on.own(data.accept())) for _ in range(2)]
        (on, other)[::turn][0].client.close()
        on.running.journal.wait("disconnect")
        for at_client, at_origin in channels:
            self.passes(on, at_client, at_origin)

    def test_it_does_not_reach_the_port_of_a_session_in_the_clear(self, on: Stage) -> None:
        """The origin would take its connection for the other client's, and send it the file."""
        plain = on.another(FAR)
        data = plain.passive(data=DataPort.at(ORIGIN, FEW[0]))
        assert read_whole(on.dial(data.port)) == b""
        on.running.journal.wait("strangerRefused", stranger="127.0.0.1", port=data.port)
        assert data.accept_now() is None
        at_client = plain.dial(data.port, FAR)
        at_origin = plain.begin(b"RETR file", data)
        at_origin.sendall(b"for the client alone")
        at_origin.close()
        assert read_whole(at_client) == b"for the client alone"
        plain.control.say(b"226 Done.")
        assert plain.client.reply() == b"226 Done."
        self.passes(on, on.dial(data.port), on.own(data.accept()))  # the port may be its own now

    def test_there_is_an_end_to_the_channels(self, on: Stage) -> None:
        with DataPort.at(ORIGIN, FEW[0], backlog=100) as data:
            for _ in range(64):
                on.dial(FEW[0])
                on.own(data.accept())
            assert reset_at_once(on, FEW[0])
            assert on.running.journal.wait("tooManyDataChannels")["port"] == FEW[0]
            assert data.accept_now() is None

    def test_a_peer_that_does_not_read_stops_the_other(self, on: Stage) -> None:
        size = 32 << 20
        sent = memoryview(content(size))
        for sender, reader in ((on.client, on.control), (on.control, on.client)):
            taken = push(sender.socket, sent)
            assert taken < size, "the gateway keeps it all"
            assert len(read_exactly(reader.socket, taken)) == taken

    def test_a_session_in_the_clear_is_protected_as_ever(self) -> None:
        with tls_stage("passthrough") as on:
            data = DataPort.at(ORIGIN)
            reply = on.exchange(b"PASV", b"227 Entering Passive Mode (%s)." % data.numbers)
            assert b"(127,0,0,1," in reply
            at_client = on.dial(data.port)
            at_origin = on.begin(b"RETR file", on.own(data))
            at_origin.close()
            assert ending(at_client) == "whole"
