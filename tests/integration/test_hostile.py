"""Attacks that worked on other programs: a test for each class of them, with the cases in its docstring.

Attacks on TLS, or by way of a load balancer, are tested beside the other tests of those: ``docs/security.rst`` names
the tests of every class, and ``tests/docs`` checks that each case there is in the docstring of one of them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.ftp.streams import MAX_PRELIMINARY, MAX_TELNET
from gateway.relay import sides
from gateway.session.tolerance import MAX_UNASKED
from tests.kit.conversation import connect
from tests.kit.passive import commas
from tests.kit.ports import scripted
from tests.kit.reactor import descriptors
from tests.kit.scripted import DataPort, ScriptedOrigin
from tests.kit.sockets import fill, read_all, reset, silent
from tests.kit.stage import before, relays, stage, usable
from tests.kit.tls import CLIENT_HELLO

MIB = 1 << 20
PORT = scripted()[1]
NUMBERS = {b"port": PORT, b"high": PORT >> 8, b"low": PORT & 0xFF}  # in what an origin says
WELCOME = b"230-Welcome\r\n229 (|||%(port)d|)\r\n230 in"
VICTIM = "127.0.0.9"
LONG_REPLY = b"200-Nobody\r\n" + (b"x" * 1000 + b"\r\n") * 900 + b"200 asked.\r\n"
UNAVAILABLE = b"421 Service not available; closing control connection."

# Verbs at which the origin would dial, in every form that some server might read so.
ACTIVE = [
    b"PORT 127,0,0,1,94,1",
    b"port 127,0,0,1,94,1",
    b"pOrT 127,0,0,1,94,1",
    b"PORT",
    b"PORT ",
    b"PORT  127,0,0,1,94,1",
    b"PORT\t127,0,0,1,94,1",
    b" PORT 127,0,0,1,94,1",
    b"\t \tPORT 127,0,0,1,94,1",
    b"EPRT |1|127.0.0.1|24065|",
    b"eprt |2|::1|24065|",
    b"\tEprt\t|1|127.0.0.1|24065|",
    b"LPRT 4,4,127,0,0,1,2,94,1",
    b"lprt",
    b"\xff\xf4\xff\xf2PORT 127,0,0,1,94,1",  # IP and DM, as before an ABOR
    b"\xff\xf1PORT 127,0,0,1,94,1",
    b"\xff\xfb\x01PORT 127,0,0,1,94,1",  # WILL ECHO
    b"\xff\xfdPPORT 127,0,0,1,94,1",  # DO an option that looks like a letter
    b"PO\xff\xf1RT 127,0,0,1,94,1",
    b"\xff\xfa\x18NOOP\r\nNOOP\xff\xf0EPRT |1|127.0.0.1|24065|",  # the end of a line inside a subnegotiation
]
FOREIGN_SPEECH = [
    b"GET /secret HTTP/1.1\r\nHost: secret.example\r\n\r\n",
    b"POST /secret HTTP/1.1\r\nContent-Length: 20\r\n\r\nPORT 127,0,0,1,94,1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT secret.example:443 HTTP/1.1\r\n",
    b"host: secret.example\r\n",
    b"EHLO secret.example\r\nMAIL FROM:<secret@example>\r\n",
    b"helo secret.example\r\n",
    CLIENT_HELLO + b"secret",
]


# What a client does


@pytest.mark.parametrize("logged_in", [False, True], ids=["before login", "after login"])
def test_bounce(logged_in: bool) -> None:
    """CVE-1999-0017, CVE-2000-0813, CVE-2007-6741, in a proxy CVE-2002-0538: the origin is to dial a third party."""
    refusal = b"502 Active mode is not supported; use EPSV or PASV."
    with stage() as on:
        if logged_in:
            on.login()
        for command in ACTIVE:
            assert on.client.ask(command) == refusal, command
        assert relays(on)
        noted = on.running.journal
        assert noted.wait("commandRefused", len(ACTIVE), reply=refusal.decode())["verb"] == "EPRT"
        assert {event["verb"] for event in noted.all("commandRefused")} == {"PORT", "EPRT", "LPRT"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"CWD " + b"a" * 4093, "line too long"),
        (b"CWD " + b"a" * 200_000, "line too long"),
        (b"CWD a\0b", "NUL in a line"),
        (b"\0PORT 127,0,0,1,94,1", "NUL in a line"),
        (b"CWD a\rPORT 127,0,0,1,94,1", "carriage return inside a line"),
        (b"CWD a\r", "carriage return inside a line"),
    ],
)
def test_lines_injected_by_cr_or_nul(line: bytes, reason: str) -> None:
    """CVE-2004-1166, CVE-2026-39983, RUSTSEC-2026-0271: an argument that some server may read as a second command."""
    with stage() as on:
        for _ in range(2):
            assert on.client.ask(line).startswith(b"500 ")
            assert relays(on)
        on.client.send(line + b"\r\nNOOP\r\n")
        assert on.client.reply().startswith(b"500 ")
        assert on.client.reply().startswith(b"421 ")
        assert on.client.at_end()
        assert on.control.hear() == b""
        journal = on.running.journal
        assert journal.wait("disconnect")["outcome"] == "client sent unclean lines"
        assert journal.wait("commandRefused", 3, reason=reason)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel tells no peak of memory")
@pytest.mark.parametrize(
    ("beginning", "end", "heard"),
    [(b"CWD ", b"\r\n", b"NOOP"), (b"CWD a\xff\xfa", b"\xff\xf0\r\n", b"CWD a")],
    ids=["a line", "a Telnet subnegotiation"],
)
def test_what_has_no_end_takes_no_memory(beginning: bytes, end: bytes, heard: bytes) -> None:
    """CVE-2007-6739, CVE-2019-18217, CVE-2019-12673; CVE-2010-4221 by Telnet's IAC."""
    with stage() as on:
        assert relays(on)
        peak = Peak()
        for part in (beginning, *[b"a" * MIB] * 32, end, b"NOOP\r\n"):
            on.client.send(part)
        on.control.expect(heard)
        assert peak.growth() < 8 * MIB


