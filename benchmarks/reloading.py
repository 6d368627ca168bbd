"""The duration of a reload, and the longest wait of a session for an answer meanwhile."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

from benchmarks import setups
from benchmarks.client import Client
from benchmarks.figures import RELOADED
from benchmarks.load import Extent, Figures
from benchmarks.network import CONTROL, host
from benchmarks.peers import Running
from benchmarks.processes import PATIENCE, running
from benchmarks.workers import WorkFailed, work

_FEW, _MANY = RELOADED


def few(_: Running, __: Extent) -> Figures:
    """Reloads a gateway of one application."""
    return _reload(_FEW)


def many(_: Running, __: Extent) -> Figures:
    """Reloads a gateway of many applications."""
    return _reload(_MANY)


def _reload(applications: int) -> Figures:
    """Starts a second gateway, besides the one that runs, and renews all of its certificates."""
    own = host(9)
    with tempfile.TemporaryDirectory(prefix="ftp-bench-") as scratch:
        directory = Path(scratch)
        command = setups.gateway_of_many(own, directory, applications)
        with running(command, (own, CONTROL), directory) as pid:
            setups.renew(directory, applications)
            [(took, longest)] = work(1, lambda: _measure(own, pid, directory / setups.LOG))
    return {f"reload {applications}": took * 1e3, f"reload {applications} pause": longest * 1e3}


def _measure(own: str, pid: int, log: Path) -> tuple[float, float]:
    """The seconds of a reload, and those of the longest NOOP from its beginning to its end."""
    with Client(own) as client:
        client.login()
        os.kill(pid, signal.SIGHUP)
        start = now = time.perf_counter()
        longest = 0.0
        while b"configuration reloaded" not in log.read_bytes():
            if now - start > PATIENCE:
                raise WorkFailed("the reload did not end")
            client.command(b"NOOP", b"200")
            longest = max(longest, time.perf_counter() - now)
            now = time.perf_counter()
        client.quit()
    return now - start, longest
