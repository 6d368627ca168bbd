"""The origin's address and name, taken out of its replies."""

import sys
import time
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
        (b"198.051.100.001 and 198,051,100,001", b"192.0.2.1 and 192,0,2,1"),
        (b"ec2-198-51-100-1.compute.example", b"ec2-192-0-2-1.compute.example"),
        (b"host_198_51_100_1", b"host_192_0_2_1"),
        (b"198-51-100-10 8198-51-100-1", b"198-51-100-10 8198-51-100-1"),
        (b"[::ffff:c633:6401]:21", b"[::ffff:192.0.2.1]:21"),
        (b"0:0:0:0:0:FFFF:C633:6401", b"0:0:0:0:0:FFFF:192.0.2.1"),
        (b"64:ff9b::c633:6401 2002:c633:6401::1", b"64:ff9b::192.0.2.1 2002:192.0.2.1::1"),
        (b"::ffff:c633:6402 c633:6401", b"::ffff:c633:6402 c633:6401"),
        (b"1.100.51.198.in-addr.arpa", b"1.2.0.192.in-addr.arpa"),
        (b"(1.100.51.198.IN-ADDR.ARPA)", b"(1.2.0.192.in-addr.arpa)"),
        (b"11.100.51.198.in-addr.arpa", b"11.100.51.198.in-addr.arpa"),
        (b"0xC6336401 3325256705", b"192.0.2.1 192.0.2.1"),
        (b"0xC63364010 33252567050", b"0xC63364010 33252567050"),
    ],
)
def test_ipv4(text: bytes, scrubbed: bytes) -> None:
    assert scrub(text) == scrubbed


def test_ipv4_behind_a_public_name() -> None:
    assert scrub(b"198.51.100.1 (198,51,100,1,78,32)", public="public.example") == (
        b"public.example (ftp.example.com,78,32)"
    )


@pytest.mark.parametrize(
    ("public", "scrubbed"),
    [
        ("public.example", b"ip-ftp.example.com ftp.example.com ::ffff:public.example"),
        ("2001:db8::7", b"ip-2001-db8--7 %s.ip6.arpa ::ffff:2001:db8::7" % (b"7" + b".0" * 23 + b".8.b.d.0.1.0.0.2")),
    ],
)
def test_ipv4_behind_a_public_text_that_is_none(public: str, scrubbed: bytes) -> None:
    text = b"ip-198-51-100-1 1.100.51.198.in-addr.arpa ::ffff:c633:6401"
    assert scrub(text, public=public) == scrubbed


@pytest.mark.parametrize("address", ["10.0.0.5", "1.2.3.4", "127.0.8.2"])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("mark", [".", ",", "-", "_"])
def test_zeros_in_front_of_numbers(address: str, width: int, mark: str) -> None:
    written = mark.join(number.zfill(width) for number in address.split("."))
    assert scrub(f"at {written}!".encode(), address) == b"at " + b"192.0.2.1".replace(b".", mark.encode()) + b"!"


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
        (b"2001-db8--51.ip.example", b"192-0-2-1.ip.example"),
        (b"1.5%s.8.b.d.0.1.0.0.2.ip6.arpa" % (b".0" * 22), b"1.2.0.192.in-addr.arpa"),
        (b"1.5%s.8.B.D.0.1.0.0.2.IP6.ARPA" % (b".0" * 22), b"1.2.0.192.in-addr.arpa"),
        (b"2001:db8::52", b"2001:db8::52"),
        (b"2001:db8:0:51", b"2001:db8:0:51"),
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


@pytest.mark.parametrize(("address", "host"), [("220.1.2.3", None), ("198.51.100.1", "220-1.2.3.example")])
def test_a_mark_is_no_part_of_an_address_or_a_name(address: str, host: str | None) -> None:
    scrubber = Scrubber(ip_address(address), "192.0.2.1", host, NAME)
    reply = Reply(220, (b"220-1.2.3.example", b"220-1.2.3.example", b"220 End"))
    assert scrubber.scrub(reply) is reply


