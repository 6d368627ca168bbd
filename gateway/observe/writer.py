"""The writer: a bounded queue of jobs that may block, and the thread that does them."""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import attrs
from twisted.logger import Logger

TICK = 0.05  # seconds between two batches: a batch is one write, and an idle gateway hardly wakes
PATIENCE = 2.0  # seconds that the end waits for jobs that are left

# Seconds of work after which the thread rests, and of each rest. While it computes, the reactor waits up to half a
# millisecond for the interpreter at every system call; while it sleeps, the reactor waits for nothing.
SLICE, REST = 0.0003, 0.0001
MANY = 1_000  # jobs of a batch that gets no rest: the writer is behind then, and is not to fall further behind

# Jobs that wait at most. Ten thousand sessions may end in one moment, with two events each, and none of them is to be
# lost while somebody reads. A job is a tuple of values that live anyway, or a line of Twisted's: some 10 MB in all.
LIMIT = 20_000

Job = tuple[Callable[..., object], tuple[object, ...]]


@attrs.define(eq=False)
class Writer:
    """A thread that does jobs in their order, in batches. A job that finds the queue full is dropped, and counted.

    Several may use one writer: the thread runs from the first `start` to the last `stop`.

    :param flush: called after each batch.
    :param dropped: called where jobs are missing, with their number.
    """

    flush: Callable[[], object] = attrs.field(repr=False)
    dropped: Callable[[int], object] = attrs.field(repr=False)
    _jobs: deque[Job] = attrs.field(factory=deque, init=False, repr=False)
    _held: int = attrs.field(default=0, init=False)  # jobs of the batch that is being done
    _missing: int = attrs.field(default=0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)  # of _missing
    _users: int = attrs.field(default=0, init=False)
    _ending: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False, repr=False)
    _log: Logger = attrs.field(factory=lambda: Logger("gateway"), init=False, repr=False)

    def put(self, call: Callable[..., object], *of: object) -> None:
        """Leaves ``call(*of)`` to the thread, unless the queue is full. It never blocks."""
        if len(self._jobs) + self._held < LIMIT:
            self._jobs.append((call, of))
        else:
            with self._lock:
                self._missing += 1

    def must(self, call: Callable[..., object], *of: object) -> None:
        """Leaves ``call(*of)`` to the thread, full or not."""
        self._jobs.append((call, of))

    def start(self) -> None:
        """Starts the thread, unless it runs. Call it in the process that stays, as the user that it stays."""
        self._users += 1
        if self._users == 1:
            self._ending.clear()
            self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
            self._thread.start()

    def stop(self) -> bool:
        """Ends the thread when all is done, but does not wait for long; not while others use it.

        :returns: False if the thread is held up by a job. It is left where it is, and what was behind it is lost.
        """
        self._users = max(0, self._users - 1)
        if self._users or self._thread is None:
            return True
        self._ending.set()
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    @property
    def current(self) -> bool:
        """Whether the thread is the caller."""
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def _run(self) -> None:
        while not self._ending.is_set():
            _sleep(TICK)
            self._work_off()
        while self._jobs or self._missing:
            self._work_off()

    def _work_off(self) -> None:
        """Does the jobs that are there, and counts as full what they fill until they are done.

        So jobs are missing behind a whole batch and before all that follow, where the number is then told.
        """
        while True:
            batch = [self._jobs.popleft() for _ in range(len(self._jobs))]
            self._held = len(batch)
            with self._lock:
                missing, self._missing = self._missing, 0
            if missing:
                batch.append((self.dropped, (missing,)))
            if batch:
                batch.append((self.flush, ()))
            self._do(batch)
            if not self._missing:
                break
        self._held = 0

    def _do(self, batch: Sequence[Job]) -> None:
        unhurried = len(batch) < MANY and not self._ending.is_set()
        rest = time.monotonic() + SLICE
        for call, of in batch:
            try:
                call(*of)
            except Exception:  # a mistake of ours costs one line
                self._log.failure("cannot write")
            if unhurried and time.monotonic() > rest:
                _sleep(REST)
                rest = time.monotonic() + SLICE


def _sleep(seconds: float) -> None:
    select.select((), (), (), seconds)  # whatever is done to the clock; a wait with a lock follows it on some systems
