"""The messages to systemd (sd_notify(3)). They never block the caller, and arrive in their order."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import threading
import time
from collections import deque

import attrs

_MOST_LATE = 64  # messages that wait for a receiver; of more, the oldest are lost
_LAST_WORDS = 5.0  # seconds that the end of the process waits for a receiver that has not read everything


def notify(state: str) -> None:
    """Sends a state, such as ``READY=1``, where NOTIFY_SOCKET is set. A failure is not reported."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        _messages.send("\0" + address[1:] if address.startswith("@") else address, state.encode())


def notify_reloading() -> None:
    """Tells systemd that the configuration is being read again; ``READY=1`` is to follow.

    The time, in microseconds, proves to ``Type=notify-reload`` that its signal came first (systemd.service(5)).
    """
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


@attrs.define(eq=False)
class _Messages:
    """The messages on their way. A thread has those that the receiver had no room for, and ends with the last one."""

    _late: deque[tuple[str, bytes]] = attrs.field(factory=deque, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)

    def send(self, address: str, message: bytes) -> None:
        with self._lock:
            if not self._late and _sent(address, message, socket.MSG_DONTWAIT):
                return
            if len(self._late) == _MOST_LATE:
                del self._late[1]  # the first is being sent
            self._late.append((address, message))
            if len(self._late) > 1:  # the thread runs
                return
        thread = threading.Thread(target=self._work_off, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system starts no more threads
            self._late.clear()
        else:
            self._thread = thread

    def finish(self) -> None:
        """Waits a moment for the receiver."""
        if self._thread is not None:
            self._thread.join(_LAST_WORDS)

    def _work_off(self) -> None:
        more = True
        while more:
            _sent(*self._late[0], 0)
            with self._lock:
                self._late.popleft()
                more = bool(self._late)


def _sent(address: str, message: bytes, flags: int) -> bool:
    """Whether a message needs no other attempt: it was sent, or it never will be."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.connect(address)
            sender.send(message, flags)
        except BlockingIOError:
            return False
    return True


_messages = _Messages()
atexit.register(_messages.finish)
