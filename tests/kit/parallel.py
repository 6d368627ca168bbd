"""Tests in parallel: each worker of pytest-xdist has a loopback of its own, so that no two want the same port.

This needs the rights to make namespaces. Without them ``-n auto`` means one worker.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_NEW_MOUNTS, _NEW_NETWORK = 0x00020000, 0x40000000  # the namespaces that unshare(2) makes
_NAMES = Path("/run/netns")  # the directory in which ip(8) keeps the names of namespaces


def pytest_xdist_auto_num_workers() -> int:
    """The number of cores, where workers can be kept apart; else 1."""
    if shutil.which("unshare") is None:
        return 1
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], check=False, capture_output=True)
    return len(os.sched_getaffinity(0)) if tried.returncode == 0 else 1


def pytest_configure(config: pytest.Config) -> None:
    """Moves a worker into namespaces of its own, before it has a second thread that uses the network."""
    if not hasattr(config, "workerinput") or config.workerinput["workercount"] == 1:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS | _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no namespaces for a worker")
    _NAMES.mkdir(exist_ok=True)
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "none", str(_NAMES)],
        ["ip", "link", "set", "lo", "up"],
    ):
        subprocess.run(command, check=True)
