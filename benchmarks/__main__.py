"""The benchmark's command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from benchmarks import chart, terminal
from benchmarks.circumstances import circumstances, stolen
from benchmarks.figures import Results
from benchmarks.load import Extent
from benchmarks.rows import PEERS
from benchmarks.stages import STAGES, Stage

FULL = Extent(Path(), 1 << 30, seconds=2.0, idle=5000, idle_forked=200, rounds=5, idle_rounds=2)
QUICK = Extent(Path(), 1 << 28, seconds=0.5, idle=1000, idle_forked=50, rounds=1, idle_rounds=1)


def main() -> None:
    """Measures the stages that the command line names, and shows the results."""
    asked = _arguments()
    extent = QUICK if asked.quick else FULL
    if asked.rounds:
        extent = attrs.evolve(extent, rounds=asked.rounds, idle_rounds=min(asked.rounds, extent.idle_rounds))
    _raise_open_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # then every started program is ended
    results = Results(circumstances(extent))
    stages = list(_chosen(asked.only))
    before = stolen()
    steps = sum(stage.steps(extent) for stage in stages)
    with _large_file(extent.size) as file, terminal.progress(steps) as tell:
        for stage in stages:
            stage.run(attrs.evolve(extent, file=file), results, tell)
    gone, passed = (after - at_first for after, at_first in zip(stolen(), before, strict=True))
    results.circumstances["Taken by the host meanwhile"] = f"{100 * gone / passed:.1f} % of the processors' time"
    terminal.show(results)
    if asked.json:
        asked.json.write_text(json.dumps(results.json(), indent=1, ensure_ascii=False) + "\n")
    if asked.svg:
        asked.svg.write_text(chart.draw(results))


def _arguments() -> argparse.Namespace:
    names = [*(stage.name for stage in STAGES), *(name.replace(" ", "-") for name in PEERS)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the gateway and its peers.")
    parser.add_argument("--quick", action="store_true", help="a short run to try it out; do not quote its figures")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each load for each peer")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=[],
        metavar="NAME",
        help=f"stages, peers or both: {', '.join(names)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every round as JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the medians as a chart")
    return parser.parse_args()


def _chosen(only: list[str]) -> Iterator[Stage]:
    """The named stages, or all; with the named peers, or all."""
    stages = [stage for stage in STAGES if stage.name in only] or STAGES
    for stage in stages:
        peers = [peer for peer in stage.peers if peer.name.replace(" ", "-") in only]
        if peers or not set(only) - {stage.name for stage in STAGES}:
            yield attrs.evolve(stage, peers=peers or stage.peers)


@contextlib.contextmanager
def _large_file(size: int) -> Iterator[Path]:
    """A file in memory whose size nothing can change."""
    with tempfile.TemporaryDirectory(prefix="ftp-bench-", dir="/dev/shm") as directory:
        path = Path(directory, "large")
        with path.open("wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))
        yield path


def _raise_open_files() -> None:
    """Raises the limit of open files as far as it goes, for thousands of sessions; later programs inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
