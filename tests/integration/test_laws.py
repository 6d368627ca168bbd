"""The laws that hold for every client and origin, each tested against the misbehaviour that it is for.

The varying values are drawn at random, from a seed that is the test's parameter.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

import pytest

from tests.kit.conversation import Conversation, connect
from tests.kit.passive import commas
from tests.kit.ports import take
from tests.kit.reactor import comes_to_rest, descriptors
from tests.kit.scripted import ORIGIN, DataPort, OriginControl, ScriptedOrigin
from tests.kit.sockets import fill, in_background, read_all, read_exactly, reset, was_reset
from tests.kit.stage import before, stage

MIB = 1 << 20
SEEDS = range(4)


@pytest.fixture(params=SEEDS)
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


def pieces(chance: random.Random, data: bytes) -> Iterator[bytes]:
    """The data, cut anywhere."""
    while data:
        cut = chance.choice([1, 2, 3, 10, 100, 1000])
        yield data[:cut]
        data = data[cut:]


# 1. Replies reach the client in the order of its commands, local answers included.


def test_replies_keep_the_order_of_commands(chance: random.Random) -> None:
    local = {b"PORT 1,2,3,4,5,6": b"502", b"XYZZY": b"500", b"AUTH TLS": b"502", b"CWD \0": b"500"}
    commands: list[bytes] = []
    expected: list[bytes] = []
    unclean = 0
    for number in range(300):
        command = chance.choice([*local, b"relayed", b"relayed", b"relayed"])
        if command == b"CWD \0":
            unclean += 1
            if unclean > 2:
                continue
        commands.append(command if command in local else b"CWD %d" % number)
        expected.append(local.get(command, b"250 CWD %d" % number))

    def answer(control: OriginControl) -> None:
        own = random.Random(0)
        control.say(b"220 Ready.")
        while command := control.hear():
            reply = b"250 %s\r\n" % command
            if own.random() < 0.3:
                reply = b"250-%s\r\n500 PORT\r\n 250 not yet\r\n250 %s\r\n" % (command, command)
            for piece in pieces(own, reply):
                control.send(piece)

    with ScriptedOrigin.at() as origin, before(origin.address) as running:
        origin.play(answer)
        with Conversation.to(running.address) as client:
            assert client.reply() == b"220 Ready."

            def ask() -> None:
                for piece in pieces(chance, b"".join(command + b"\r\n" for command in commands)):
                    client.send(piece)

            asking = in_background(ask)
            for reply in expected:
                last = client.reply().splitlines()[-1]
                assert last == reply if reply.startswith(b"250") else last.startswith(reply)
            asking.join()


# 2. PORT, EPRT, LPRT never reach the origin.


def test_active_mode_never_reaches_the_origin(chance: random.Random) -> None:
    heard: list[bytes] = []

    def answer(control: OriginControl) -> None:
        control.say(b"220 Ready.")
        while command := control.hear():
            heard.append(command)
            control.say(b"200 Fine.")

    noise = [
        b" ",
        b"\t",
        b"\xff\xf1",
        b"\xff\xf4\xff\xf2",
        b"\xff\xfb\x06",
        b"\xff\xfe\r",
        b"\xff\xfaP\n\xff\xff\xff\xf0",
    ]
    noise += [
        b"\r\n",
        b"\n",
        b"\xff\xff",
        b"\x0b",
        b"NOOP\r\n",
        b"NOOP ",
        b"CWD a\r\n",
        b"\r",
        b"\0",
        b";",
        b"\xc2\xa0",
    ]
    lines = []
    for _ in range(200):
        verb = chance.choice([b"PORT", b"EPRT", b"LPRT"])
        verb = bytes(chance.choice([byte, byte | 0x20]) for byte in verb)
        cut = chance.randrange(5)
        verb = verb[:cut] + b"\xff\xf1" * chance.choice([0, 1]) + verb[cut:]
        start = b"".join(chance.choices(noise[:7], k=chance.randrange(3)))
        tail = b"".join(chance.choices(noise, k=chance.randrange(3)))
        lines.append(start + verb + chance.choice([b" ", b"\t", b"", b"\xff\xf1 "]) + tail + b"127,0,0,1,94,1\r\n")
    with ScriptedOrigin.at() as origin, before(origin.address) as running:
        # Each session ends with its third unclean line; the next one goes on.
        origin.play(answer, sessions=len(lines) // 5)
        for at in range(0, len(lines), 5):
            with Conversation.to(running.address) as client, contextlib.suppress(ConnectionError):
                assert client.reply() == b"220 Ready."
                for piece in pieces(chance, b"".join(lines[at : at + 5]) + b"QUIT\r\n"):
                    client.send(piece)
                read_all(client.socket)
    assert not [command for command in heard if command.split(b" ")[0].strip().upper() in (b"PORT", b"EPRT", b"LPRT")]
    assert b"QUIT" in heard


# 3. The origin's address never reaches the client.


@pytest.mark.parametrize("host", [ORIGIN, "::1"])
def test_the_origins_address_never_reaches_the_client(host: str, chance: random.Random) -> None:
    spelled = {
        ORIGIN: [ORIGIN.encode(), ORIGIN.replace(".", ",").encode(), b"::ffff:" + ORIGIN.encode()],
        "::1": [b"::1", b"0:0:0:0:0:0:0:1", b"0000:0000::0001", b"0:0::0:1"],
    }[host]
    around = [b" ", b"(", b")", b"[", b"]", b"<", b"/", b"=", b"|", b'"', b"@", b"\xe9", b"-", b"."]

    def speech() -> bytes:
        words = [chance.choice(spelled) + chance.choice(around) for _ in range(3)]
        return chance.choice(around) + b" ".join(words)

    def reply(code: int) -> bytes:
        inner = [chance.choice([b"", b" ", b"%d-" % code, b"221 "]) + speech() for _ in range(chance.randrange(3))]
        if not inner:
            return b"%d %s" % (code, speech())
        return b"\r\n".join([b"%d-%s" % (code, speech()), *inner, b"%d %s" % (code, speech())])

    with stage('public_address = "203.0.113.7"', host=host) as on:
        for _ in range(10):
            on = on.another(greeting=reply(220))
            for code in (200, 257, 331, 450, 500, 502, 530, 550):
                on.exchange(chance.choice([b"PWD", b"STAT", b"HELP", b"FEAT", b"USER a"]), reply(code))
            data = on.own(on.control.data_port())
            on.exchange(b"EPSV", b"229 %s (|||%d|)" % (speech().replace(b"(", b""), data.port))
            on.dial(data.port)
            with data.accept():
                on.exchange(b"RETR a", reply(150))
                on.exchange(b"NOOP", reply(200))
            on.control.say(reply(226))
            on.client.reply()
            on.control.say(reply(421))
            on.client.reply()
            assert on.client.at_end()
            told = on.client.received.replace(b"203.0.113.7", b"")
            assert not [form for form in spelled if form in told], told


# 4. A 227 or 229 is sent only once the port listens, in one write.


@pytest.mark.parametrize("command", [b"EPSV", b"PASV"])
def test_an_announced_port_listens_already(command: bytes) -> None:
    with stage() as on:
        for _ in range(50):
            data = on.own(on.control.data_port())
            on.client.send(command + b"\r\n")
            on.control.answer_passive(data)
            assert on.client.socket.recv(1) == b"2"
            at_client = on.dial(data.port)
            assert on.client.socket.recv(200).endswith(b"\r\n")
            on.accept(data)
            at_client.close()


# 5. Only a complete first-level reply to an outstanding PASV or EPSV opens a channel; its host is never dialled.


FEW = take(10)


def test_nothing_else_opens_a_data_channel(chance: random.Random) -> None:
    baits = [b"227 Entering Passive Mode (%s)." % commas(ORIGIN, port) for port in FEW]
    baits += [b"229 Entering Extended Passive Mode (|||%d|)" % port for port in FEW]
    with stage(data_ports=FEW) as on:
        for _ in range(40):
            bait = chance.choice(baits)
            command = chance.choice([b"NOOP", b"PWD", b"STAT", b"PASV", b"EPSV", b"RETR a", b"FEAT", b"USER a"])
            reply = chance.choice(
                [
                    b"200-\r\n%s\r\n200 End" % bait,
                    b"211-%s\r\n %s\r\n211 %s" % (bait, bait, bait),
                    b"227-\r\n%s\r\n227 End" % bait,
                    b"229-\r\n 1\r\n229 %s" % bait,
                    b"500 %s" % bait,
                    b"150 %s\r\n500 No." % bait,
                    b"257 Done.\r\n%s" % bait,
                ]
            )
            on.exchange(command, reply)
            if reply.startswith(b"150"):
                assert on.client.reply() == b"500 No."
            for port in FEW:
                with pytest.raises(ConnectionRefusedError):
                    connect((on.running.address[0], port))


@pytest.mark.parametrize("host", ["127.0.0.9", "127.0.0.1", "0.0.0.0"])
def test_the_host_of_a_reply_is_never_dialled(host: str) -> None:
    with stage() as on, contextlib.ExitStack() as stack:
        for _ in range(10):
            data = on.own(on.control.data_port())
            trap = None if host == "127.0.0.1" else stack.enter_context(DataPort.at("127.0.0.9", data.port))
            on.exchange(b"PASV", b"227 Entering Passive Mode (%s)." % commas(host, data.port))
            on.dial(data.port)
            on.accept(data)
            assert trap is None or trap.accept_now() is None


# 6. Only the client's address gets the data channel; a rogue connection does not use it up.


def test_only_the_client_gets_its_data(chance: random.Random) -> None:
    with stage() as on:
        refused = 0
        for number in range(15):
            content = b"for the client alone %d" % number
            data = on.passive(chance.choice([b"EPSV", b"PASV"]))
            early = chance.random() < 0.5
            if early:
                assert on.exchange(b"RETR a", b"150 Come.") == b"150 Come."
                at_origin = on.accept(data)
                at_origin.sendall(content)
            crowd = [on.dial(data.port, f"127.0.{chance.randrange(1, 250)}.1") for _ in range(chance.randrange(5))]
            at_client = on.dial(data.port)
            if not early:
                assert on.exchange(b"RETR a", b"150 Come.") == b"150 Come."
                at_origin = on.accept(data)
                at_origin.sendall(content)
            assert read_exactly(at_client, len(content)) == content
            with pytest.raises(ConnectionRefusedError):
                on.dial(data.port, "127.0.0.9")
            at_origin.close()
            on.control.say(b"226 Done.")
            assert on.client.reply() == b"226 Done."
            assert read_all(at_client) == b""
            assert not any(read_all(stranger) for stranger in crowd)
            refused += len(crowd)
        assert not refused or on.running.journal.wait("strangerRefused", refused)


# 7. The completion reply does not overtake the data; the dial to the origin's data port precedes the command.


def test_neither_end_of_a_transfer_is_out_of_order(chance: random.Random) -> None:
    with stage() as on:
        for _ in range(15):
            command = chance.choice([b"RETR a", b"STOR a", b"LIST", b"APPE a"])
            to_client = command in (b"RETR a", b"LIST")
            data = on.passive()
            early = chance.random() < 0.5
            if early:
                at_client = on.dial(data.port)
            on.client.send(command + b"\r\n")
            on.control.expect(command)
            accepted = data.accept_now()
            assert accepted is not None
            at_origin = on.own(accepted)
            on.control.say(b"150 Come.")
            if not early:
                at_client = on.dial(data.port)
            content = chance.randbytes(chance.choice([0, 1, 1000, 300_000]))
            source, sink = (at_origin, at_client) if to_client else (at_client, at_origin)
            on.control.say(b"226 Done.")
            assert on.client.reply() == b"150 Come."
            sending = in_background(source.sendall, content)
            assert read_exactly(sink, len(content)) == content
            sending.join()
            on.client.socket.settimeout(0.05)
            with pytest.raises(TimeoutError):
                on.client.socket.recv(1)
            on.client.socket.settimeout(20)
            source.close()
            assert read_all(sink) == b""
            assert on.client.reply() == b"226 Done."
            sink.close()


# 8. A cut stream never ends in a clean FIN.


def test_a_cut_stream_never_looks_whole(chance: random.Random) -> None:
    with stage() as on:
        for cut in ("source", "sink", "ABOR", "control", "client"):
            on = on.another()
            to_client = chance.random() < 0.5
            at_client, at_origin = on.transfer(b"RETR a" if to_client else b"STOR a")
            source, sink = (at_origin, at_client) if to_client else (at_client, at_origin)
            if chance.random() < 0.5:
                on.control.say(b"226 Done.")
            if chance.random() < 0.5:
                assert fill(source, 256 * MIB, quiet=0.1) < 256 * MIB
            else:
                source.sendall(b"half")
            match cut:
                case "source":
                    reset(source)
                case "sink":
                    reset(sink)
                case "control":
                    on.control.close()
                case "client":
                    on.client.close()
                case "ABOR":
                    on.client.send(b"ABOR\r\n")
                    on.control.expect(b"ABOR")
                    on.control.send(b"426 Cut.\r\n226 Abort done.\r\n")
            assert cut == "source" or was_reset(source)
            assert cut == "sink" or was_reset(sink)


# 9. A session ends exactly once, with one named outcome, and leaves nothing behind.


def test_every_session_ends_once(chance: random.Random) -> None:
    with stage():  # the first gateway of a run opens what all share
        pass
    before = descriptors()
    channels = 0
    with stage() as on:
        for _ in range(30):
            on = on.another(greeting=None)
            if chance.random() < 0.8:
                on.control.say(b"220 Ready.")
                assert on.client.reply() == b"220 Ready."
                for _ in range(chance.randrange(4)):
                    on.exchange(b"NOOP", b"200 Fine.")
                if chance.random() < 0.4:
                    on.passive()
                    channels += 1
                elif chance.random() < 0.6:
                    on.transfer(b"RETR a")
                    channels += 1
            ends = [on.client.socket, on.control.socket, *on.connections]
            for connection in chance.sample(ends, k=chance.randrange(3)):
                chance.choice([reset, socket.socket.close])(connection)
            if chance.random() < 0.3:
                with contextlib.suppress(OSError):
                    on.client.send(b"QUIT\r\nNOOP\r\n" * 50)
    assert len(on.running.journal.all("disconnect")) == 31  # each session one: all tests look at that
    assert len(on.running.journal.all("dataChannel")) == channels
    assert descriptors() == before


# 10. Every buffer is bounded; when one is full, reading stops, and nothing is dropped.


def test_floods_from_all_sides_are_held_back_and_arrive() -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        patience = b"150-Wait\r\n" + (b"patience " * 500 + b"\r\n") * 10 + b"150 more.\r\n"
        sent = {source: fill(source, 256 * MIB, quiet=0.2) for source in (at_client, at_origin)}
        sent[on.client.socket] = fill(on.client.socket, 64 * MIB, quiet=0.2, pattern=b"NOOP\r\n")
        sent[on.control.socket] = fill(on.control.socket, 64 * MIB, quiet=0.2, pattern=patience)
        assert comes_to_rest()
        for source, count in sent.items():
            assert count < (256 if source in (at_client, at_origin) else 64) * MIB
        whole = sent[on.control.socket] // len(patience)
        assert read_exactly(on.client.socket, whole * len(patience)) == whole * patience
        received: dict[socket.socket, int] = {}

        def drain(sink: socket.socket) -> None:
            received[sink] = len(read_all(sink))

        at_client.shutdown(socket.SHUT_WR)
        at_origin.shutdown(socket.SHUT_WR)
        drains = [in_background(drain, end) for end in (at_client, at_origin)]
        for thread in drains:
            thread.join()
        assert (received[at_client], received[at_origin]) == (sent[at_origin], sent[at_client])
