"""The contract on the wire: the gateway's behaviour for everything that a client may send, and an origin may say."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import names
from tests.kit.passive import commas
from tests.kit.ports import scripted, take
from tests.kit.reactor import in_reactor, reactor
from tests.kit.scripted import ORIGIN, DataPort, OriginControl, ScriptedOrigin
from tests.kit.sockets import read_all, read_exactly
from tests.kit.stage import Stage, before, relays, stage
from tests.kit.tls import CLIENT_HELLO

PORTS = scripted()
ACTIVE_REFUSED = b"502 Active mode is not supported; use EPSV or PASV."
PUBLIC = "203.0.113.7"  # of RFC 5737's documentation range


# What a client sends


@pytest.mark.parametrize("command", [b"LPSV", b"MIC AAAA", b"CONF AAAA", b"enc AAAA", b"\tADAT\tAAAA"])
def test_what_could_hide_an_address_is_refused(command: bytes) -> None:
    with stage() as on:
        assert on.client.ask(command).startswith(b"502 ")
        on.login()
        assert on.client.ask(command).startswith(b"502 ")
        assert relays(on)


@pytest.mark.parametrize("command", [b"AUTH TLS", b"auth ssl", b"AUTH GSSAPI", b"AUTH", b"PBSZ 0", b"PROT P", b"CCC"])
def test_tls_is_refused_where_it_is_off(command: bytes) -> None:
    with stage() as on:
        assert on.client.ask(command).startswith(b"502 ")
        assert relays(on)


@pytest.mark.parametrize(
    "command",
    [
        b"XYZZY",
        b"",
        b"   ",
        b"PORT:127,0,0,1,94,1",
        b"\x0bPORT 127,0,0,1,94,1",
        b"PORT\x0b127,0,0,1,94,1",
        b"PORT\xa0127,0,0,1,94,1",
        b"\xff\xffPORT 127,0,0,1,94,1",  # an escaped 0xFF, then the verb
        b"\xef\xbb\xbfPORT 127,0,0,1,94,1",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
    ],
)
def test_an_unknown_verb_is_not_relayed(command: bytes) -> None:
    with stage() as on:
        assert on.client.ask(command) == b"500 Command not understood."
        assert relays(on)


def test_verbs_that_the_operator_allows_are_relayed_and_those_denied_refused() -> None:
    with stage('[application.commands]\nallow = ["XYZZY"]\ndeny = ["SITE", "HELP"]') as on:
        assert on.exchange(b"XYZZY now", b"200 Magic.") == b"200 Magic."
        assert on.client.ask(b"SITE CHMOD 777 a").startswith(b"550 ")
        assert on.client.ask(b"help").startswith(b"550 ")
        assert relays(on)


def test_a_read_only_server_refuses_what_would_change_it() -> None:
    commands = b"STOR a,STOU,APPE a,DELE a,RMD a,XRMD a,MKD a,XMKD a,RNFR a,RNTO a,SITE CHMOD 1 a".split(b",")
    commands += [b"MFMT 20201231235959 a", b"mdtm 20201231235959 a"]
    with stage("[application.commands]\nread_only = true") as on:
        for command in commands:
            assert on.client.ask(command).startswith(b"550 "), command
        assert on.exchange(b"MDTM a", b"213 20201231235959") == b"213 20201231235959"


def test_bytes_of_a_path_arrive_as_they_were_sent() -> None:
    with stage() as on:
        for command in (b"CWD   three", b"CWD ends in spaces  ", b"MKD \xc3\xa9\xe9\x01\x7f", b"CWD a\tb", b"PWD "):
            assert on.exchange(command, b"250 Done.") == b"250 Done."
        on.client.send(b"cwd\tMixed Case\r\n")
        on.control.expect(b"CWD Mixed Case")
        on.client.send(b"CWD \xff\xff\xff\xf1\xff\xfe\x06a\xff\xff\r\n")
        on.control.say(b"250 Done.")
        assert on.client.reply() == b"250 Done."
        on.control.expect(b"CWD \xffa\xff")


def test_telnet_sequences_may_be_cut_anywhere() -> None:
    sent = b"\xff\xfa\x18\x00\xff\xff\xff\xf0\xff\xfb\xff\xff\xf4\xff\xf2NO\xff\xf1OP\xff\xfe\n\r\n"
    with stage() as on:
        on.client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(1, len(sent)):
            on.client.send(sent[:cut])
            on.client.send(sent[cut:])
            on.control.expect(b"NOOP")
            on.control.say(b"200 %d" % cut)
            assert on.client.reply() == b"200 %d" % cut


def test_a_line_may_be_as_long_as_the_limit_and_no_longer() -> None:
    with stage() as on:
        longest = b"CWD " + b"a" * (4096 - 4)
        assert on.exchange(longest, b"250 Done.") == b"250 Done."
        on.client.send(longest + b"b\r\nNOOP\r\n")
        assert on.client.reply().startswith(b"500 ")
        on.control.expect(b"NOOP")


def test_a_bad_line_is_answered_in_its_turn() -> None:
    with stage() as on:
        on.client.send(b"SYST\r\nCWD \0\r\nPWD\r\n")
        on.control.expect(b"SYST")
        on.control.say(b"215 UNIX")
        on.control.expect(b"PWD")
        on.control.say(b'257 "/"')
        assert [on.client.reply()[:3] for _ in range(3)] == [b"215", b"500", b"257"]


def test_hundreds_of_commands_in_one_packet() -> None:
    def echo(control: OriginControl) -> None:
        control.say(b"220 Ready.")
        while command := control.hear():
            control.say(b"250 " + command)

    with ScriptedOrigin.at() as origin, before(origin.address) as running:
        origin.play(echo)
        with Conversation.to(running.address) as client:
            assert client.reply() == b"220 Ready."
            client.send(b"".join(b"CWD %d\r\nPORT %d\r\n" % (number, number) for number in range(500)))
            for number in range(500):
                assert client.reply() == b"250 CWD %d" % number
                assert client.reply() == ACTIVE_REFUSED


def test_bare_line_feeds_end_commands_and_replies() -> None:
    with stage() as on:
        on.client.send(b"NOOP\nSYST\n")
        on.control.expect(b"NOOP")
        on.control.send(b"200 Fine.\n")
        on.control.expect(b"SYST")
        on.control.send(b"215-UNIX\n215 End\n")
        assert on.client.reply() == b"200 Fine."
        assert on.client.reply() == b"215-UNIX\r\n215 End"


# EPSV and PASV over both families


@pytest.mark.parametrize("command", [b"EPSV", b"EPSV 1", b"EPSV 2", b"EPSV  1 ", b"EPSV 3"])
def test_epsv_is_passed_on_as_it_is(command: bytes) -> None:
    with stage() as on:
        refusal = b"522 Network protocol not supported, use (1)"
        assert on.exchange(command, refusal) == refusal


def test_epsv_all_may_be_written_in_any_case() -> None:
    with stage() as on:
        on.client.send(b"epsv all\r\n")
        on.control.expect(b"EPSV all")
        on.control.say(b"200 Noted.")
        assert on.client.reply() == b"200 Noted."
        assert on.client.ask(b"PASV").startswith(b"503 ")


@pytest.mark.parametrize("command", [b"EPSV  ALL", b"EPSV ALL ", b"EPSV ALL\t"])
def test_epsv_all_is_sent_in_one_form(command: bytes) -> None:
    """With a space around ALL, Pure-FTPd opens a port."""
    with stage() as on:
        on.client.send(command + b"\r\n")
        on.control.expect(b"EPSV ALL")
        on.control.say(b"200 Noted.")
        assert on.client.reply() == b"200 Noted."
        assert on.client.ask(b"PASV").startswith(b"503 ")


def test_pasv_goes_on_where_epsv_all_was_refused() -> None:
    with stage() as on:
        assert on.exchange(b"EPSV ALL", b"502 What?") == b"502 What?"
        on.passive(b"PASV")


IPV6 = r"tcp:0:interface=\:\:1"


def test_an_ipv6_client_of_an_ipv4_origin() -> None:
    with stage(listen=IPV6, source="::1") as on:
        assert on.client.ask(b"PASV").startswith(b"425 ")
        for command in (b"EPSV 1", b"EPSV 2", b"EPSV 2 ", b"EPSV"):
            on.client.send(command + b"\r\n")
            on.control.expect(b"EPSV")
            on.control.say(b"522 No.")
            assert on.client.reply() == b"522 No."
        assert on.exchange(b"EPSV ALL", b"200 Noted.") == b"200 Noted."
        at_client = on.dial((data := on.passive()).port, "::1")
        at_origin = on.accept(data)
        at_client.sendall(b"up")
        assert at_origin.recv(2) == b"up"


def test_an_ipv4_client_of_an_ipv6_origin() -> None:
    with stage(host="::1") as on:
        on.client.send(b"EPSV 1\r\n")
        on.control.expect(b"EPSV")
        data = on.own(on.control.data_port())
        on.control.say(b"229 Come (|||%d|)" % data.port)
        assert on.client.reply() == b"229 Come (|||%d|)" % data.port
        on.dial(data.port)
        on.accept(data)
        assert on.exchange(b"PASV", b"425 IPv6 here.") == b"425 IPv6 here."


# What an origin says: 227 and 229


@pytest.mark.parametrize(
    "text",
    [
        b"227 Entering Passive Mode (%s).",
        b"227 Entering passive mode (%s)",
        b"227 Entering Passive Mode %s",
        b"227 =%s",
        b"227 a 1,2,3 and 4 (%s) b",
    ],
)
def test_a_227_is_written_anew(text: bytes) -> None:
    with stage() as on:
        data = on.own(on.control.data_port())
        assert on.exchange(b"PASV", text % data.numbers) == (
            b"227 Entering Passive Mode (%s)." % commas("127.0.0.1", data.port)
        )
        on.dial(data.port)
        on.accept(data)


@pytest.mark.parametrize("public", [PUBLIC, "public.example"])
def test_a_227_names_the_public_address(public: str) -> None:
    shown = "203.0.113.7"
    with names({"public.example": shown}), stage(f'public_address = "{public}"') as on:
        data = on.own(on.control.data_port())
        reply = on.exchange(b"PASV", b"227 Entering Passive Mode (%s)." % data.numbers)
        assert reply == b"227 Entering Passive Mode (%s)." % commas(shown, data.port)
        on.dial(data.port)
        on.accept(data)


def test_pasv_is_unavailable_while_the_public_name_is_unknown() -> None:
    with names({"public.example": "::1"}), stage('public_address = "public.example"') as on:
        data = on.own(on.control.data_port())
        reply = on.exchange(b"PASV", b"227 Entering Passive Mode (%s)." % data.numbers)
        assert reply.startswith(b"425 ")
        assert not on.listens(data.port)
        on.passive(b"EPSV", data)


@pytest.mark.parametrize(
    "text",
    [
        b"229 Entering Extended Passive Mode (|||%d|)",
        b"229 Entering Extended Passive Mode (|||%d|).",
        b"229 come (!!!%d!) in  ",
        b"229 (~~~%d~)",
        b"229-(...%d.)"[:3] + b" (...%d.)",
        b"229 \xe9t\xe9 ($$$%d$)",
    ],
)
def test_a_229_is_passed_on_byte_for_byte(text: bytes) -> None:
    with stage() as on:
        data = on.own(on.control.data_port())
        assert on.exchange(b"EPSV", text % data.port) == text % data.port
        on.dial(data.port)
        on.accept(data)


@pytest.mark.parametrize(
    "text",
    [
        b"229 Come (|1|192.0.2.66|9|) (|||%d|)",
        b"229 |||9| (|||%d|)",
        b"229 Come (|||%d|) or (|||9|)",
        b"229 (192,0,2,66,0,9) (!!!%d!)",
    ],
)
def test_a_229_that_could_be_read_in_two_ways_is_written_anew(text: bytes) -> None:
    with stage() as on:
        data = on.own(on.control.data_port())
        anew = b"229 Entering Extended Passive Mode (|||%d|)" % data.port
        assert on.exchange(b"EPSV", text % data.port) == anew
        on.dial(data.port)
        on.accept(data)


def test_mapped_ports_are_named_by_their_public_number() -> None:
    ports, public_ports = take(20), take(20)
    with stage(data_ports=ports, public_ports=public_ports) as on:
        for number, command in enumerate((b"EPSV", b"PASV")):
            data = on.own(DataPort.at(ORIGIN, ports[number]))
            public = public_ports[number]
            on.client.send(command + b"\r\n")
            on.control.answer_passive(data)
            reply = on.client.reply()
            if command == b"EPSV":
                assert reply == b"229 Entering Extended Passive Mode (|||%d|)" % public
            else:
                assert reply == b"227 Entering Passive Mode (%s)." % commas("127.0.0.1", public)
            assert not on.listens(data.port)
            on.dial(public)
            on.accept(data)


@pytest.mark.parametrize("port", [PORTS.start - 1, PORTS.stop, 1, 80, 0, 65535])
@pytest.mark.parametrize("command", [b"EPSV", b"PASV"])
def test_a_port_outside_of_the_range_opens_nothing(command: bytes, port: int) -> None:
    with stage() as on:
        text = b"229 Come (|||%d|)" % port if command == b"EPSV" else b"227 Come (%s)" % commas(ORIGIN, port)
        assert on.exchange(command, text).startswith(b"425 ")
        event = on.running.journal.wait("dataPortOutOfRange")
        assert (event["port"], event["range"]) == (port, f"{PORTS[0]}-{PORTS[-1]}")
        assert port == 0 or not on.listens(port)
        on.passive(command)


def test_a_229_that_nobody_asked_for_opens_nothing() -> None:
    with stage() as on:
        on.control.say(b"229 Entering Extended Passive Mode (|||%d|)" % PORTS[0])
        assert on.running.journal.wait("originError")["reason"] == "reply to no command"
        assert not on.listens(PORTS[0])
        assert relays(on)


def test_a_failed_passive_command_keeps_the_channel_there_was() -> None:
    with stage() as on:
        data = on.passive()
        assert on.exchange(b"EPSV", b"425 No.") == b"425 No."
        on.dial(data.port)
        on.accept(data)


# What an origin says: where it is


SPEECHES = [
    "Welcome to {} here",
    "{}",
    "({}).",
    "[{}]:21",
    "at {}:21,",
    "<{}>={}",
]


def scrubbed(on: Stage, spelled: str, shown: str) -> None:
    """The origin's words come out with ``shown`` in the place of ``spelled``, wherever it stands."""
    for speech in SPEECHES:
        said, expected = (speech.format(word, word).encode() for word in (spelled, shown))
        assert on.exchange(b"PWD", b"257 " + said) == b"257 " + expected
        assert on.exchange(b"NOOP", b"500 " + said) == b"500 " + expected
        listing = b"211-%s\r\n %s\r\n211 %s"
        assert on.exchange(b"STAT", listing % (said, said, said)) == listing % (expected, expected, expected)


