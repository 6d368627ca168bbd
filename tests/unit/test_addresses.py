"""The origin's ports and the public ones that stand for them."""

import pytest

from gateway.addresses import PortMap

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
