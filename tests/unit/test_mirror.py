"""The mirror of gateway/: each module has unit tests in a file of its name, or a reason here why not."""

from pathlib import Path

import pytest

import gateway

GATEWAY = Path(gateway.__file__).parent
UNIT = Path(__file__).parent

JOINS = "it joins parts: integration tests run the whole"
VALUES = "values without behaviour"
CONFIG = "test_config.py tests the package by its face: documents in, values and mistakes out"
SOCKETS = "real connections tell: integration tests make them"
REACTOR = "it lives in the reactor: integration tests run it there"

ELSEWHERE = {
    "applications/building": JOINS,
    "applications/listening": SOCKETS,
    "applications/registry": "tests/reactor tests it, in the reactor and in Deferreds",
    "config/access": CONFIG,
    "config/checks": CONFIG,
    "config/keys": CONFIG,
    "config/reading": CONFIG,
    "config/reference": CONFIG,
    "config/security": CONFIG,
    "config/structure": CONFIG,
    "config/values": CONFIG,
    "data/flow": REACTOR,
    "data/range": SOCKETS,
    "data/relaying": REACTOR,
    "data/route": VALUES,
    "data/usage": VALUES,
    "demo": JOINS,
    "dropin/ftp_gateway_plugin": "tests/packaging installs it",
    "net/dial": SOCKETS,
    "net/reactor": VALUES,
    "relay/control_port": SOCKETS,
    "relay/opaque": REACTOR,
    "relay/farewell": REACTOR,
    "relay/relay": REACTOR,
    "relay/sides": REACTOR,
    "service": JOINS,
    "session/actions": VALUES,
    "session/endings": "playbooks of all other parts of the judge end with it",
    "session/events": VALUES,
    "session/setting": VALUES,
}
"""Modules without a unit test file of their name."""

MODULES = {
    str(path.relative_to(GATEWAY).with_suffix("")) for path in GATEWAY.rglob("*.py") if path.name != "__init__.py"
}


def unit_file(module: str) -> Path:
    room, _, name = module.rpartition("/")
    return UNIT / room / f"test_{name}.py"


@pytest.mark.parametrize("module", sorted(MODULES - ELSEWHERE.keys()))
def test_a_module_has_its_unit_file(module: str) -> None:
    assert unit_file(module).exists()


@pytest.mark.parametrize("module", sorted(ELSEWHERE))
def test_a_module_that_is_tested_elsewhere(module: str) -> None:
    """It is there, and has no unit file that makes its line here untrue."""
    assert module in MODULES | {"dropin/ftp_gateway_plugin"}  # which is not installed at its place
    assert not unit_file(module).exists()
