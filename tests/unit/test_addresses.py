"""Addresses, and the origin's ports with the public ones that stand for them."""

from ipaddress import ip_address

import pytest

from gateway.addresses import PortMap, is_address, peer_address, span

MIRRORED = PortMap(range(20000, 20021), range(20000, 20021))
MAPPED = PortMap(range(20000, 20021), range(30000, 30021))


@pytest.mark.parametrize("port", [20000, 20007, 20020])
def test_inside(port: int) -> None:
    assert MIRRORED.public_port(port) == port
    assert MAPPED.public_port(port) == port + 10000


@pytest.mark.parametrize("port", [0, 21, 19999, 20021, 30000, 65535])
def test_outside(port: int) -> None:
    assert MIRRORED.public_port(port) is None
    assert MAPPED.public_port(port) is None


def test_mirrored() -> None:
    assert MIRRORED.mirrored and not MAPPED.mirrored


def test_shown_as_the_origins() -> None:
    assert f"{MIRRORED} {MAPPED}" == "20000-20020 20000-20020"


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_the_address_of_a_peer(name: str, address: str) -> None:
    assert peer_address(name) == ip_address(address)


def test_names_are_no_addresses() -> None:
    assert is_address("192.0.2.7") and is_address("2001:db8::7")
    assert not is_address("ftp.example.com") and not is_address("")


@pytest.mark.parametrize(
    ("ports", "text"), [(range(5, 6), "5"), (range(5, 7), "5-6"), (range(20000, 20021), "20000-20020")]
)
def test_spans(ports: range, text: str) -> None:
    assert span(ports) == text
