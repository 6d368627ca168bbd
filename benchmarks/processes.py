"""The programs that are measured: their start and end, and the cost of them and their children, from ``/proc``."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PATIENCE = 20.0
POLL = 0.01
_TICK = os.sysconf("SC_CLK_TCK")


class DidNotStart(Exception):
    """A program that did not start. The text says which, and its output."""


@contextlib.contextmanager
def running(command: Sequence[str | Path], address: tuple[str, int], directory: Path | None = None) -> Iterator[int]:
    """Runs a program that stays in the foreground; gives its process id once it takes connections.

    :raises DidNotStart: where it ends, or takes no connection in time.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            if not _listens(process, address):
                log.seek(0)
                raise DidNotStart(f"{Path(command[0]).name} did not start: {log.read().decode(errors='replace')}")
            yield process.pid
        finally:
            left = tree(process.pid)[1:]
            end(process)
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program, if necessary by force."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _listens(process: subprocess.Popen[bytes], address: tuple[str, int]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(address, PATIENCE).close()
        except ConnectionError:
            time.sleep(POLL)
        else:
            return True
    return False


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def cpu(pid: int) -> float:
    """The seconds of processor time that the process and its descendants, living or ended, used so far.

    Living threads are counted by the nanosecond (the scheduler's own count), ended children by the clock tick.
    """
    total = 0.0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            total += sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(each)) / 1e9
            children = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[13:15]
            total += sum(map(int, children)) / _TICK
    return total


def settled_cpu(pid: int, processes: int) -> float:
    """The processor time once no more than so many processes are left: a child's is known when it has been reaped."""
    deadline = time.monotonic() + PATIENCE
    while len(tree(pid)) > processes and time.monotonic() < deadline:
        time.sleep(POLL)
    return cpu(pid)


def memory(pid: int) -> int:
    """The resident memory of the process and its descendants in bytes; shared pages are divided up (PSS)."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def _tasks(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/task").iterdir()
