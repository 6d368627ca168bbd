"""Lines: framing under a limit, from bytes in any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ftp.lines import LineReader, Unclean
from tests.kit.pieces import cut, pieces

LIMIT = 8


def read(*parts: bytes, limit: int = LIMIT) -> list[bytes | Unclean]:
    """All the lines in the parts, each taken as soon as it can be."""
    reader = LineReader(limit)
    lines: list[bytes | Unclean] = []
    for part in parts:
        reader.feed(part)
        while (line := reader.next_line()) is not None:
            lines.append(line)
    return lines


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (b"", []),
        (b"NOOP", []),
        (b"NOOP\r\n", [b"NOOP"]),
        (b"NOOP\n", [b"NOOP"]),
        (b"\r\n", [b""]),
        (b"A\r\n\r\nB\n", [b"A", b"", b"B"]),
        (b" \xff\t \r\n", [b" \xff\t "]),
        (b"12345678\r\n", [b"12345678"]),
        (b"12345678\n", [b"12345678"]),
        (b"123456789\r\n", [Unclean.TOO_LONG]),
        (b"123456789\n", [Unclean.TOO_LONG]),
        (b"12345678\r\r\n", [Unclean.TOO_LONG]),
        (b"x" * 100 + b"\r\nNOOP\r\n", [Unclean.TOO_LONG, b"NOOP"]),
        (b"NO\0P\r\n", [Unclean.NUL]),
        (b"NO\rP\r\n", [Unclean.BARE_CR]),
        (b"\rNOOP\r\n", [Unclean.BARE_CR]),
        (b"NOOP\r\r\n", [Unclean.BARE_CR]),
        (b"a\r\0\r\n", [Unclean.NUL]),
        (b"x" * 20 + b"\0\r\r\n", [Unclean.TOO_LONG]),
    ],
)
def test_lines_of_a_stream(stream: bytes, lines: list[bytes | Unclean]) -> None:
    assert read(stream) == lines
    assert read(*cut(stream, range(len(stream)))) == lines


@given(pieces(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\0", b"1234567"])).map(b"".join)))
def test_pieces_do_not_matter(stream_and_parts: tuple[bytes, list[bytes]]) -> None:
    stream, parts = stream_and_parts
    lines = read(stream)
    assert read(*parts) == lines
    assert read(*cut(stream, range(len(stream)))) == lines
    assert len(lines) == stream.count(b"\n")
    for line in lines:
        assert isinstance(line, Unclean) or (len(line) <= LIMIT and not {*b"\r\n\0"} & {*line})


def test_lines_that_are_not_asked_for_stay() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"A\r\nB\r\nC")
    assert reader.next_line() == b"A"
    reader.feed(b"D\r\n")
    assert [reader.next_line(), reader.next_line(), reader.next_line()] == [b"B", b"CD", None]


def test_a_line_without_end_takes_no_memory() -> None:
    reader = LineReader(LIMIT)
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        assert reader.next_line() is None
        assert len(reader._buffer) == 0
    reader.feed(b"\n")
    assert reader.next_line() is Unclean.TOO_LONG


def test_empty_until_something_begins() -> None:
    reader = LineReader(LIMIT)
    assert reader.empty
    reader.feed(b"N")
    assert not reader.empty
    reader.feed(b"OOP\r\n")
    reader.next_line()
    assert reader.empty


def test_a_line_that_is_too_long_has_begun() -> None:
    reader = LineReader(LIMIT)
    assert not reader.overflowing
    reader.feed(b"x" * (LIMIT + 2))
    reader.next_line()
    assert reader.overflowing and not reader.empty
    reader.feed(b"\r\n")
    reader.next_line()
    assert reader.empty and not reader.overflowing


def test_there_may_be_a_line_from_bytes_that_come_until_none_is_found() -> None:
    reader = LineReader(LIMIT)
    assert not reader.waiting
    reader.feed(b"one\r\ntw")
    assert reader.waiting
    assert reader.next_line() == b"one"
    assert reader.waiting, "nobody has looked behind that line"
    assert reader.next_line() is None
    assert not reader.waiting
    reader.feed(b"o\r\n")
    assert reader.waiting and reader.next_line() == b"two"
