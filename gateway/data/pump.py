"""Pumps: they carry bytes from one leg to another without blocking.

A pump is filled only when it is empty. So it holds one fill at most, and a source is not read while its sink is
slow.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import sys
from typing import Protocol

import attrs

from gateway.net.leg import Leg

CHUNK = 1024 * 1024  # bytes in one splice; a pipe holds as many, where the system allows it
BUFFER = 256 * 1024  # bytes in one recv_into


class Pump(Protocol):
    """A pump, which holds the bytes on their way in one direction."""

    @property
    def pending(self) -> int:
        """The number of bytes that were taken from the source and not yet given to the sink."""

    @property
    def held(self) -> bool:
        """Whether the pump takes nothing now, even if the source has bytes."""

    def fill(self, source: Leg, most: int = CHUNK) -> int:
        """Takes up to ``most`` bytes from the source; gives their number, 0 at its end.

        :raises BlockingIOError: where the source has nothing now.
        :raises OSError: where the source is broken.
        """

    def drain(self, sink: Leg) -> int:
        """Hands the sink as much as it takes; gives the number of bytes.

        :raises BlockingIOError: where the sink takes nothing now.
        :raises OSError: where the sink is broken.
        """

    def close(self) -> None:
        """Frees the pump's resources, and the bytes that it holds with them."""


@attrs.define
class CopyPump:
    """A pump that copies through one buffer, which all pumps share. It works on every system."""

    held = False
    _rest: memoryview = attrs.field(default=memoryview(b""), init=False, repr=False)

    @property
    def pending(self) -> int:
        return len(self._rest)

    def fill(self, source: Leg, most: int = CHUNK) -> int:
        received = source.receive_into(memoryview(_SHARED)[:most])
        self._rest = memoryview(_SHARED)[:received]
        return received

    def drain(self, sink: Leg) -> int:
        try:
            sent = sink.send(self._rest)
        except BlockingIOError:
            self._keep(self._rest)
            raise
        self._keep(self._rest[sent:])
        return sent

    def _keep(self, rest: memoryview) -> None:
        # Another pump uses the shared buffer at the next event: copy the bytes out that the sink did not take.
        self._rest = rest if rest.obj is not _SHARED else memoryview(bytes(rest))

    def close(self) -> None:
        self._rest = memoryview(b"")


_SHARED = bytearray(BUFFER)


_NO = b"\0" * 4
_SIOCATMARK = 0x8905  # asm-generic/sockios.h; the few machines that number it otherwise do not know this one


def _at_mark(source: Leg) -> bool:
    """Whether an urgent byte comes next: splice(2) stops in front of it as if nothing had come, or as if it were the
    end."""
    try:
        return fcntl.ioctl(source.fileno(), _SIOCATMARK, _NO) != _NO
    except OSError:
        return False


@attrs.define
class SplicePump:
    """A pump that moves the bytes inside the kernel, through a pipe (splice(2)); Linux only."""

    held = False
    pending: int = attrs.field(default=0, init=False)
    _pipe: tuple[int, int] | None = attrs.field(init=False)

    @_pipe.default
    def _new_pipe(self) -> tuple[int, int]:
        """Makes a pipe. Raises OSError where the process has no descriptors left."""
        pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # The system may limit an unprivileged user's pipes to a smaller size: slower, but equally correct.
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, CHUNK)
        return pipe

    def fill(self, source: Leg, most: int = CHUNK) -> int:
        assert self._pipe is not None
        moved = 0
        try:
            moved = os.splice(source.fileno(), self._pipe[1], most, flags=_SPLICE_FLAGS)
        except BlockingIOError:
            if not _at_mark(source):
                raise
        if not moved and _at_mark(source):
            moved = os.write(self._pipe[1], source.receive(min(most, select.PIPE_BUF)))  # an empty pipe takes as many
        self.pending += moved
        return moved

    def drain(self, sink: Leg) -> int:
        assert self._pipe is not None
        moved = os.splice(self._pipe[0], sink.fileno(), self.pending, flags=_SPLICE_FLAGS)
        self.pending -= moved
        return moved

    def close(self) -> None:
        if self._pipe is not None:
            for descriptor in self._pipe:
                os.close(descriptor)
            self._pipe = None


_SPLICE_FLAGS = 0
if sys.platform == "linux":
    _SPLICE_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


@attrs.define
class GrowingPump:
    """A pump that copies a small stream, and splices a large one: a pipe costs more than a few copies do."""

    held = False
    _copied: int = attrs.field(default=0, init=False)
    _pump: Pump = attrs.field(factory=CopyPump, init=False)

    @property
    def pending(self) -> int:
        return self._pump.pending

    def fill(self, source: Leg, most: int = CHUNK) -> int:
        if self._copied >= BUFFER and isinstance(self._pump, CopyPump):
            with contextlib.suppress(OSError):  # out of descriptors: copying goes on
                self._pump = SplicePump()
        moved = self._pump.fill(source, most)
        self._copied += moved
        return moved

    def drain(self, sink: Leg) -> int:
        return self._pump.drain(sink)

    def close(self) -> None:
        self._pump.close()


def best_pump(plain: bool) -> Pump:
    """The fastest pump of this system between two legs.

    :param plain: whether both are plain sockets.
    """
    return GrowingPump() if plain and sys.platform == "linux" else CopyPump()
