"""Lists of networks: the lines that are published, mistakes, and the time that they take."""

import os
import time
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guard.access_files import AccessFileError
from gateway.guard.lists import LISTS, NetworkList


def holding(lines: list[str], client: str) -> str | None:
    network = NetworkList.of(lines, "list").holding(ip_address(client))
    return None if network is None else str(network)


@pytest.mark.parametrize(
    ("line", "client", "network"),
    [
        ("203.0.113.0/24", "203.0.113.9", "203.0.113.0/24"),
        ("203.0.113.0/24", "203.0.114.9", None),
        ("203.0.113.9", "203.0.113.9", "203.0.113.9/32"),
        ("203.0.113.9/24", "203.0.113.1", "203.0.113.0/24"),
        ("203.0.113.0/255.255.255.0", "203.0.113.9", "203.0.113.0/24"),
        ("0.0.0.0/0", "203.0.113.9", "0.0.0.0/0"),
        ("0.0.0.0/0", "2001:db8::1", None),
        ("::/0", "203.0.113.9", None),
        ("2001:db8::/32", "2001:db8:1::1", "2001:db8::/32"),
        ("2001:DB8::1/64", "2001:db8::2", "2001:db8::/64"),
        ("2001:db8::1", "2001:db8::1", "2001:db8::1/128"),
        ("::ffff:203.0.113.0/120", "203.0.113.9", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.9", "203.0.113.9/32"),
        ("203.0.113.0/24 ; SBL1234", "203.0.113.9", "203.0.113.0/24"),
        ("203.0.113.0/24#of whom", "203.0.113.9", "203.0.113.0/24"),
        ("\t203.0.113.0/24 \r\n", "203.0.113.9", "203.0.113.0/24"),
    ],
)
def test_a_line(line: str, client: str, network: str | None) -> None:
    assert holding([line], client) == network


@pytest.mark.parametrize("line", ["", " ", "\r\n", "# 203.0.113.0/24", "; 203.0.113.0/24", "  # a"])
def test_a_line_without_a_network(line: str) -> None:
    assert len(NetworkList.of([line], "list")) == 0


@pytest.mark.parametrize(
    "line",
    [
        "everyone",
        "203.0.113",
        "203.0.113.0/33",
        "203.0.113.0/",
        "203.0.113.0/٢٤",
        "203.0.113.0 / 24",
        "203.0.113.00/24",
        "203.0.113.0-203.0.113.9",
        "203.0.113.0/24 203.0.114.0/24",
        "2001:db8::/129",
        "2001:db8::x",
        "fe80::1%eth0",
        "203.0.113.0\0",
        "/24",
    ],
)
def test_a_mistake_names_the_line(line: str) -> None:
    with pytest.raises(
        AccessFileError, match=r'^list:3: ".*" is not a network like 192\.0\.2\.0/24 or 2001:db8::/32$'
    ):
        NetworkList.of(["203.0.113.9", "", line], "list")


def test_the_narrowest_network_is_told() -> None:
    lines = ["203.0.0.0/16", "203.0.113.9", "203.0.113.0/24"]
    assert holding(lines, "203.0.113.9") == "203.0.113.9/32"
    assert holding(lines, "203.0.113.8") == "203.0.113.0/24"
    assert holding(lines, "203.0.112.8") == "203.0.0.0/16"


def test_the_same_network_counts_once() -> None:
    assert len(NetworkList.of(["203.0.113.0/24", "203.0.113.9/24", "2001:db8::/32"], "list")) == 2


ADDRESSES = st.ip_addresses() | st.integers(0, 255).map(lambda low: IPv4Address(0xC0000200 | low))


@given(st.lists(st.tuples(ADDRESSES, st.integers(0, 128)), max_size=20), ADDRESSES)
def test_the_same_as_network_by_network(drawn: list[tuple[object, int]], client: IPv4Address) -> None:
    texts = [f"{address}/{length % (1 + (32 if ':' not in str(address) else 128))}" for address, length in drawn]
    found = [network for text in texts if client in (network := ip_network(text, strict=False))]
    narrowest = max(found, key=lambda network: network.prefixlen, default=None)
    assert NetworkList.of(texts, "list").holding(client) == narrowest


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf203.0.113.9\n", b"203.0.113.9", b"203.0.113.9\r\n\r\n# caf\xe9\r\n", b"\n\n203.0.113.9 ; \xff\n"],
)
def test_a_file(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_bytes(content)
    read = LISTS.read(str(file))
    assert str(read.holding(ip_address("203.0.113.9"))) == "203.0.113.9/32"
    assert LISTS.read(str(file)) is read
    LISTS.forget_unused()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AccessFileError, match=r"^/.*/list: No such file or directory$"):
        LISTS.read(str(tmp_path / "list"))


def test_many_lines_are_read_in_time() -> None:
    lines = [
        f"{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.0/24 ; SBL{number}" for number in range(100_000)
    ]
    begun = time.process_time()
    assert len(NetworkList.of(lines, "list")) == len(lines)
    assert time.process_time() - begun < 2  # a quarter of a second; with objects of `ipaddress` more than one


def test_a_fifo_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(AccessFileError, match="not a regular file"):
        LISTS.read(str(tmp_path / "fifo"))
