"""Telnet commands: taken out of the text, in any pieces."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ftp.telnet import TelnetFilter
from tests.kit.pieces import cut, pieces

IAC, IP, DM, SB, SE = b"\xff", b"\xf4", b"\xf2", b"\xfa", b"\xf0"
WILL, WONT, DO, DONT = b"\xfb", b"\xfc", b"\xfd", b"\xfe"


def strip(*parts: bytes) -> bytes:
    """What is left of the parts."""
    telnet = TelnetFilter()
    return b"".join(map(telnet.strip, parts))


def filtered(parts: list[bytes]) -> tuple[bytes, int, bool]:
    """What is left of the parts, how many commands were in them, and whether text is the last of them."""
    telnet = TelnetFilter()
    text = b"".join(map(telnet.strip, filter(None, parts)))
    return text, telnet.commands, telnet.ends_in_text


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"", b""),
        (b"NOOP\r\n", b"NOOP\r\n"),
        (b"\x80\xfa\xfe\xf0", b"\x80\xfa\xfe\xf0"),
        (IAC + IAC, b"\xff"),
        (b"a" + IAC + IAC + IAC + IAC + b"b", b"a\xff\xffb"),
        (IAC + IP + IAC + DM + b"ABOR\r\n", b"ABOR\r\n"),
        (b"AB" + IAC + b"\xf1" + b"OR\r\n", b"ABOR\r\n"),
        (IAC + WILL + b"\x01X", b"X"),
        (IAC + WONT + b"\x01X", b"X"),
        (IAC + DO + IAC + b"X", b"X"),  # 255 is an option as well: EXOPL (RFC 861)
        (IAC + DONT + b"\x18X", b"X"),
        (IAC + SB + b"\x18\x01NAME" + IAC + SE + b"X", b"X"),
        (IAC + SB + b"a" + IAC + IAC + SE + b"b" + IAC + SE + b"X", b"X"),
        (b"X" + IAC + SB + b"\r\nPORT 1\r\n", b"X"),
        (b"X" + IAC, b"X"),
        (IAC + b"XY", b"Y"),
    ],
)
def test_text_of_a_stream(stream: bytes, text: bytes) -> None:
    assert strip(stream) == text
    assert strip(*cut(stream, range(len(stream)))) == text


@pytest.mark.parametrize(
    ("stream", "ends_in_text"),
    [
        (b"AUTH TLS\r\n", True),
        (IAC + IP + IAC + DM + b"AUTH TLS\r\n", True),
        (b"AUTH TLS\r\n" + IAC + IAC, True),
        (b"AUTH TLS\r\n" + IAC, False),
        (b"AUTH TLS\r\n" + IAC + IP, False),
        (b"AUTH TLS\r\n" + IAC + b"\n", False),
        (b"AUTH TLS\r\n" + IAC + WILL + b"\n", False),
        (b"AUTH TLS\r\n" + IAC + SB + b"USER x\r\n", False),
        (b"AUTH TLS\r\n" + IAC + SB + IAC + SE, False),
        (b"AUTH TLS\r\n" + IAC + SB + IAC + SE + b"x", True),
    ],
)
def test_whether_it_ends_in_text(stream: bytes, ends_in_text: bool) -> None:
    for parts in ([stream], cut(stream, range(len(stream)))):
        telnet = TelnetFilter()
        assert telnet.ends_in_text
        for part in parts:
            telnet.strip(part)
        assert telnet.ends_in_text is ends_in_text


@pytest.mark.parametrize(
    ("stream", "commands"),
    [
        (b"NOOP\r\n", 0),
        (IAC + IAC + b"a" + IAC + IAC, 0),
        (IAC + IP + IAC + DM + b"ABOR\r\n", 2),
        (IAC + WILL + IAC + IAC + DONT + b"\x01", 2),
        (IAC + SB + b"a" + IAC + IAC + IAC + IP + b"b" + IAC + SE, 1),
        (IAC + SB + IAC, 0),
        (IAC + WILL, 0),
        (IAC, 0),
    ],
)
def test_commands_are_counted_once_they_are_complete(stream: bytes, commands: int) -> None:
    for parts in ([stream], cut(stream, range(len(stream)))):
        telnet = TelnetFilter()
        for part in parts:
            telnet.strip(part)
        assert telnet.commands == commands


@pytest.mark.parametrize("inside", [b"a", IAC + IAC, IAC + IP, IAC + IAC + IAC + IP])
def test_a_subnegotiation_without_end_is_not_kept(inside: bytes) -> None:
    telnet = TelnetFilter()
    telnet.strip(IAC + SB)
    for _ in range(10):
        assert telnet.strip(inside * 10_000) == b""
        assert len(repr(attrs.asdict(telnet))) < 200


@given(pieces(st.lists(st.sampled_from([b"a", b"\r\n", IAC, WILL, DONT, SB, SE, IP, b"\x01"])).map(b"".join)))
def test_pieces_do_not_matter(stream_and_parts: tuple[bytes, list[bytes]]) -> None:
    stream, parts = stream_and_parts
    ways = [filtered(some) for some in ([stream], parts, cut(stream, range(len(stream))))]
    assert ways[0] == ways[1] == ways[2]


@given(st.binary())
def test_what_is_escaped_comes_out(text: bytes) -> None:
    assert strip(text.replace(IAC, IAC + IAC)) == text
