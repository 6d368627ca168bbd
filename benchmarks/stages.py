"""The stages: for each origin, the peers in front of it and the loads that are laid on them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import attrs

from benchmarks import load, reloading, starting
from benchmarks.figures import Results
from benchmarks.load import Extent, Load
from benchmarks.network import CONTROL, DATA, ORIGIN, PASSWORD, USER
from benchmarks.peers import GATEWAY, PLAIN, SPLICE, TLS, TUNED, Peer, Running
from benchmarks.processes import DidNotStart, running, tree
from benchmarks.setups import PYTHON
from benchmarks.workers import WorkFailed
from tests.kit.servers.daemons import vsftpd
from tests.kit.servers.sandbox import obstacle

ONE_CORE = (load.one_session, load.small_files, load.noops, load.idle)
"""The loads that go to and fro and keep at most one core busy: they are held on one, client and origin included.

In a virtual machine it may cost more to wake another core than a relay takes for the command itself, and the
scheduler decides how often that happens.
"""


class NoOrigin(Exception):
    """An origin that cannot run. The text says why."""


@contextlib.contextmanager
def large_origin(extent: Extent) -> Iterator[None]:
    """vsftpd, which sends files by sendfile(2), here from memory; it logs no transfers."""
    if not vsftpd.path.exists():
        raise NoOrigin("vsftpd is not installed")
    if why := obstacle():
        raise NoOrigin(f"vsftpd: {why}")
    # In a chroot it would not find the device that takes the stored bytes.
    settings = {"chroot_local_user": "NO", "xferlog_enable": "NO"}
    root = extent.file.parent
    with vsftpd(root, ORIGIN, CONTROL, passive_ports=DATA, user=USER, password=PASSWORD, settings=settings):
        yield


@contextlib.contextmanager
def light_origin(_: Extent) -> Iterator[None]:
    """The light origin of the tests."""
    numbers = map(str, (CONTROL, DATA[0], DATA[-1]))
    with running([*PYTHON, "tests.kit.light_origin", ORIGIN, *numbers], (ORIGIN, CONTROL)):
        yield


@attrs.frozen
class Stage:
    """The loads that are laid on the same peers, in front of the same origin.

    :param prefix: the beginning of its figures' names.
    :param anew: whether the peers are started for each round, because a round leaves traces in them.
    """

    name: str
    origin: Callable[[Extent], AbstractContextManager[None]]
    peers: Sequence[Peer]
    loads: Sequence[Load]
    prefix: str = ""
    anew: bool = False

    def rounds(self, extent: Extent) -> int:
        """The number of rounds."""
        return extent.idle_rounds if self.anew else extent.rounds

    def steps(self, extent: Extent) -> int:
        """The number of times that a load is laid on a peer."""
        return self.rounds(extent) * len(self.peers) * len(self.loads)

    def run(self, extent: Extent, results: Results, tell: Callable[[str], None]) -> None:
        """Measures, peer by peer; `tell` is called before each step with the step's name."""
        rounds = self.rounds(extent)
        try:
            with self.origin(extent):
                if self.anew:
                    for peer in (*self.peers,) * rounds:
                        self._measure([peer], 1, extent, results, tell)
                else:
                    self._measure(self.peers, rounds, extent, results, tell)
        except (NoOrigin, RuntimeError) as error:
            results.missing[self.name] = str(error)

    def _measure(
        self,
        peers: Sequence[Peer],
        rounds: int,
        extent: Extent,
        results: Results,
        tell: Callable[[str], None],
    ) -> None:
        with contextlib.ExitStack() as stack:
            up = []
            for peer in peers:
                try:
                    if peer.missing is not None:
                        raise DidNotStart(peer.missing)
                    up.append(stack.enter_context(peer()))
                except DidNotStart as error:
                    results.missing[peer.name] = str(error)
            for laid in self.loads:
                with _on_one_core() if laid in ONE_CORE else contextlib.nullcontext():
                    for each in up * rounds:
                        tell(f"{self.name}: {laid.__name__.replace('_', ' ')}, {each.name}")
                        self._lay(laid, each, extent, results)

    def _lay(self, laid: Load, peer: Running, extent: Extent, results: Results) -> None:
        try:
            for figure, value in laid(peer, extent).items():
                results.add(self.prefix + figure, peer.name, value)
        except (WorkFailed, DidNotStart, OSError) as error:
            results.missing[f"{peer.name}, {laid.__name__.replace('_', ' ')}"] = str(error)


@contextlib.contextmanager
def _on_one_core() -> Iterator[None]:
    """Keeps this process, and all that it started, on one of the cores that they may use."""
    every = os.sched_getaffinity(0)
    _hold({max(every)})
    try:
        yield
    finally:
        _hold(every)


def _hold(cores: set[int]) -> None:
    for process in tree(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(process, cores)


STAGES = (
    Stage("large", large_origin, (*PLAIN, *TUNED), (load.retrieve, load.store)),
    Stage("large-tls", large_origin, TLS, (load.retrieve, load.store), prefix="TLS "),
    Stage("sessions", light_origin, PLAIN, (load.one_session, load.many_sessions, load.small_files, load.noops)),
    # The splice loop has six descriptors for each session, more than one process may have for so many sessions.
    Stage("idle", light_origin, [peer for peer in PLAIN if peer is not SPLICE], (load.idle,), anew=True),
    Stage("idle-tls", light_origin, TLS, (load.idle,), prefix="TLS ", anew=True),
    Stage("start", light_origin, (GATEWAY,), (starting.ready,)),
    Stage("reload", light_origin, (GATEWAY,), (reloading.few, reloading.many)),
)