@pytest.mark.parametrize(
    "command", [b"\xff\xf1", b"\xff\xfb\x01", b"\xff\xfa\x18\xff\xf0"], ids=["NOP", "WILL", "SB"]
)
def test_a_flood_of_telnet_commands(command: bytes) -> None:
    with stage(greeting=None) as on:
        on.client.send(command * (MAX_TELNET - 1) + b"CWD " + b"\xff\xff" * MAX_TELNET + command + b"\r\n")
        on.control.say(b"220 Ready.")
        assert on.client.reply() == b"220 Ready."
        on.control.expect(b"CWD " + b"\xff" * MAX_TELNET)
        on.control.say(b"250 Fine.")
        assert on.client.reply() == b"250 Fine."
        on.client.send(command)
        assert on.client.reply() == b"421 Too many Telnet commands; closing control connection."
        assert on.client.at_end()
        assert on.running.journal.wait("disconnect")["outcome"] == "client sent Telnet commands"


class Peak:
    """The most memory that this process has had at a time, from now on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._first = self._bytes()

    @staticmethod
    def _bytes() -> int:
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def growth(self) -> int:
        """How much more that is than at first, in bytes."""
        return self._bytes() - self._first


@pytest.mark.parametrize("greeted", [True, False], ids=["greeted", "not greeted"])
@pytest.mark.parametrize("speech", FOREIGN_SPEECH)
def test_another_protocols_client(speech: bytes, greeted: bool) -> None:
    """ALPACA, CVE-2021-3618: a browser led here, whose words the reply would reflect; and NAT slipstreaming,
    CVE-2020-28041 and CVE-2021-34791, by a PORT in a POST."""
    with stage(greeting=None) as on:
        if greeted:
            on.control.say(b"220 Ready.")
            assert on.client.reply() == b"220 Ready."
        on.client.send(speech)
        assert on.client.reply().startswith(b"421 ")
        assert on.client.at_end()
        assert b"secret" not in on.client.received.lower()
        assert len(on.client.received.splitlines()) == 1 + greeted
        assert on.control.hear() == b""
        assert on.running.journal.wait("disconnect")["outcome"] == "client speaks no FTP"


def test_commands_and_replies_in_pieces() -> None:
    """CVE-2020-3564: an inspection that each packet of one byte passes by."""
    with stage() as on:
        on.client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(command: bytes) -> None:
            for byte in command + b"\r\n":
                on.client.send(bytes([byte]))

        def exchange(command: bytes, reply: bytes) -> bytes:
            ask(command)
            on.control.expect(command)
            for byte in reply + b"\r\n":
                on.control.send(bytes([byte]))
            return on.client.reply()

        assert exchange(b"USER user", b"331 Password?") == b"331 Password?"
        assert exchange(b"PASS secret", WELCOME % NUMBERS) == WELCOME % NUMBERS
        ask(b"PORT 127,0,0,9,94,1")
        assert on.client.reply().startswith(b"502 ")
        with on.control.data_port() as data:
            reply = b"229 Entering Extended Passive Mode (|||%d|)" % data.port
            assert exchange(b"EPSV", reply) == reply
            on.dial(data.port)
            data.accept().close()
        with on.control.data_port() as data:
            lie = b"227 Entering Passive Mode (%s)." % commas(VICTIM, data.port)
            truth = b"227 Entering Passive Mode (%s)." % commas("127.0.0.1", data.port)
            assert exchange(b"PASV", lie) == truth


def test_ports_by_the_thousand() -> None:
    """PASV spam, of which ProFTPD's mod_proxy warns: neither ports nor connections to the origin pile up."""
    with stage() as on:
        on.passive(b"PASV").close()
        first = descriptors()
        for _ in range(99):
            data = on.passive(b"PASV")
            assert data.accept_now() is None
            data.close()
        assert descriptors() == first
        on.client.close()
        assert on.control.hear() == b""
        assert on.running.journal.wait("disconnect")["outcome"] == "client lost"
        on.running.journal.wait("dataChannel", 100)


