"""The process ids of running gateways, and the signal to one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

_PROC = Path("/proc")


class NotAGateway(Exception):
    """The refusal to signal another program: SIGHUP would end most of them."""


def process_id(text: str) -> int:
    """A process id. Zero and negative numbers would be whole groups of processes.

    :raises ValueError: where the text is not a process id.
    """
    pid = int(text)
    if pid <= 0:
        raise ValueError("not a process id")
    return pid


def hang_up(pid: int) -> None:
    """Sends SIGHUP to a gateway. Where there is no ``/proc``, the process is taken for one.

    :raises NotAGateway: where it is another program.
    :raises OSError: where there is no such process, or it cannot be signalled.
    """
    if not hasattr(os, "pidfd_open") or not (_PROC / "self").exists():
        os.kill(pid, signal.SIGHUP)
        return
    descriptor = os.pidfd_open(pid)
    try:
        if not _is_gateway(_PROC / str(pid)):
            raise NotAGateway
        # If the process has ended, and another got its id meanwhile, this finds nobody.
        signal.pidfd_send_signal(descriptor, signal.SIGHUP)
    finally:
        os.close(descriptor)


def _is_gateway(process: Path) -> bool:
    """Whether a process catches SIGHUP and was started as ``ftp-gateway``, or by a runner that has it to run."""
    try:
        arguments = (process / "cmdline").read_bytes().split(b"\0")
        status = (process / "status").read_text()
    except OSError:
        return False
    caught = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")), 0)
    return bool(caught >> signal.SIGHUP - 1 & 1) and b"ftp-gateway" in map(os.path.basename, arguments)
