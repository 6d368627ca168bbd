"""An origin as a value."""

import pytest

from gateway.addresses import PortMap
from gateway.origins.origin import Origin

PORTS = PortMap(range(20000, 20021), range(20000, 20021))


def origin(host: str) -> Origin:
    return Origin(host, 21, PORTS, None, lambda ends: b"", lambda ends: b"", 10.0)


@pytest.mark.parametrize("host", ["origin.internal", "localhost"])
def test_a_host_name_is_its_name(host: str) -> None:
    assert origin(host).name == host


@pytest.mark.parametrize("host", ["198.51.100.1", "2001:db8::1"])
def test_an_address_is_no_name(host: str) -> None:
    assert origin(host).name is None


def test_equal_where_all_is_equal() -> None:
    header = origin("a").control_header
    one, other = (Origin("a", 21, PORTS, None, header, header, 10.0) for _ in range(2))
    assert one == other