def test_replies_out_of_step() -> None:
    """A refused command among those that go on: whose reply is which decides what the client believes."""
    with stage() as on:
        on.client.send(b"SYST\r\nPORT 1,2,3,4,5,6\r\nPWD\r\nXYZZY\r\nAUTH TLS\r\nNOOP\r\nEPRT x\r\n")
        for command, reply in ((b"SYST", b"215 UNIX"), (b"PWD", b'257-"/"\r\n257 End'), (b"NOOP", b"200 Fine.")):
            on.control.expect(command)
            on.control.say(reply)
        codes = [on.client.reply()[:3] for _ in range(7)]
        assert codes == [b"215", b"502", b"257", b"500", b"502", b"200", b"502"]


@pytest.mark.parametrize("ending", [socket.socket.close, reset], ids=["FIN", "RST"])
def test_clients_that_go_at_once(
    ending: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch, nothing_is_left: None
) -> None:
    """CVE-2008-7264, CVE-2009-5011, CVE-2009-5013, CVE-2010-3494: QUIT in mid-transfer, a reset before the accept."""
    monkeypatch.setattr(sides, "CLOSE_TIMEOUT", 0.2)
    with ScriptedOrigin.at() as origin, before(origin.address) as running:
        origin.listener.listen(256)
        for _ in range(40):
            ending(connect(running.address))
        running.journal.wait("disconnect", 40, outcome="client lost")
    with stage() as on:
        on.transfer(b"RETR a")
        on.client.send(b"QUIT\r\n")
        ending(on.client.socket)
        assert on.running.journal.wait("disconnect")["outcome"] == "client lost"
        assert on.running.journal.wait("dataChannel")["outcome"] == "session ended it"


