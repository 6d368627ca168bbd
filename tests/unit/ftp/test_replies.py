"""Replies: put together from lines, and rendered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ftp.replies import NotFTP, Reply, ReplyAssembler, features

FEATURES = (b"211-Features:", b" EPRT", b" EPSV", b" auth TLS", b"  MLST type*;", b" UTF8", b"211 End")


def assemble(*lines: bytes, max_lines: int = 10, max_bytes: int = 1000) -> list[Reply]:
    """The replies that the lines make."""
    assembler = ReplyAssembler(max_lines, max_bytes)
    return [reply for line in lines if (reply := assembler.feed(line)) is not None]


@pytest.mark.parametrize(
    "line", [b"220", b"220 ", b"220 Ready", b"220  two\xff", b"120 Wait", b"631 x", b"200 a\x0bb"]
)
def test_a_single_line_is_a_reply(line: bytes) -> None:
    [reply] = assemble(line)
    assert reply == Reply(int(line[:3]), (line,))
    assert not reply.multi_line
    assert reply.render() == line + b"\r\n"


@pytest.mark.parametrize(
    "line",
    [b"", b"22", b"2200 x", b"220x", b" 220 x", b"SSH-2.0-x", b"020 x", b"720 x", b"2\xb20 x", b"220\tx", b"HTTP/1"],
)
def test_what_is_no_reply(line: bytes) -> None:
    with pytest.raises(NotFTP, match=r"^the origin does not speak FTP$"):
        assemble(line)


def test_only_the_same_code_and_a_space_at_the_start_of_a_line_end_a_reply() -> None:
    lines = (
        b"211-First",
        b"",
        b"220 other code",
        b"211",
        b"211-same code",
        b" 211 in the middle",
        b"2111 longer",
        b"211\ttab",
        b"226 Transfer complete.",
        b"anything \x00\xff",
        b"211 Last",
    )
    assert assemble(*lines, b"200 Next", max_lines=11) == [Reply(211, lines), Reply(200, (b"200 Next",))]


def test_a_multi_line_reply_is_rendered_as_it_came() -> None:
    reply = Reply(211, (b"211-a", b" b", b"211 c"))
    assert reply.multi_line
    assert reply.render() == b"211-a\r\n b\r\n211 c\r\n"


def test_two_multi_line_replies_do_not_mix() -> None:
    assert assemble(b"211-a", b"211 b", b"214-c", b"211 d", b"214 e") == [
        Reply(211, (b"211-a", b"211 b")),
        Reply(214, (b"214-c", b"211 d", b"214 e")),
    ]


def test_as_many_lines_as_allowed_and_no_more() -> None:
    lines = (b"211-a", b" b", b"211 c")
    assert assemble(*lines, max_lines=3) == [Reply(211, lines)]
    with pytest.raises(NotFTP, match=r"^the origin sent a reply past the limit$"):
        assemble(*lines, max_lines=2)


def test_as_many_bytes_as_allowed_in_each_reply_and_no_more() -> None:
    lines = (b"211-a", b" b", b"211 c")  # 12 bytes
    assert len(assemble(*lines, *lines, max_bytes=12)) == 2
    with pytest.raises(NotFTP, match=r"^the origin sent a reply past the limit$"):
        assemble(*lines, max_bytes=11)


@given(st.integers(100, 699), st.lists(st.binary()), st.binary(), st.binary())
def test_whatever_is_inside_a_reply_is_text(code: int, inner: list[bytes], first: bytes, last: bytes) -> None:
    end = b"%d " % code
    lines = (b"%d-" % code + first, *(b"x" + line if line.startswith(end) else line for line in inner), end + last)
    assert assemble(*lines, max_lines=len(lines), max_bytes=10**6) == [Reply(code, lines)]


@pytest.mark.parametrize(
    ("code", "preliminary", "positive"),
    [(100, True, False), (199, True, False), (200, False, True), (299, False, True), (300, False, False)],
)
def test_what_the_first_digit_says(code: int, preliminary: bool, positive: bool) -> None:
    reply = Reply.of(code, "x")
    assert (reply.preliminary, reply.positive) == (preliminary, positive)


def test_a_reply_of_our_own() -> None:
    assert Reply.of(220, "grüezi").render() == b"220 gr\xc3\xbcezi\r\n"


def test_features_without_what_is_hidden() -> None:
    kept = features(Reply(211, FEATURES), frozenset({b"EPRT", b"AUTH", b"MLS", b"TLS"}))
    assert kept == Reply(211, (b"211-Features:", b" EPSV", b"  MLST type*;", b" UTF8", b"211 End"))


def test_features_when_all_are_hidden() -> None:
    kept = features(Reply(211, (b"211-Features:", b" EPRT", b"211 End")), frozenset({b"EPRT"}))
    assert kept == Reply(211, (b"211 No features",))  # RFC 2389 section 3.2: then not in several lines


def test_features_in_one_line_stay() -> None:
    reply = Reply.of(211, "EPRT is all")
    assert features(reply, frozenset({b"EPRT"})) is reply


def test_a_blank_line_among_features_stays() -> None:
    reply = Reply(211, (b"211-", b"", b"211 End"))
    assert features(reply, frozenset({b"EPRT"})) == reply
