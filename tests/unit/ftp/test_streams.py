"""The streams of a control connection: bytes in any pieces, commands and replies one at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ftp.commands import Command
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import NotFTP, Reply
from gateway.ftp.streams import MAX_TELNET, CommandStream, Foreign, ReplyStream
from tests.kit.pieces import pieces

SAID = b"USER a\r\n\xff\xf1PASS  b \r\nST\0AT\r\nNOOP\xff\xf4\r\nCWD " + b"x" * 40 + b"\r\nQUIT\n"
HEARD = [
    Command(b"USER", b"a"),
    Command(b"PASS", b" b "),
    Unclean.NUL,
    Command(b"NOOP"),
    Unclean.TOO_LONG,
    Command(b"QUIT"),
]
REPLIES = b"220-a\r\n 220 b\r\n220 c\r\n331 d\r\n226\r\n"
READ = [Reply(220, (b"220-a", b" 220 b", b"220 c")), Reply(331, (b"331 d",)), Reply(226, (b"226",))]


def commands(stream: CommandStream, parts: list[bytes]) -> list[Command | Unclean | Foreign]:
    """All that a stream gives, asked for after each part that is not empty."""
    found = []
    for part in filter(None, parts):
        stream.feed(part)
        while (one := stream.next()) is not None:
            found.append(one)
    return found


def replies(stream: ReplyStream, parts: list[bytes]) -> list[Reply]:
    found = []
    for part in parts:
        stream.feed(part)
        while (one := stream.next()) is not None:
            found.append(one)
    return found


class TestCommandStream:
    @given(pieces(st.just(SAID)))
    def test_pieces_do_not_matter(self, said: tuple[bytes, list[bytes]]) -> None:
        assert commands(CommandStream(32), said[1]) == HEARD

    def test_one_at_a_time(self) -> None:
        stream = CommandStream()
        stream.feed(b"NOOP\r\nQUIT\r\nST")
        assert stream.waiting
        assert stream.next() == Command(b"NOOP")
        assert stream.next() == Command(b"QUIT")
        assert stream.next() is None
        assert not stream.waiting

    @pytest.mark.parametrize("foreign", Foreign)
    def test_another_protocol(self, foreign: Foreign) -> None:
        stream = CommandStream()
        stream.feed(foreign.value + b"\x01\0\r\nNOOP\r\n")
        assert stream.waiting and stream.ahead
        assert stream.next() is foreign
        assert stream.next() is None

    def test_only_where_a_command_begins(self) -> None:
        stream = CommandStream()
        stream.feed(b"CWD ")
        stream.feed(b"\x16\r\n")
        assert stream.next() == Command(b"CWD", b"\x16")

    @pytest.mark.parametrize("more", [b"Q", b"QUIT\r\n", b"\xff\xf4", b"\xff", b"\n", b"\x16\x03"])
    def test_ahead(self, more: bytes) -> None:
        stream = CommandStream()
        stream.feed(b"AUTH TLS\r\n")
        assert stream.next() is not None
        assert not stream.ahead
        stream.feed(more)
        assert stream.ahead

    @pytest.mark.parametrize("command", [b"\xff\xf1", b"\xff\xfb\x01", b"\xff\xfa\r\n\xff\xf0"])
    def test_a_flood_of_telnet_commands(self, command: bytes) -> None:
        stream = CommandStream()
        stream.feed(command * MAX_TELNET + b"NOOP\r\n")
        assert not stream.flooded
        assert stream.next() == Command(b"NOOP")
        stream.feed(command + b"NOOP\r\n")
        assert stream.flooded and stream.waiting
        stream.feed(command * 10 + b"NOOP\r\n")
        assert stream.flooded and stream.waiting

    def test_an_escaped_byte_is_no_telnet_command(self) -> None:
        stream = CommandStream()
        stream.feed(b"CWD " + b"\xff\xff" * (MAX_TELNET + 1) + b"\r\n")
        assert not stream.flooded
        assert stream.next() == Command(b"CWD", b"\xff" * (MAX_TELNET + 1))


class TestReplyStream:
    @given(pieces(st.just(REPLIES)))
    def test_pieces_do_not_matter(self, said: tuple[bytes, list[bytes]]) -> None:
        assert replies(ReplyStream(), said[1]) == READ

    def test_ahead(self) -> None:
        stream = ReplyStream()
        stream.feed(b"234 Go on.\r\n")
        assert stream.waiting
        assert stream.next() is not None
        assert not stream.ahead
        stream.feed(b"2")
        assert stream.ahead
        assert stream.next() is None
        assert not stream.waiting

    def test_preliminary_replies_without_end(self) -> None:
        stream = ReplyStream(max_preliminary=3)
        for _ in range(2):
            stream.feed(b"150 Wait.\r\n" * 3 + b"226 Done.\r\n")
            assert [reply.code for reply in replies(stream, [b""])] == [150, 150, 150, 226]
        stream.feed(b"150 Wait.\r\n" * 4)
        for _ in range(3):
            assert stream.next() == Reply.of(150, "Wait.")
        with pytest.raises(NotFTP, match="too many preliminary replies"):
            stream.next()

    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            (b"SSH-2.0-x\r\n", "does not speak FTP"),
            (b"220 " + b"x" * 40 + b"\r\n", "reply line too long"),
            (b"220 " + b"x" * 40, "reply line too long"),
            (b"220 a\0b\r\n", "reply not clean: NUL in a line"),
            (b"220-\r\n" + b"a\r\n" * 8, "past the limit"),
            (b"220-\r\n" + b"a" * 30 + b"\r\n" + b"b" * 30 + b"\r\n", "past the limit"),
        ],
    )
    def test_what_is_no_reply(self, sent: bytes, reason: str) -> None:
        stream = ReplyStream(limit=32, max_lines=8, max_bytes=48)
        stream.feed(sent)
        with pytest.raises(NotFTP, match=reason):
            stream.next()