def test_the_origins_address_is_replaced() -> None:
    with stage(f'public_address = "{PUBLIC}"') as on:
        scrubbed(on, ORIGIN, PUBLIC)
        scrubbed(on, ORIGIN.replace(".", ","), PUBLIC.replace(".", ","))
        scrubbed(on, f"::ffff:{ORIGIN}", f"::ffff:{PUBLIC}")
        for other in ("127.0.0.33", "127.0.0.30", "1127.0.0.3", "127,0,0,31", "127x0x0x3"):
            scrubbed(on, other, other)


def test_the_origins_ipv6_address_is_replaced_however_it_is_written() -> None:
    with stage(f'public_address = "{PUBLIC}"', host="::1") as on:
        for spelled in (
            "::1",
            "0:0:0:0:0:0:0:1",
            "0000:0000:0000:0000:0000:0000:0000:0001",
            "0::1",
            "::0001",
            "::0:1",
        ):
            scrubbed(on, spelled, PUBLIC)
        for other in ("::11", "1::1", "fe80::1", "12:30:01"):
            scrubbed(on, other, other)


@pytest.mark.parametrize("spelled", ["localhost", "LOCALHOST", "LocalHost"])
def test_the_origins_name_is_replaced(spelled: str) -> None:
    with stage(host="127.0.0.1", named="localhost", greeting=None) as on:
        on.control.say(f"220 {spelled} FTP server, {spelled}.".encode())
        assert on.client.reply() == b"220 ftp.example.com FTP server, ftp.example.com."
        scrubbed(on, spelled, "ftp.example.com")
        scrubbed(on, f"x{spelled}", f"x{spelled}")
        scrubbed(on, f"{spelled}-2", f"{spelled}-2")


