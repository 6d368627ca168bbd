"""The messages to systemd (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify(state: str) -> None:
    """Sends a state, such as ``READY=1``, where NOTIFY_SOCKET is set. A failure is not reported."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.sendall(state.encode())


def notify_reloading() -> None:
    """Tells systemd that the configuration is being read again; ``READY=1`` is to follow.

    The time, in microseconds, proves to ``Type=notify-reload`` that its signal came first (systemd.service(5)).
    """
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
