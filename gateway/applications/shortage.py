"""The shortage of descriptors: new connections are refused, and an event a minute says how many."""

from __future__ import annotations

import contextlib
import os
import socket

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gateway.net.clock import call_off
from gateway.observe.records import DescriptorsExhausted, Note

_INTERVAL = 60.0  # seconds between two events
_AT_ONCE = 1024  # connections that are refused before anything else has its turn: as many as wait at a port


@attrs.define(eq=False)
class Shortage:
    """The descriptor that is spared for a shortage, and the count of the connections that were refused.

    A client that is refused knows at once. Otherwise it would wait for a greeting until somebody else goes.

    :param note: writes an event down.
    """

    reactor: IReactorTime = attrs.field(repr=False)
    note: Note = attrs.field(repr=False)
    _spare: int | None = attrs.field(default=None, init=False)
    _refused: int | None = attrs.field(default=None, init=False)  # since the last event; None: there was no shortage
    _timer: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def prepare(self) -> None:
        """Spares a descriptor, while there is one."""
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)

    def refuse(self, listening: socket.socket) -> bool:
        """Closes the connections that wait at a socket, perhaps none; gives whether it could."""
        refused, could = 0, True
        self._give_up_spare()
        try:
            while refused < _AT_ONCE:
                connection, _ = listening.accept()
                connection.close()
                refused += 1
        except BlockingIOError:
            pass  # nobody waits any more
        except OSError:
            could = False
        self.prepare()
        if refused or not could:
            self._refused = (self._refused or 0) + refused
            if self._timer is None:
                self._tell()
        return could

    def close(self) -> None:
        """Tells of those who were not told of yet, and spares no descriptor any more."""
        call_off(self._timer)
        self._timer = None
        self._write_down()
        self._give_up_spare()

    def _tell(self) -> None:
        self._timer = self.reactor.callLater(_INTERVAL, self._tell) if self._write_down() else None

    def _write_down(self) -> bool:
        """Writes the event, and gives whether there was a shortage since the last one."""
        refused, self._refused = self._refused, None
        if refused is None:
            return False
        self.note(DescriptorsExhausted(refused))
        return True

    def _give_up_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