def test_the_words_of_the_end_are_scrubbed_too() -> None:
    with stage(f'public_address = "{PUBLIC}"') as on:
        assert on.exchange(b"NOOP", b"421 %s closes." % ORIGIN.encode()) == b"421 %s closes." % PUBLIC.encode()
        assert on.client.at_end()


def test_the_address_is_scrubbed_from_a_229_and_the_port_is_still_found() -> None:
    with stage(f'public_address = "{PUBLIC}"') as on:
        data = on.own(on.control.data_port())
        reply = on.exchange(b"EPSV", b"229 %s listens (|||%d|)" % (ORIGIN.encode(), data.port))
        assert reply == b"229 %s listens (|||%d|)" % (PUBLIC.encode(), data.port)
        on.dial(data.port)
        on.accept(data)


# What an origin says: FEAT


FEATURES = [b" EPRT", b" EPSV", b" MDTM", b" AUTH TLS;SSL", b" PBSZ", b" PROT", b" REST STREAM", b" SIZE", b" UTF8"]
KEPT = [b" EPSV", b" MDTM", b" REST STREAM", b" SIZE", b" UTF8"]


@pytest.mark.parametrize("indent", [b" ", b"    ", b"\t", b""], ids=["one space", "four spaces", "tab", "none"])
@pytest.mark.parametrize("case", [bytes.upper, bytes.lower], ids=["upper", "lower"])
def test_feat_offers_nothing_that_is_refused(indent: bytes, case: staticmethod[[bytes], bytes]) -> None:
    def render(features: list[bytes]) -> bytes:
        return b"\r\n".join([b"211-Features:", *(indent + case(line[1:]) for line in features), b"211 End"])

    with stage() as on:
        assert on.exchange(b"FEAT", render(FEATURES)) == render(KEPT)


