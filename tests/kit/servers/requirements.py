"""Programs that a test needs: our servers, and any client on the path."""

import functools
import os
import shutil

import pytest

from tests.kit.servers.daemons import DAEMONS
from tests.kit.servers.sandbox import obstacle


@functools.cache
def missing(name: str) -> str | None:
    """The reason why the program cannot be used here; None where it can."""
    for daemon in DAEMONS:
        if daemon.name == name:
            if not daemon.path.exists():
                return f"{name} is not at {daemon.path}: run .ci/fetch-servers"
            return obstacle()
    return None if shutil.which(name) else f"{name} is not installed"


def require(name: str) -> None:
    """Skips a test that cannot have the program; in CI, where everything is installed, fails it."""
    if reason := missing(name):
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
