"""The origin's address and name, taken out of its replies."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ftp.replies import Reply
from gateway.ftp.scrub import Scrubber, scrubber

V4 = IPv4Address("198.51.100.1")
V6 = IPv6Address("2001:db8::51")
NAME = "ftp.example.com"


def scrub(text: bytes, address: str = "198.51.100.1", public: str = "192.0.2.1", host: str | None = None) -> bytes:
    """What becomes of a 220 with that text."""
    scrubber = Scrubber(ip_address(address), public, host, NAME)
    [line] = scrubber.scrub(Reply(220, (b"220 " + text,))).lines
    return line.removeprefix(b"220 ")


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        (b"198.51.100.1", b"192.0.2.1"),
        (b"I am 198.51.100.1.", b"I am 192.0.2.1."),
        (b"198.51.100.1:21", b"192.0.2.1:21"),
        (b"[::ffff:198.51.100.1]", b"[::ffff:192.0.2.1]"),
        (b"x198.51.100.1x", b"x192.0.2.1x"),
        (b"(198,51,100,1,78,32)", b"(192,0,2,1,78,32)"),
        (b"198.51.100.1 198.51.100.1", b"192.0.2.1 192.0.2.1"),
        (b"198.51.100.10", b"198.51.100.10"),
        (b"1198.51.100.1", b"1198.51.100.1"),
        (b"198x51y100z1", b"198x51y100z1"),
        (b"nothing \xff here", b"nothing \xff here"),
    ],
)
def test_ipv4(text: bytes, scrubbed: bytes) -> None:
    assert scrub(text) == scrubbed


def test_ipv4_behind_a_public_name() -> None:
    assert scrub(b"198.51.100.1 (198,51,100,1,78,32)", public="public.example") == (
        b"public.example (ftp.example.com,78,32)"
    )


def test_the_public_text_is_no_template() -> None:
    assert scrub(b"198.51.100.1", public=r"\1\g<0>") == rb"\1\g<0>"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        (b"2001:db8::51", b"192.0.2.1"),
        (b"2001:DB8:0:0:0::51", b"192.0.2.1"),
        (b"2001:0db8:0000:0000:0000:0000:0000:0051", b"192.0.2.1"),
        (b"2001:db8::0.0.0.81", b"192.0.2.1"),
        (b"[2001:db8::51]:21", b"[192.0.2.1]:21"),
        (b"at 2001:db8::51.", b"at 192.0.2.1."),
        (b"2001:db8::51: hello", b"192.0.2.1: hello"),
        (b"2001:db8::51, 2001:db8::51", b"192.0.2.1, 192.0.2.1"),
        (b"host:2001:db8::51", b"host:192.0.2.1"),
        (b"x2001:db8::51x", b"x192.0.2.1x"),
        (b"2001:db8::51:21", b"192.0.2.1:21"),
        (b"2001:db8::51%1:.", b"192.0.2.1:."),
        (b"::: .:", b"::: .:"),
        (b"[IPv6:2001:db8::51]", b"[IPv6:192.0.2.1]"),
        (b"2001:db8::51%eth0 up", b"192.0.2.1 up"),
        (b"2001:db8::52", b"2001:db8::52"),
        (b"2001:db8::", b"2001:db8::"),
        (b"at 12:30:45", b"at 12:30:45"),
        (b"a: b :: c", b"a: b :: c"),
        (b"no colon", b"no colon"),
    ],
)
def test_ipv6(text: bytes, scrubbed: bytes) -> None:
    assert scrub(text, "2001:db8::51") == scrubbed


@pytest.mark.parametrize("behind", [b"", b".", b":", b" x"])
def test_ipv6_that_ends_in_colons(behind: bytes) -> None:
    assert scrub(b"2001:db8::" + behind, "2001:db8::") == b"192.0.2.1" + behind


def test_an_ipv4_origin_has_no_ipv6_address() -> None:
    assert scrub(b"2001:db8::51") == b"2001:db8::51"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        (b"origin.internal FTP", b"ftp.example.com FTP"),
        (b"ORIGIN.Internal.", b"ftp.example.com."),
        (b"(origin.internal)", b"(ftp.example.com)"),
        (b"origin.internal:21", b"ftp.example.com:21"),
        (b"originxinternal", b"originxinternal"),
        (b"my-origin.internal", b"my-origin.internal"),
        (b"origin.internals", b"origin.internals"),
    ],
)
def test_the_host_name(text: bytes, scrubbed: bytes) -> None:
    assert scrub(text, host="origin.internal") == scrubbed


def test_every_line_is_scrubbed_and_codes_and_marks_stay() -> None:
    scrubber = Scrubber(V4, "192.0.2.1", None, NAME)
    reply = Reply(220, (b"220-198.51.100.1", b"198.51.100.1", b"220 198.51.100.1"))
    assert scrubber.scrub(reply) == Reply(220, (b"220-192.0.2.1", b"192.0.2.1", b"220 192.0.2.1"))


def test_a_clean_reply_is_the_same_reply() -> None:
    reply = Reply.of(220, "ready")
    assert Scrubber(V4, "192.0.2.1", "origin.internal", NAME).scrub(reply) is reply


@given(st.ip_addresses(v=4), st.binary(), st.binary())
def test_no_text_hides_an_ipv4_address(address: IPv4Address, before: bytes, behind: bytes) -> None:
    dotted = str(address).encode()
    text = before.rstrip(b"0123456789") + dotted + behind.lstrip(b"0123456789")
    scrubbed = scrub(text, str(address), "public.example")
    assert dotted not in scrubbed and b"public.example" in scrubbed


@given(st.ip_addresses(v=6), st.binary(), st.binary(), st.booleans())
def test_no_text_hides_an_ipv6_address(address: IPv6Address, before: bytes, behind: bytes, long: bool) -> None:
    written = (address.exploded if long else address.compressed).encode()
    text = before + b" " + written + b" " + behind
    assert b" public.example " in scrub(text, str(address), "public.example")


def test_sessions_with_one_origin_share_their_scrubber() -> None:
    arguments = (ip_address("198.51.100.9"), "192.0.2.1", None, "ftp.example.com")
    shared = scrubber(*arguments)
    assert shared.scrub(Reply.of(220, "198.51.100.9 is ready.")) == Reply.of(220, "192.0.2.1 is ready.")
    assert scrubber(*arguments) is shared