def test_feat_with_nothing_left_is_a_single_line() -> None:
    with stage() as on:
        reply = on.exchange(b"FEAT", b"211-Features:\r\n EPRT\r\n AUTH TLS\r\n211 End")
        assert reply.startswith(b"211 ")
        assert b"\r\n" not in reply


def test_feat_does_not_offer_what_the_operator_denies() -> None:
    with stage('[application.commands]\ndeny = ["MDTM"]') as on:
        reply = on.exchange(b"FEAT", b"211-Features:\r\n MDTM\r\n SIZE\r\n211 End")
        assert reply == b"211-Features:\r\n SIZE\r\n211 End"


@pytest.mark.parametrize("reply", [b"211 No features", b"500 FEAT?", b"502-EPRT\r\n EPRT\r\n502 End"])
def test_other_answers_to_feat_are_left_alone(reply: bytes) -> None:
    with stage() as on:
        assert on.exchange(b"FEAT", reply) == reply


# What an origin says: too much, and no FTP


def test_replies_up_to_the_limits_pass() -> None:
    with stage() as on:
        long_line = b"250 " + b"a" * (8192 - 4)
        assert on.exchange(b"CWD a", long_line) == long_line
        many_lines = b"211-\r\n" + b"a\r\n" * 998 + b"211 End"
        assert on.exchange(b"STAT", many_lines) == many_lines
        large = b"211-\r\n" + (b"a" * 8000 + b"\r\n") * 130 + b"211 End\r\n"
        on.client.send(b"STAT\r\n")
        on.control.expect(b"STAT")
        on.control.send(large)
        assert read_exactly(on.client.socket, len(large)) == large