def test_pasv_after_epsv_all() -> None:
    """ProFTPD issue 2255, in its news beside CVE-2026-42167 and CVE-2026-44331: EPSV ALL was forgotten too early."""
    with stage() as on:
        on.login()
        assert on.exchange(b"EPSV ALL", b"200 Noted.") == b"200 Noted."
        assert on.client.ask(b"PASV").startswith(b"503 ")
        on.passive(b"EPSV")
        assert on.exchange(b"REIN", b"220 Anew.") == b"220 Anew."
        on.login()
        assert on.client.ask(b"pasv").startswith(b"503 ")
        assert on.exchange(b"EPSV ALL", b"502 Not any more.").startswith(b"502 ")
        assert on.client.ask(b"PASV").startswith(b"503 ")


# What a stranger does


def test_theft_of_data() -> None:
    """CVE-1999-0351 ("Pizza Thief"): others are first at the port, many of them."""
    with stage() as on:
        data = on.passive()
        crowd = [on.dial(data.port, f"127.0.1.{number}") for number in range(1, 51)]
        at_client = on.dial(data.port)
        at_origin = on.accept(data)
        at_origin.sendall(b"a")
        assert at_client.recv(1) == b"a"
        for stranger in crowd:
            assert read_all(stranger) == b""
        assert on.running.journal.wait("strangerRefused", 50)


# What an origin does, or somebody who can name a file there


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (b"NOOP", b"227 Entering Passive Mode (10,0,0,1,%(high)d,%(low)d)."),
        (b"PWD", b"229 Entering Extended Passive Mode (|||%(port)d|)"),
        (b"STAT", b"211-Status\r\n227 Entering Passive Mode (10,0,0,1,%(high)d,%(low)d).\r\n211 End"),
        (b"STAT", b"211-Status\r\n229 (|||%(port)d|)\r\n 227 (10,0,0,1,%(high)d,%(low)d)\r\n211 End"),
        (b"EPSV", b"200-No\r\n229 Entering Extended Passive Mode (|||%(port)d|)\r\n200 No"),
        (b"RETR a", b"229 Entering Extended Passive Mode (|||%(port)d|)"),
        (b"EPSV ALL", b"229 Entering Extended Passive Mode (|||%(port)d|)"),
    ],
)
def test_a_227_or_229_inside_another_reply(command: bytes, text: bytes) -> None:
    """CVE-2000-0150, CVE-2002-1978, CVE-2002-1979: a name or a banner that the firewall takes for a reply."""
    with stage() as on:
        assert on.exchange(command, text % NUMBERS) == text % NUMBERS
        assert not on.listens(PORT)
        assert relays(on)


