"""The things that the integration tests share, and their end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.kit.capture import Protect, recorded
from tests.kit.content import MEBIBYTE, LargeContent
from tests.kit.gateway import RunningGateway, gateway
from tests.kit.reactor import descriptors, in_reactor, reactor, stop_reactor
from tests.kit.stage import stage

LARGE = LargeContent(200 * MEBIBYTE)


@pytest.fixture
def protect() -> Iterator[Protect]:
    """Gateways whose clients must never be told where an origin is."""
    with contextlib.ExitStack() as stack:

        def run(*applications: str, also: Iterable[str] = ()) -> RunningGateway:
            running = stack.enter_context(gateway("\n".join(applications)))
            return stack.enter_context(recorded(running, also))

        yield run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that an origin serves."""
    path = tmp_path / "origin"
    path.mkdir()
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The directory that a client program runs in."""
    path = tmp_path / "client"
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """More than all the buffers on its way hold, and than one would keep in memory; not to be changed."""
    path = tmp_path_factory.mktemp("large") / "large"
    with path.open("wb") as file:
        file.writelines(LARGE.blocks())
    yield path
    path.unlink()


@pytest.fixture(scope="session")
def large_digest() -> str:
    """Of that file."""
    return LARGE.digest()


@pytest.fixture(scope="session")
def warm() -> None:
    """The first gateway of a run opens what all share."""
    with stage():
        pass


@pytest.fixture
def nothing_is_left(warm: None) -> Iterator[None]:
    """No file descriptor and no timer outlives a test's gateway."""
    open_before = descriptors()
    yield
    assert descriptors() == open_before
    assert in_reactor(reactor.getDelayedCalls) == []


def pytest_sessionfinish() -> None:
    stop_reactor()