@pytest.mark.parametrize(
    "speech",
    [
        b"250 " + b"a" * (8193 - 4) + b"\r\n",
        b"250 " + b"a" * 20_000,  # and no end of it
        b"211-\r\n" + b"a\r\n" * 999 + b"211 End\r\n",
        b"211-\r\n" + b"a\r\n" * 1000,  # and no end of it
        b"211-\r\n" + (b"a" * 8000 + b"\r\n") * 140,
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK POP3 ready\r\n",
        b"* OK IMAP4 ready\r\n",
        b"\r\n",
        b" 200 Fine.\r\n",
        b"20 Fine.\r\n",
        b"2000 Fine.\r\n",
        b"200_Fine.\r\n",
        b"099 Fine.\r\n",
        b"700 Fine.\r\n",
        b"2\xb20 Fine.\r\n",
        b"200 Fi\0ne.\r\n",
        b"200 Fi\rne.\r\n",
        CLIENT_HELLO + b"\r\n",
    ],
)
@pytest.mark.parametrize("greeted", [True, False], ids=["in a session", "as the greeting"])
def test_what_is_no_reply_ends_the_session(speech: bytes, greeted: bool) -> None:
    with stage(greeting=None) as on:
        if greeted:
            on.control.say(b"220 Ready.")
            assert on.client.reply() == b"220 Ready."
            on.client.send(b"STAT\r\n")
            on.control.expect(b"STAT")
        on.control.send(speech)
        assert on.client.reply() == b"421 Service not available; closing control connection."
        assert on.client.at_end()
        assert on.control.hear() == b""
        assert on.running.journal.wait("originError")["reason"]
        assert on.running.journal.wait("disconnect")["outcome"] == "origin speaks no FTP"