@pytest.mark.parametrize(
    ("command", "text", "reason"),
    [
        (b"EPSV", b"227 Entering Passive Mode (127,0,0,9,%(high)d,%(low)d).", "227 in answer to EPSV"),
        (b"EPSV", b"227 Entering Passive Mode (127,0,0,3,%(high)d,%(low)d).", "227 in answer to EPSV"),
        (b"PASV", b"229 Entering Extended Passive Mode (|||%(port)d|)", "229 in answer to PASV"),
        (b"PASV", b"229 Entering Extended Passive Mode (|1|127.0.0.9|%(port)d|)", "229 in answer to PASV"),
    ],
)
def test_a_227_to_epsv_or_a_229_to_pasv(command: bytes, text: bytes, reason: str) -> None:
    """A client that takes the one for the other would go where the origin says."""
    with stage() as on:
        assert on.exchange(command, text % NUMBERS) == b"425 Cannot open a data port now."
        assert on.running.journal.wait("originError")["reason"] == reason
        assert not on.listens(PORT)
        assert usable(on)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"ip-127-0-0-3.internal, ec2-127-0-0-3.compute", b"ip-127-0-0-1.internal, ec2-127-0-0-1.compute"),
        (b"127_0_0_3.example", b"127_0_0_1.example"),
        (b"127.000.000.003 (127,000,000,003,78,32)", b"127.0.0.1 (127,0,0,1,78,32)"),
        (b"[::ffff:127.0.0.3] [::FFFF:7F00:0003]", b"[::ffff:127.0.0.1] [::FFFF:127.0.0.1]"),
        (b"0:0:0:0:0:ffff:7f00:3, 64:ff9b::7f00:3", b"0:0:0:0:0:ffff:127.0.0.1, 64:ff9b::127.0.0.1"),
        (b"3.0.0.127.in-addr.arpa", b"1.0.0.127.in-addr.arpa"),
        (b"0x7f000003 or 2130706435", b"127.0.0.1 or 127.0.0.1"),
    ],
)
def test_the_origins_address_in_other_forms(text: bytes, shown: bytes) -> None:
    with stage() as on:
        assert on.exchange(b"SYST", b"215 " + text) == b"215 " + shown
        assert on.exchange(b"STAT", b"211-At\r\n%b\r\n211 End" % text) == b"211-At\r\n%b\r\n211 End" % shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"0--1.ip.example, 0000:0:0:0:0:0:0:0001", b"127-0-0-1.ip.example, 127.0.0.1"),
        (b"1" + b".0" * 31 + b".ip6.arpa", b"1.0.0.127.in-addr.arpa"),
        (b"1" + b".0" * 31 + b".IP6.ARPA", b"1.0.0.127.in-addr.arpa"),
    ],
)
def test_an_ipv6_origins_address_in_other_forms(text: bytes, shown: bytes) -> None:
    with stage(host="::1") as on:
        assert on.exchange(b"SYST", b"215 " + text) == b"215 " + shown


def test_replies_to_no_command() -> None:
    with stage() as on:
        for _ in range(MAX_UNASKED):
            on.control.say(b"200 Nobody asked.")
        on.running.journal.wait("originError", MAX_UNASKED, reason="reply to no command")
        assert relays(on)
        on.control.say(b"200 Nobody asked.")
        assert on.client.reply() == UNAVAILABLE
        assert on.client.at_end()
        journal = on.running.journal
        assert journal.wait("originError", MAX_UNASKED + 1)["reason"] == "too many replies to no command"
        assert journal.wait("disconnect")["outcome"] == "origin speaks no FTP"


def test_preliminary_replies_without_end() -> None:
    with stage(greeting=None) as on:
        on.control.send(b"120 Wait.\r\n" * MAX_PRELIMINARY + b"220 Ready.\r\n")
        assert {on.client.reply() for _ in range(MAX_PRELIMINARY)} == {b"120 Wait."}
        assert on.client.reply() == b"220 Ready."
        on.client.send(b"STAT\r\n")
        on.control.expect(b"STAT")
        on.control.send(b"150 Wait.\r\n" * (MAX_PRELIMINARY + 1))
        assert {on.client.reply() for _ in range(MAX_PRELIMINARY)} == {b"150 Wait."}
        assert on.client.reply() == UNAVAILABLE
        assert on.client.at_end()
        journal = on.running.journal
        assert journal.wait("originError")["reason"] == "too many preliminary replies"
        assert journal.wait("disconnect")["outcome"] == "origin speaks no FTP"