def test_behind_a_mark_an_address_or_a_name_is_found() -> None:
    scrubber = Scrubber(V4, "192.0.2.1", "origin.internal", NAME)
    reply = Reply(220, (b"220-198-51-100-1", b"220-origin.internal", b"198-51-100-1", b"220 End"))
    clean = (b"220-192-0-2-1", b"220-ftp.example.com", b"192-0-2-1", b"220 End")
    assert scrubber.scrub(reply).lines == clean


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


@given(st.ip_addresses(v=6), st.data())
def test_an_ipv6_address_is_found_however_it_is_written(address: IPv6Address, data: st.DataObject) -> None:
    groups = [f"{high << 8 | low:x}" for high, low in zip(address.packed[::2], address.packed[1::2], strict=True)]
    written = [group.zfill(data.draw(st.integers(1, 4))) for group in groups]
    if data.draw(st.booleans()):
        written[6:] = [str(IPv4Address(address.packed[12:]))]
    text = ":".join(written)
    runs = [(start, end) for start in range(len(written)) for end in range(start + 1, len(written) + 1)]
    zeros = [(start, end) for start, end in runs if not any(group.strip("0") for group in written[start:end])]
    if zeros:
        start, end = data.draw(st.sampled_from(zeros))
        text = f"{':'.join(written[:start])}::{':'.join(written[end:])}"
    assert IPv6Address(text) == address
    text = data.draw(st.sampled_from([text, text.upper()]))
    assert scrub(f"[{text}]:21".encode(), str(address)) == b"[192.0.2.1]:21"


PARTS = ["198.51.100.1", "::", ":", "0:", "2001:db8:", "a:b", "-", ",", "1", "ff", "x"]


@given(st.sampled_from([V4, V6]), st.lists(st.sampled_from(PARTS)))
def test_what_was_scrubbed_has_nothing_left(address: IPv4Address | IPv6Address, parts: list[str]) -> None:
    once = scrub("".join(parts).encode(), str(address), "public.example")
    assert scrub(once, str(address), "public.example") == once


# Lines in which each word could begin an address.
WORST = [
    b":",
    b"1.",
    b"1",
    b"0",
    b"-",
    b"a:",
    b"a:b ",
    b"f:",
    b"::1 ",
    b"0:",
    b"2001:",
    b"2001:db8:0:0:0:",
    b"198.51.100.",
]


@pytest.mark.parametrize("word", WORST)
@pytest.mark.parametrize("address", [V4, V6], ids=str)
def test_a_line_ten_times_as_long_is_no_more_than_ten_times_the_work(
    word: bytes, address: IPv4Address | IPv6Address
) -> None:
    """Work that grew with the square of the length would be a hundred times as much."""
    scrubber = Scrubber(address, "192.0.2.1", "origin.internal", NAME)

    def seconds(length: int) -> float:
        reply = Reply(220, (b"220 " + word * (length // len(word)),))

        def once() -> float:
            begun = time.process_time()
            scrubber.scrub(reply)
            return time.process_time() - begun

        return min(once() for _ in range(5))

    assert seconds(80_000) < 40 * seconds(8000)


@pytest.mark.parametrize("word", [*WORST, b"2001:db8::52 ", b"198.51.100.2 "])
@pytest.mark.parametrize("address", [V4, V6], ids=str)
def test_words_that_are_not_the_address_are_not_looked_at_one_by_one(
    word: bytes, address: IPv4Address | IPv6Address
) -> None:
    """Each would cost a call: the C code of the regular expression alone reads them."""
    scrubber = Scrubber(address, "192.0.2.1", "origin.internal", NAME)
    reply = Reply(220, (b"220 " + word * (8000 // len(word)),))
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        assert scrubber.scrub(reply) is reply
    finally:
        sys.setprofile(before)
    assert calls < 50


def test_sessions_with_one_origin_share_their_scrubber() -> None:
    arguments = (ip_address("198.51.100.9"), "192.0.2.1", None, "ftp.example.com")
    shared = scrubber(*arguments)
    assert shared.scrub(Reply.of(220, "198.51.100.9 is ready.")) == Reply.of(220, "192.0.2.1 is ready.")
    assert scrubber(*arguments) is shared