def test_only_the_same_code_and_a_space_end_a_multi_line_reply() -> None:
    reply = b"230-One\r\n220 Two\r\n231 Three\r\n 230 Four\r\n230-Five\r\n2300\r\n230\r\n\r\n230 End"
    with stage() as on:
        assert on.exchange(b"NOOP", reply) == reply
        assert relays(on)


# What an origin says: nothing


@contextlib.contextmanager
def deaf() -> Iterator[tuple[str, int]]:
    """An address that does not answer who connects to it."""
    with DataPort.deaf(ORIGIN) as port:
        yield port.host, port.port


@contextlib.contextmanager
def refusing() -> Iterator[tuple[str, int]]:
    """An address where nothing listens."""
    with socket.socket() as bound:
        bound.bind((ORIGIN, 0))
        yield bound.getsockname()


@contextlib.contextmanager
def unknown() -> Iterator[tuple[str, int]]:
    """A host that no name server knows."""
    yield "origin.invalid", 21


@contextlib.contextmanager
def silent() -> Iterator[tuple[str, int]]:
    """An address where connections are made, and nobody speaks."""
    with socket.create_server((ORIGIN, 0)) as listener:
        yield listener.getsockname()


@pytest.mark.parametrize(
    ("place", "login", "outcome"),
    [
        (refusing, 60, "origin unreachable"),
        (unknown, 60, "origin unreachable"),
        (deaf, 60, "origin unreachable"),
        (silent, 0.5, "origin sent no greeting"),
    ],
)
def test_a_client_is_not_told_where_the_origin_is_that_does_not_answer(
    place: Callable[[], AbstractContextManager[tuple[str, int]]], login: float, outcome: str
) -> None:
    with contextlib.ExitStack() as there:
        origin = there.enter_context(place())
        with before(origin, f"timeouts = {{ origin_connect = 0.3, login = {login} }}") as running:
            with Conversation.to(running.address) as client:
                client.send(b"USER user\r\n")
                assert client.reply() == b"421 Service not available; closing control connection."
                assert client.at_end()
                assert running.journal.wait("originError")["reason"]
                assert running.journal.wait("disconnect")["outcome"] == outcome
            there.close()


