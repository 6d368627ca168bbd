"""The watch over the files that access rules use: each is looked at every few seconds, and read again if it changed.

A look happens in a thread, since a file system may hang. A file that cannot be used changes nothing: what was read
before still holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.applications.building import CannotStart
from gateway.files import State, state
from gateway.guard.access_files import AccessFile, AccessFileError, FileKind
from gateway.guard.places import Database
from gateway.net.reactor import Reactor
from gateway.observe.records import AccessFileRead, AccessFileRefused, Note
from gateway.threads import NoThread, in_own_thread

INTERVAL = 10.0  # seconds between two looks at a file

_log = Logger("gateway")


@attrs.frozen(eq=False)
class Look:
    """The outcome of a look at a file.

    :param state: the file's state; None where the file cannot be looked at.
    :param content: what was read; None where the file cannot be used.
    :param reason: why it cannot be used; else None.
    """

    state: State | None
    content: Any = attrs.field(repr=False)
    reason: str | None


def look(kind: FileKind[Any], path: str, before: Look | None) -> Look:
    """Looks at a file. It may block.

    :param before: the last look; the same object is returned if nothing has changed.
    """
    try:
        now = state([Path(path)])
        if before is not None and before.state == now:
            return before
        return Look(now, kind.read(path), None)
    except OSError as error:
        found = Look(None, None, f"{path}: {error.strerror}")
    except AccessFileError as error:
        # A file that could not be read, for want of a descriptor say, is tried again though it does not change.
        found = Look(None if isinstance(error.__cause__, OSError) else now, None, str(error))
    if before is not None and (before.state, before.reason) == (found.state, found.reason):
        return before
    return found


@attrs.define(eq=False)
class Watch:
    """The watch over one file.

    :param file: the file with the content that holds now.
    :param last: the last look at it.
    :param note: writes an event down.
    """

    kind: FileKind[Any]
    file: AccessFile[Any]
    last: Look = attrs.field(repr=False)
    note: Note = attrs.field(repr=False)
    _loop: LoopingCall | None = attrs.field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, kind: FileKind[Any], path: str, note: Note) -> Watch:
        """Reads the file for the first time. It may block.

        :raises CannotStart: where the file cannot be used.
        """
        first = look(kind, path, None)
        if first.reason is not None:
            raise CannotStart(first.reason)
        return cls(kind, AccessFile(path, first.content), first, note)

    def look(self) -> Look:
        """Looks at the file; changes nothing, and may block."""
        return look(self.kind, self.file.path, self.last)

    def start(self, reactor: Reactor) -> None:
        """Looks at the file every few seconds, and never twice at the same time."""
        self._loop = LoopingCall(self._look, reactor)
        self._loop.clock = reactor
        self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Looks no more."""
        if self._loop is not None:
            self._loop.stop()
            self._loop = None

    def take(self, before: Look, now: Look) -> None:
        """Takes what a look found, and writes it down; unless another look came between, which knows better.

        :param before: the last look when this one began.
        """
        if now is before or before is not self.last:
            return
        self.last = now
        if now.reason is not None:
            self.note(AccessFileRefused(self.file.path, now.reason))
        elif before.reason is not None or now.content is not self.file.content:
            self.file.content = now.content
            self.note(_read(self.file))

    def _look(self, reactor: Reactor) -> Deferred[None]:
        before = self.last

        def looked(now: Look) -> None:
            if self._loop is not None:
                self.take(before, now)

        def failed(failure: Failure) -> None:  # the next look may do better
            if failure.check(NoThread):
                _log.error("cannot look at {path}: {reason}", path=self.file.path, reason=failure.value)
            else:  # a mistake of ours
                _log.failure("a look at {path} failed", failure, path=self.file.path)

        return in_own_thread(reactor, self.look).addCallback(looked).addErrback(failed)


def _read(file: AccessFile[Any]) -> AccessFileRead:
    if isinstance(file.content, Database):
        return AccessFileRead(file.path, built=file.content.built)
    return AccessFileRead(file.path, networks=len(file.content))
