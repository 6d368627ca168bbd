"""The loads: what a client does to a peer, and what that gave and cost.

Each runs in a process of its own, so that this one's progress bar costs it nothing.
"""

from __future__ import annotations

import multiprocessing
import ssl
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from benchmarks.client import Client
from benchmarks.peers import Running
from benchmarks.processes import settled_cpu

SMALL = "small"
LARGE = Path("/dev/shm/ftp-bench.bin")
SINK = "/dev/null"
GIGA = 1e9

_fork = multiprocessing.get_context("fork")
Figures = Mapping[str, float]


@attrs.frozen
class Target:
    """Where a load goes."""

    peer: Running
    tls: ssl.SSLContext | None = None

    def client(self) -> Client:
        """A session that is logged in."""
        client = Client(self.peer.host, self.peer.passive, self.tls)
        client.login()
        return client

    def cpu(self) -> float | None:
        """Seconds of processor time so far, of what is between client and origin."""
        return None if self.peer.pid is None else settled_cpu(self.peer.pid, self.peer.processes)


def retrieve(target: Target, seconds: float) -> Figures:
    """One large file from the origin."""
    return _bulk(target, "RETR", _retrieve_large)


def store(target: Target, seconds: float) -> Figures:
    """One large file to the origin."""
    return _bulk(target, "STOR", _store_large)


def sessions(target: Target, seconds: float) -> Figures:
    """Connect, log in, one small file, quit: one session at a time, and then 32 at once."""
    figures: dict[str, float] = {}
    for clients in (1, 32):
        before = target.cpu()
        count, took = _together(clients, _sessions, target, seconds)
        figures[f"sessions/s, {clients} at once"] = count / took
        _charge(figures, f"CPU ms/session, {clients} at once", target, before, count / 1000)
    return figures


def small_files(target: Target, seconds: float) -> Figures:
    """Files of 1 KiB, one after another, in one session."""
    before = target.cpu()
    count, took = _together(1, _small_files, target, seconds)
    figures = {"small files/s": count / took}
    _charge(figures, "CPU ms/small file", target, before, count / 1000)
    return figures


def noops(target: Target, seconds: float) -> Figures:
    """NOOP, one after another, in one session."""
    before = target.cpu()
    (times,) = _parallel(1, _noops, target, seconds)
    figures = latency(times)
    _charge(figures, "CPU µs/NOOP", target, before, len(times) / 1e6)
    return figures


def latency(times: list[float]) -> dict[str, float]:
    """The figures of round trips that took so many seconds each."""
    cuts = statistics.quantiles(times, n=100)
    return {"NOOP p50 µs": cuts[49] * 1e6, "NOOP p99 µs": cuts[98] * 1e6}


def _bulk(target: Target, verb: str, transfer: Callable[..., tuple[int, float]]) -> Figures:
    before = target.cpu()
    ((size, took),) = _parallel(1, transfer, target, 0)
    figures = {f"{verb} GB/s": size / took / GIGA}
    _charge(figures, f"{verb} CPU s/GB", target, before, size / GIGA)
    return figures


def _charge(figures: dict[str, float], name: str, target: Target, before: float | None, amount: float) -> None:
    after = target.cpu()
    if before is not None and after is not None:
        figures[name] = (after - before) / amount


def _together(clients: int, work: Callable[..., tuple[int, float]], *arguments: Any) -> tuple[int, float]:
    """How much they did, and the seconds that the slowest took."""
    results = _parallel(clients, work, *arguments)
    return sum(count for count, _ in results), max(took for _, took in results)


def _parallel(clients: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Lets so many processes do the work, all from the same moment on; gives what each of them returned.

    :raises RuntimeError: where one of them failed.
    """
    barrier = _fork.Barrier(clients)
    pipes = []
    for _ in range(clients):
        ours, theirs = _fork.Pipe(duplex=False)
        process = _fork.Process(target=_work, args=(barrier, theirs, work, arguments))
        process.start()
        theirs.close()
        pipes.append((process, ours))
    results = []
    for process, ours in pipes:
        try:
            results.append(ours.recv())
        except EOFError:
            results.append(RuntimeError("a client died"))
        process.join()
        ours.close()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def _work(barrier: Any, answer: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    barrier.wait()
    try:
        answer.send(work(*arguments))
    except Exception as error:
        answer.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _retrieve_large(target: Target, _: float) -> tuple[int, float]:
    with target.client() as client:
        result = client.retrieve(LARGE.name)
        client.quit()
    return result


def _store_large(target: Target, _: float) -> tuple[int, float]:
    with target.client() as client:
        took = client.store(LARGE, SINK)
        client.quit()
    return LARGE.stat().st_size, took


def _sessions(target: Target, seconds: float) -> tuple[int, float]:
    start, count = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < seconds:
        with target.client() as client:
            client.retrieve(SMALL)
            client.quit()
        count += 1
    return count, took


def _small_files(target: Target, seconds: float) -> tuple[int, float]:
    with target.client() as client:
        start, count = time.perf_counter(), 0
        while (took := time.perf_counter() - start) < seconds:
            client.retrieve(SMALL)
            count += 1
        client.quit()
    return count, took


def _noops(target: Target, seconds: float) -> list[float]:
    with target.client() as client:
        now = time.perf_counter()
        end, times = now + seconds, []
        while now < end:
            client.command(b"NOOP", b"200")
            times.append(time.perf_counter() - now)
            now += times[-1]
        client.quit()
    return times
