"""A reactor for unit tests that watches real sockets; the test moves its clock and its turns."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from zope.interface import implementer

from tests.kit import PATIENCE


@implementer(IReactorFDSet)
class ManualReactor(Clock):
    """A reactor that turns only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, reader: IReadDescriptor) -> None:
        self.readers.add(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        self.writers.add(writer)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        self.writers.discard(writer)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        raise NotImplementedError

    def getReaders(self) -> list[IReadDescriptor]:
        return list(self.readers)

    def getWriters(self) -> list[IWriteDescriptor]:
        return list(self.writers)

    def turn(self, patience: float = PATIENCE) -> bool:
        """Runs the due calls, then the ready sockets; gives whether there was anything to do."""
        due = bool(self.getDelayedCalls())
        self.advance(0)
        ready = select.select(self.readers, self.writers, [], 0 if due else patience)
        for reader in ready[0]:
            if reader in self.readers:
                reader.doRead()
        for writer in ready[1]:
            if writer in self.writers:
                writer.doWrite()
        return due or any(ready)

    def until(self, happened: Callable[[], object]) -> None:
        """Turns until the condition holds."""
        while not happened():
            assert self.turn(), "nothing happens any more"
