"""The loads: clients' work on a peer, its rate and its cost.

The clients are processes of their own.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs

from benchmarks.client import Client, Refused
from benchmarks.peers import Running
from benchmarks.processes import memory, settled_cpu
from benchmarks.workers import work

SMALL = "small"
SINK = "/dev/null"
MANY = 32
FEW_IDLE = 10
Figures = Mapping[str, float]


@attrs.frozen
class Extent:
    """The extent of the work.

    :param file: the large file, at the top of the origin's directory.
    :param seconds: the duration of a load that is not one file.
    :param idle: the number of sessions that are idle at once.
    :param idle_forked: the same number where each session is a process.
    :param rounds: the number of times that each load is laid on each peer.
    :param idle_rounds: the same number for idle sessions.
    """

    file: Path
    size: int
    seconds: float
    idle: int
    idle_forked: int
    rounds: int
    idle_rounds: int


Load = Callable[[Running, Extent], Figures]


def retrieve(peer: Running, extent: Extent) -> Figures:
    """Retrieves one large file from the origin."""

    def transfer() -> float:
        with _session(peer) as client:
            size, seconds = client.retrieve(extent.file.name)
        if size != extent.size:
            raise Refused(f"{size} bytes came, and not {extent.size}")
        return seconds

    return _large(peer, "RETR", extent, transfer)


def store(peer: Running, extent: Extent) -> Figures:
    """Stores one large file at the origin."""

    def transfer() -> float:
        with _session(peer) as client:
            return client.store(extent.file, SINK)

    return _large(peer, "STOR", extent, transfer)


def one_session(peer: Running, extent: Extent) -> Figures:
    """Runs one session after another: connect, log in, retrieve a small file, quit."""
    with _Meter(peer) as meter:
        ((count, _, took),) = work(1, lambda: _sessions(peer, extent.seconds))
    return {"session rate": count / took, **meter.each("session CPU", count, 1e3)}


def many_sessions(peer: Running, extent: Extent) -> Figures:
    """Runs such sessions, several at once."""
    with _Meter(peer) as meter:
        results = work(MANY, lambda: _sessions(peer, extent.seconds))
    count, failed, took = sum(r[0] for r in results), sum(r[1] for r in results), max(r[2] for r in results)
    return {
        "32 sessions rate": count / took,
        "32 sessions failed": 100 * failed / (count + failed),
        **meter.each("32 sessions CPU", count, 1e3),
    }


def small_files(peer: Running, extent: Extent) -> Figures:
    """Retrieves small files, one after another in one session."""

    def transfers() -> tuple[int, float]:
        with _session(peer) as client:
            start, count = time.perf_counter(), 0
            while (took := time.perf_counter() - start) < extent.seconds:
                client.retrieve(SMALL)
                count += 1
        return count, took

    with _Meter(peer) as meter:
        ((count, took),) = work(1, transfers)
    return {"small file rate": count / took, **meter.each("small file CPU", count, 1e3)}


def noops(peer: Running, extent: Extent) -> Figures:
    """Sends NOOP, one after another in one session."""

    def commands() -> list[float]:
        with _session(peer) as client:
            return _noops(client, extent.seconds)

    with _Meter(peer) as meter:
        (times,) = work(1, commands)
    p50, p99 = _percentiles(times)
    return {"NOOP p50": p50, "NOOP p99": p99, **meter.each("NOOP CPU", len(times), 1e6)}


def idle(peer: Running, extent: Extent) -> Figures:
    """Holds sessions that do nothing, and one that works beside them.

    Memory is counted from the tenth session on: the first ones bring in memory that is the program's own.
    """

    def sessions() -> Figures:
        many = extent.idle_forked if peer.forks else extent.idle
        with contextlib.ExitStack() as open_sessions:
            active, *_ = (open_sessions.enter_context(_session(peer)) for _ in range(1 + FEW_IDLE))
            few50, few99 = _percentiles(_noops(active, extent.seconds))
            before = None if peer.pid is None else memory(peer.pid)
            for _ in range(many - FEW_IDLE):
                open_sessions.enter_context(_session(peer))
            figures = {"NOOP p50 beside few": few50, "NOOP p99 beside few": few99}
            if not peer.forks:
                many50, many99 = _percentiles(_noops(active, extent.seconds))
                figures |= {"NOOP p50 beside many": many50, "NOOP p99 beside many": many99}
            if peer.pid is not None and before is not None:
                figures["idle memory"] = (memory(peer.pid) - before) / 1024 / (many - FEW_IDLE)
        return figures

    return work(1, sessions)[0]


@attrs.define
class _Meter:
    """A meter of the processor time that a peer's processes use."""

    _peer: Running
    _start: float | None = None
    _seconds: float | None = None

    def __enter__(self) -> _Meter:
        self._start = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        now = self._now()
        self._seconds = None if now is None or self._start is None else now - self._start

    def each(self, figure: str, count: float, parts: float) -> Figures:
        """The processor time for each of so many things, in so many parts of a second; nothing without a peer."""
        return {} if self._seconds is None or not count else {figure: self._seconds * parts / count}

    def _now(self) -> float | None:
        return None if self._peer.pid is None else settled_cpu(self._peer.pid, self._peer.processes)


@contextlib.contextmanager
def _session(peer: Running) -> Iterator[Client]:
    """A session that is logged in, and quits in the end."""
    with Client(peer.host, peer.passive, peer.tls) as client:
        client.login()
        yield client
        client.quit()


def _large(peer: Running, verb: str, extent: Extent, transfer: Callable[[], float]) -> Figures:
    with _Meter(peer) as meter:
        (took,) = work(1, transfer)
    gigabytes = extent.size / 1e9
    return {f"{verb} rate": gigabytes / took, **meter.each(f"{verb} CPU", gigabytes, 1)}


def _sessions(peer: Running, seconds: float) -> tuple[int, int, float]:
    """The number of sessions that succeeded, the number that failed, and the seconds that it took."""
    start, count, failed = time.perf_counter(), 0, 0
    while (took := time.perf_counter() - start) < seconds:
        try:
            with _session(peer) as client:
                client.retrieve(SMALL)
        except (Refused, ConnectionError):
            failed += 1
        else:
            count += 1
    return count, failed, took


def _noops(client: Client, seconds: float) -> list[float]:
    """The seconds that each NOOP took."""
    now = time.perf_counter()
    end, times = now + seconds, []
    while now < end:
        client.command(b"NOOP", b"200")
        times.append(time.perf_counter() - now)
        now += times[-1]
    return times


def _percentiles(times: list[float]) -> tuple[float, float]:
    """The 50th and the 99th percentile, in microseconds."""
    cuts = statistics.quantiles(times, n=100)
    return cuts[49] * 1e6, cuts[98] * 1e6
