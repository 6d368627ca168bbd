"""The PROXY header's bytes: valid and invalid ones, their end, and the addresses in them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.proxy_header import MAX_HEADER, SIGNATURE, BadHeader, Header, ProxyInfo, read, version_1, version_2

IPV4 = ProxyInfo((ip_address("203.0.113.9"), 50000), (ip_address("198.51.100.7"), 21))
IPV6 = ProxyInfo((ip_address("2001:db8::9"), 50000), (ip_address("2001:db8::7"), 21))
MIXED = ProxyInfo((ip_address("2001:db8::9"), 50000), (ip_address("198.51.100.7"), 21))

# The bytes of proxy-protocol.txt, sections 2.1 and 2.2.
BYTES = [
    (IPV4, b"PROXY TCP4 203.0.113.9 198.51.100.7 50000 21\r\n"),
    (IPV6, b"PROXY TCP6 2001:db8::9 2001:db8::7 50000 21\r\n"),
    (IPV4, SIGNATURE + bytes.fromhex("21 11 000c cb007109 c6336407 c350 0015")),
    (IPV6, SIGNATURE + bytes.fromhex("21 21 0024 20010db8" + "00" * 11 + "09 20010db8" + "00" * 11 + "07 c350 0015")),
]

addresses = st.ip_addresses()
ports = st.integers(0, 65535)
ends = st.builds(ProxyInfo, st.tuples(addresses, ports), st.tuples(addresses, ports))


@pytest.mark.parametrize(("ends", "header"), BYTES)
def test_bytes(ends: ProxyInfo, header: bytes) -> None:
    assert (version_1 if header.startswith(b"PROXY") else version_2)(ends) == header
    assert read(header) == Header(len(header), ends)


@pytest.mark.parametrize("version", [version_1, version_2])
def test_two_families_are_told_as_one(version: type[bytes]) -> None:
    header = version(MIXED)  # type: ignore[arg-type]
    assert header.startswith(b"PROXY TCP6 2001:db8::9 ::ffff:") or header[13] == 0x21
    assert read(header) == Header(len(header), MIXED)


@given(ends, st.sampled_from([version_1, version_2]), st.binary(max_size=20))
def test_what_is_written_is_read_and_nothing_behind_it(ends: ProxyInfo, version: type[bytes], rest: bytes) -> None:
    header: bytes = version(ends)  # type: ignore[arg-type]
    found = read(header + rest)
    assert found is not None and found.size == len(header)
    told = version(found.ends)  # type: ignore[arg-type]
    assert read(told) == Header(len(told), found.ends)  # mapped addresses come back as IPv4
    assert all(read(header[:end]) is None for end in range(len(header)))


@pytest.mark.parametrize("header", [header for _, header in BYTES])
@given(st.data())
def test_whatever_comes_it_is_read_or_refused(header: bytes, data: st.DataObject) -> None:
    changed = bytearray(header)
    for place in data.draw(st.lists(st.integers(0, len(header) - 1), max_size=3)):
        changed[place] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(changed) + bytes(MAX_HEADER))
    except BadHeader as error:
        assert str(error)
    else:
        assert found is not None and found.size <= MAX_HEADER


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    if not data or b"PROXY ".startswith(data[:6]) or SIGNATURE.startswith(data[:12]):
        return
    with pytest.raises(BadHeader):
        read(data)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ::1 ::1 1 1\r\n",
        SIGNATURE + b"\x20\0\0\0",
        SIGNATURE + b"\x20\xff\0\x01x",  # LOCAL: whatever the family says (section 2.2)
        SIGNATURE + b"\x21\0\0\0",
    ],
)
def test_a_balancer_may_speak_for_itself(header: bytes) -> None:
    assert read(header + b"USER") == Header(len(header), None)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"proxy TCP4 203.0.113.9 198.51.100.7 1 1\r\n", "no PROXY header"),
        (b"PROXY  TCP4 203.0.113.9 198.51.100.7 1 1\r\n", "version 1 and malformed: "),
        (b"PROXY TCP4 203.0.113.9 198.51.100.7 1 65536\r\n", "version 1 and malformed: "),
        (b"PROXY TCP4 203.0.113.256 198.51.100.7 1 1\r\n", "version 1 and malformed: "),
        (b"PROXY UDP4 203.0.113.9 198.51.100.7 1 1\r\n", "version 1 and malformed: "),
        (b"PROXY TCP4 203.0.113.9 198.51.100.7 1 1\n" + bytes(70), "version 1 and no end of line within 107 bytes"),
        (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "version 1 and no end of line within 107 bytes"),
        (SIGNATURE + b"\x11\x11\0\0", "version 2 and malformed: Invalid proxy protocol version"),
        (SIGNATURE + b"\x22\x11\0\0", "version 2 and malformed: Invalid proxy protocol command"),
        (SIGNATURE + b"\x21\x41\0\0", "version 2 and of an unknown address family"),
        (SIGNATURE + b"\x21\x12\0\x0c" + bytes(12), "version 2 and malformed: not of a TCP connection"),
        (SIGNATURE + b"\x21\x11\x0f\xf1", "version 2 and longer than 4096 bytes"),
    ],
)
def test_what_is_no_header(header: bytes, reason: str) -> None:
    with pytest.raises(BadHeader) as refused:
        read(header)
    assert str(refused.value).startswith(reason)


def test_the_longest_headers() -> None:
    line = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"
    assert read(line) == Header(107, None)
    assert read(SIGNATURE + b"\x20\0\x0f\xf0" + bytes(4080)) == Header(4096, None)


def test_an_address_with_a_scope_is_no_clients() -> None:
    with pytest.raises(BadHeader, match="an address with a scope"):
        read(b"PROXY TCP6 fe80::1%eth0 2001:db8::1 50000 21\r\n")