@pytest.mark.parametrize("host", [ORIGIN, "::1"])
def test_an_address_is_reached_while_no_name_can_be_looked_up(host: str) -> None:
    looked_up = threading.Event()
    try:
        for _ in range(in_reactor(reactor.getThreadPool).max):  # as many look-ups that hang
            in_reactor(reactor.callInThread, looked_up.wait)
        with stage(host=host) as on:
            assert relays(on)
    finally:
        looked_up.set()


def test_a_client_may_go_while_the_origins_name_is_looked_up() -> None:
    with before(("origin.invalid", 21)) as running:
        with connect(running.address):
            running.journal.wait("connect")
        assert running.journal.wait("disconnect")["outcome"] in ("client lost", "origin unreachable")


@pytest.mark.parametrize("said", [b"", b"2", b"220", b"220-Hello\r\n", b"220-Hello\r\n220 Re"])
def test_an_origin_that_closes_before_its_greeting_is_whole(said: bytes) -> None:
    with stage(greeting=None) as on:
        on.control.send(said)
        on.control.close()
        assert read_all(on.client.socket) == b"421 Service not available; closing control connection.\r\n"
        assert on.running.journal.wait("disconnect")["outcome"] == "origin lost"


def test_an_origin_that_closes_in_the_middle_of_a_reply() -> None:
    with stage() as on:
        on.client.send(b"STAT\r\nNOOP\r\n")
        on.control.expect(b"STAT")
        on.control.send(b"211-Status\r\n all is")
        on.control.close()
        assert read_all(on.client.socket) == b"421 Service not available; closing control connection.\r\n"
        assert on.running.journal.wait("disconnect")["outcome"] == "origin lost"


def test_an_origin_that_asks_for_patience_before_it_greets() -> None:
    with stage(greeting=None) as on:
        on.client.send(b"USER user\r\n")
        on.control.say(b"120 Ready in 2 minutes.")
        assert on.client.reply() == b"120 Ready in 2 minutes."
        on.control.say(b"220-Now.\r\n220 Ready.")
        assert on.client.reply() == b"220-Now.\r\n220 Ready."
        on.control.expect(b"USER user")


@pytest.mark.parametrize("greeting", [b"421 Too many users.", b"530 Not you.", b"500-No\r\n500 no"])
def test_an_origin_that_refuses_the_session(greeting: bytes) -> None:
    with stage(greeting=None) as on:
        on.control.say(greeting)
        assert on.client.reply() == greeting
        assert on.client.at_end()
        assert on.running.journal.wait("disconnect")["outcome"] == "origin refused the session"


@pytest.mark.parametrize("greeting", [b"220 vsFTPd 3.0.3", b"220-vsFTPd\r\n 3.0.3\r\n220 at 127.0.0.3"])
def test_a_banner_takes_the_place_of_the_greeting(greeting: bytes) -> None:
    with stage('banner = "Be kind"', greeting=None) as on:
        on.control.say(greeting)
        assert on.client.reply() == b"220 Be kind"
        on.client.send(b"NOOP\r\n")
        on.control.expect(b"NOOP")


def test_a_greeting_may_be_cut_anywhere() -> None:
    greeting = b"220-Hello\r\n 220 not yet\r\n220 Ready.\r\n"
    with stage() as on:
        for cut in range(1, len(greeting)):
            on = on.another(greeting=None)
            on.control.send(greeting[:cut])
            on.control.send(greeting[cut:])
            assert on.client.reply() == greeting.removesuffix(b"\r\n")
