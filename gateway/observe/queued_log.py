"""The queued log: between Twisted's log and its observers stands the writer, so that a log line never blocks."""

from __future__ import annotations

import attrs
from twisted.logger import ILogObserver, LogEvent, LogPublisher, globalLogPublisher
from zope.interface import implementer

from gateway.observe.writer import Writer


@implementer(ILogObserver)
@attrs.define(eq=False)
class QueuedLog:
    """An observer that hands each line to the writer's thread, which tells the observers that were there before.

    It is for a whole process, up to its end: the last lines may meet a reader that stalls, too. An observer that
    comes later is told directly.
    """

    writer: Writer
    publisher: LogPublisher = globalLogPublisher
    _observers: LogPublisher = attrs.field(factory=LogPublisher, init=False, repr=False)

    def begin(self) -> None:
        """Takes the place of the present observers."""
        self.writer.start()
        # Nothing public tells the observers. Without this list, lines go on being written directly. It is replaced as
        # a whole, since another thread may be going through it.
        if isinstance(observers := getattr(self.publisher, "_observers", None), list):
            self._observers = LogPublisher(*observers)
            self.publisher._observers = [self]

    def end(self) -> bool:
        """Writes out what is left; returns False if that does not end."""
        return self.writer.stop()

    def __call__(self, event: LogEvent) -> None:
        if self.writer.current:
            self._observers(event)
        else:
            self.writer.put(self._observers, event.copy())  # observers that are told directly may add to theirs
