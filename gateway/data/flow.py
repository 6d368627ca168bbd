"""One direction of a data channel: a source, a pump and a sink."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway.data.pump import Pump
from gateway.net.leg import Leg

# The number of times that one event may fill the pump before the reactor's other sockets have their turn.
_ROUNDS = 4


@attrs.define(eq=False)
class Flow:
    """One direction: moves bytes from ``source`` to ``sink`` until the source ends, then passes its FIN on.

    :param progress: called after every event that moved bytes.
    :param delivered: called once, when every byte and the FIN were handed to the sink's socket.
    :param broken: called at most once, with the leg that broke.
    """

    source: Leg
    sink: Leg
    pump: Pump = attrs.field(repr=False)
    progress: Callable[[], None] = attrs.field(repr=False)
    delivered: Callable[[], None] = attrs.field(repr=False)
    broken: Callable[[Leg], None] = attrs.field(repr=False)
    bytes: int = attrs.field(default=0, init=False)
    ended: bool = attrs.field(default=False, init=False)  # the source ended, and all its bytes were handed on
    done: bool = attrs.field(default=False, init=False)  # the end was handed on as well
    _finishing: bool = attrs.field(default=False, init=False)

    def start(self) -> None:
        """Begins to read the source."""
        self.source.readable = self._readable
        self.sink.writable = self._writable
        self.source.watch_reads(True)

    def _readable(self) -> None:
        for _ in range(_ROUNDS):
            try:
                filled = self.pump.fill(self.source)
            except BlockingIOError:
                return
            except OSError:
                self.broken(self.source)
                return
            if not filled:
                self.source.watch_reads(False)
                self._finish()
                return
            if not self._drain():
                return
            if self.pump.pending:
                self.source.watch_reads(False)
                self.sink.watch_writes(True)
                return
        self.source.watch_reads(True)  # a TLS leg may hold bytes that its socket no longer reports

    def _writable(self) -> None:
        if self._finishing:
            self._finish()
        elif self._drain() and not self.pump.pending:
            self.sink.watch_writes(False)
            self.source.watch_reads(True)

    def _drain(self) -> bool:
        """Gives the sink as much as it takes; False where the sink is broken."""
        try:
            while self.pump.pending:
                self.bytes += self.pump.drain(self.sink)
        except BlockingIOError:
            pass
        except OSError:
            self.broken(self.sink)
            return False
        self.progress()
        return True

    def _finish(self) -> None:
        self.ended = True
        try:
            self.sink.finish()
        except BlockingIOError:
            self._finishing = True
            self.sink.watch_writes(True)
            return
        except OSError:
            self.broken(self.sink)
            return
        self.sink.watch_writes(False)
        self.done = True
        self.delivered()