def test_replies_behind_a_held_completion_take_no_memory() -> None:
    """The origin is not read while the client has not taken its file; then it is, and nothing was lost."""
    count = 40
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        size = fill(at_origin, 256 * MIB)
        at_origin.close()
        on.control.say(b"226 Done.")
        sent = fill(on.control.socket, count * len(LONG_REPLY), pattern=LONG_REPLY)
        assert sent < count * len(LONG_REPLY) // 2
        assert silent(on.client.socket)
        assert len(read_all(at_client)) == size
        assert on.client.reply() == b"226 Done."
        left = count * len(LONG_REPLY) - sent
        on.control.send((LONG_REPLY * count)[-left:])
        on.running.journal.wait("originError", count, reason="reply to no command")
        assert relays(on)


def test_an_abort_goes_past_the_replies_behind_a_held_completion() -> None:
    """The origin is not read then; the ABOR needs no reply of its to go out."""
    with stage() as on:
        _, at_origin = on.transfer(b"RETR a")
        fill(at_origin, 256 * MIB)
        on.control.say(b"226 Done.")
        fill(on.control.socket, 64 * MIB, pattern=LONG_REPLY)
        on.client.send(b"ABOR\r\n")
        assert on.client.reply().startswith(b"426 ")
        on.control.expect(b"ABOR")


@pytest.mark.parametrize("host", [VICTIM, "0.0.0.0", "10.1.2.3", "255.255.255.255"])
def test_a_lying_227(host: str) -> None:
    """CVE-2021-4189, GHSA-w8c5-q2xf-gf7c, CVE-2007-1562, CVE-2007-1563: it names a third party's address."""
    with stage() as on:
        data = on.own(on.control.data_port())
        elsewhere = on.own(DataPort.at(VICTIM, data.port))
        reply = on.exchange(b"PASV", b"227 Entering Passive Mode (%s)." % commas(host, data.port))
        assert reply == b"227 Entering Passive Mode (%s)." % commas("127.0.0.1", data.port)
        on.dial(data.port)
        on.accept(data)
        assert elsewhere.accept_now() is None


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (b"PASV", b"227 Entering Passive Mode"),
        (b"PASV", b"227 (127,0,0,3,256,1)"),
        (b"PASV", b"227 (127,0,0,3,94)"),
        (b"PASV", b"227 (1,127,0,0,3,94,1)"),
        (b"PASV", b"227 (127,0,0,3,4294967390,1)"),
        (b"PASV", b"227 (127,0,0,3,-1,1)"),
        (b"PASV", b"227 (|||%(port)d|)"),
        (b"EPSV", b"229 Entering Extended Passive Mode"),
        (b"EPSV", b"229 (|1|127.0.0.3|%(port)d|)"),
        (b"EPSV", b"229 (||127.0.0.3|%(port)d|)"),
        (b"EPSV", b"229 (|||%(port)d)"),
        (b"EPSV", b"229 (||!%(port)d|)"),
        (b"EPSV", b"229 (|||1%(port)d|)"),
        (b"EPSV", b"229 (|||" + b"9" * 5000 + b"|)"),
        (b"EPSV", b"229 (|||-%(port)d|)"),
        (b"EPSV", b"229 (|||\xd9\xa2\xd9\xa4|)"),
        (b"EPSV", b"229 (111%(port)d11)"),
        (b"PASV", b"227-Entering\r\n227 Entering Passive Mode (127,0,0,3,%(high)d,%(low)d)"),
        (b"PASV", b"227-Entering Passive Mode (127,0,0,3,%(high)d,%(low)d)\r\n227 End"),
        (b"EPSV", b"229-Entering (|||%(port)d|)\r\n229 Entering (|||%(port)d|)"),
    ],
    ids=lambda part: part.decode("ascii", "replace")[:30],
)
def test_malformed_numbers(command: bytes, text: bytes) -> None:
    """GHSA-2g3c-pg7q-g59w, CVE-2026-47729: Squid fell over them. ``tests/fuzz`` tries what nobody thought of."""
    with stage() as on:
        assert on.exchange(command, text % NUMBERS).startswith(b"425 ")
        assert "malformed" in on.running.journal.wait("originError")["reason"]
        assert not on.listens(PORT)
        on.passive(command)
