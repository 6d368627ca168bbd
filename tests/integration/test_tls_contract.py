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
from tests.harness import PATIENCE, Conversation, application, gateway, in_reactor
from tests.scripted import (
    ORIGIN,
    DataPort,
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
        "behind",
        [b"USER eve\r\n", b"U", b"\r\n", b"\n", b"\0\r\n", b"x" * 5000, IAC_NOP, IAC_SB, b"\xff", b"\x16\x03\x01"],
        ids=["command", "letter", "empty line", "LF", "NUL", "long", "IAC NOP", "IAC SB", "IAC", "ClientHello"],
    )
    def test_in_the_same_packet(self, mode: str, behind: bytes) -> None:
        with secure_stage(mode) as on:
            on.client.send(b"AUTH TLS\r\n" + behind)
            if mode == "passthrough":
                on.control.expect(b"AUTH TLS")
                with contextlib.suppress(OSError):  # it may have gone already
                    on.control.say(b"234 Go on.")
            assert on.client.at_end()
            assert on.control.hear() == b"", "the origin hears nothing of it"
            assert on.running.journal.wait("tlsError")["reason"] == INJECTED
            assert on.running.journal.wait("disconnect")["outcome"] == INJECTED

    @pytest.mark.parametrize("mode", ["flexible", "strict", "passthrough"])
    @pytest.mark.parametrize("behind", [b"USER eve\r\n", b"U", b"\0\r\n", IAC_NOP])
    def test_while_auth_waits_for_its_turn(self, mode: str, behind: bytes) -> None:
        with secure_stage(mode) as on:
            on.client.send(b"SYST\r\nAUTH TLS\r\n" + behind)
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

    @pytest.mark.parametrize("mode", ["flexible", "strict", "passthrough"])
    @pytest.mark.parametrize("behind", [b"USER eve\r\nPASS secret\r\n", b"\r\n", IAC_NOP])
    def test_in_a_later_packet_before_the_handshake(self, mode: str, behind: bytes) -> None:
        with secure_stage(mode) as on:
            on.client.send(b"AUTH TLS\r\n")
            if mode == "passthrough":
                on.control.expect(b"AUTH TLS")
                on.control.say(b"234 Go on.")
            assert on.client.reply().startswith(b"234 ")
            on.client.send(behind)
            assert on.control.hear() == b"", "the origin hears nothing of it"
            read_to_the_end(on.client.socket)
            outcome = INJECTED if mode == "passthrough" else "client's TLS failed"
            assert on.running.journal.wait("disconnect")["outcome"] == outcome
            assert on.running.journal.wait("tlsError")["reason"]

    @pytest.mark.parametrize("mode", ["full", "strict"])
    @pytest.mark.parametrize("behind", [b"230 Come in.\r\n", b"2", b"\r\n", b"200-\r\n"])
    def test_behind_the_origins_234(self, mode: str, behind: bytes) -> None:
        with ungreeted(tls(mode)) as (running, client, control):
            control.say(b"220 Ready.")
            control.expect(b"AUTH TLS")
            control.send(b"234 Go on.\r\n" + behind)
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

    @pytest.mark.parametrize("behind", [b"230 Come in.\r\n", b"2"])
    def test_behind_the_origins_234_in_passthrough(self, behind: bytes) -> None:
        with secure_stage("passthrough") as on:
            on.client.send(b"AUTH TLS\r\n")
            on.control.expect(b"AUTH TLS")
            on.control.send(b"234 Go on.\r\n" + behind)
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

    def test_a_command_split_in_two_by_the_handshake(self) -> None:
        """What is left of a Telnet command must not swallow what comes by TLS."""
        with secure_stage("flexible") as on:
            on.auth()
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
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 16):
            received += chunk
    return bytes(received)
