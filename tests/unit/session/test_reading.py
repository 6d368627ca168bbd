"""Both streams of a session, as events."""

import attrs
import pytest

from gateway.ftp.commands import Command
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import Reply
from gateway.ftp.streams import MAX_TELNET
from gateway.session import events as on
from gateway.session.reading import Reading


@attrs.frozen
class Appetite:
    """A judge that takes commands and replies, or does not."""

    hungry: bool
    listens: bool = True


HUNGRY, SATED, DEAF = Appetite(True), Appetite(False), Appetite(True, listens=False)


@pytest.fixture
def reading() -> Reading:
    return Reading()


def test_replies_come_before_commands(reading: Reading) -> None:
    reading.commands.feed(b"NOOP\r\nST\0AT\r\n")
    reading.replies.feed(b"220 a\r\n221 b\r\n")
    events = [reading.next(HUNGRY) for _ in range(5)]
    assert events == [
        on.ReplyReceived(Reply(220, (b"220 a",))),
        on.ReplyReceived(Reply(221, (b"221 b",))),
        on.CommandReceived(Command(b"NOOP")),
        on.UncleanReceived(Unclean.NUL),
        None,
    ]


def test_a_judge_that_takes_no_commands_gets_none(reading: Reading) -> None:
    reading.commands.feed(b"NOOP\r\n")
    assert reading.next(SATED) is None
    assert reading.next(HUNGRY) == on.CommandReceived(Command(b"NOOP"))


def test_a_judge_that_takes_no_replies_gets_commands_alone(reading: Reading) -> None:
    reading.commands.feed(b"NOOP\r\n")
    reading.replies.feed(b"220 a\r\n")
    assert reading.next(DEAF) == on.CommandReceived(Command(b"NOOP"))
    assert reading.next(DEAF) is None
    assert reading.next(HUNGRY) == on.ReplyReceived(Reply(220, (b"220 a",)))


def test_a_flood_of_telnet_commands_comes_before_what_else_was_said(reading: Reading) -> None:
    reading.commands.feed(b"NOOP\r\n" + b"\xff\xf1" * (MAX_TELNET + 1))
    assert reading.next(HUNGRY) == on.TelnetFlooded()


def test_another_protocol(reading: Reading) -> None:
    reading.commands.feed(b"\x16\x03\x01")
    assert reading.next(HUNGRY) == on.ForeignReceived()


def test_an_origin_that_speaks_no_ftp(reading: Reading) -> None:
    reading.replies.feed(b"SSH-2.0\r\n")
    assert reading.next(HUNGRY) == on.OriginBroke("the origin does not speak FTP")
