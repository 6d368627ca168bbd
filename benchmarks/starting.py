"""The time from the gateway's start to the line that says that it is ready."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import setups
from benchmarks.load import Extent, Figures
from benchmarks.network import host
from benchmarks.peers import Running
from benchmarks.processes import DidNotStart, end

READY = b"ftp-gateway ready:"


def ready(_: Running, __: Extent) -> Figures:
    """Starts a second gateway, besides the one that runs."""
    with tempfile.TemporaryDirectory(prefix="ftp-bench-") as scratch:
        command = setups.gateway(host(9), Path(scratch))
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        with process.stdout as output:
            try:
                if not any(READY in line for line in output):
                    raise DidNotStart("the gateway ended before it was ready")
                return {"ready": time.perf_counter() - start}
            finally:
                end(process)
