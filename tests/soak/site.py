"""The gateway, the origin and their clients, each a process of its own; and their sizes.

SOAK_SHARE, from 0 to 1, makes everything smaller: 0.1 is for work on these tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from tests.kit.gateway import application
from tests.kit.programs import BIN, Program, assert_no_traceback, environment, running, until

ROOT = Path(__file__).parents[2]
GATEWAY, ORIGIN = ("127.0.0.1", 2121), ("127.0.0.2", 2100)
OTHERS, THEIR_ORIGIN = ("127.0.0.1", 2122), ("127.0.0.3", 2100)  # those who are in nobody's way
PORTS, THEIR_PORTS = range(10000, 25000), range(25000, 25100)
PATIENCE = 120.0  # seconds, for what takes long

SHARE = float(os.environ.get("SOAK_SHARE", "1"))
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
SPARE = 500  # descriptors of a process besides those of the sessions that are counted


def share(full: int) -> int:
    """So much of the full number."""
    return max(1, round(full * SHARE))


@attrs.define(eq=False)
class Site:
    """What runs."""

    gateway: Program
    directory: Path
    nice: int
    _origin: contextlib.ExitStack = attrs.field(factory=contextlib.ExitStack)

    def program(self, name: str, *arguments: object) -> contextlib.AbstractContextManager[Program]:
        """One of the programs of this directory."""
        return self._run(f"tests.soak.{name}", *arguments)

    def _run(self, module: str, *arguments: object) -> contextlib.AbstractContextManager[Program]:
        command = (sys.executable, "-m", module, *map(str, arguments))
        return running(*command, directory=self.directory, env=environment(PYTHONPATH=str(ROOT)), talk=True)

    def start_origin(self) -> None:
        """Returns once it listens."""
        self._origin.enter_context(self._light_origin(ORIGIN, PORTS, self.nice)).out.wait("ready")

    @contextlib.contextmanager
    def their_origin(self) -> Iterator[None]:
        """The origin that only the others come to."""
        with self._light_origin(THEIR_ORIGIN, THEIR_PORTS, 0) as origin:
            origin.out.wait("ready")
            yield

    def _light_origin(
        self, place: tuple[str, int], ports: range, nice: int
    ) -> contextlib.AbstractContextManager[Program]:
        return self._run("tests.kit.light_origin", *place, ports[0], ports[-1], f"--nice={nice}")

    def kill_origin(self) -> None:
        """At once."""
        self._origin.close()

    @property
    def descriptors(self) -> int:
        """How many the gateway has."""
        return len(list(Path(f"/proc/{self.gateway.process.pid}/fd").iterdir()))

    @property
    def memory(self) -> int:
        """How much of the gateway is in memory, in KiB."""
        status = Path(f"/proc/{self.gateway.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    @property
    def processor(self) -> float:
        """How many seconds of a processor the gateway took so far."""
        fields = Path(f"/proc/{self.gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def settle(self, descriptors: int) -> None:
        """Waits until the gateway has no more than these."""
        until(lambda: self.descriptors <= descriptors)


def result(program: Program, end: bool = False) -> dict[str, Any]:
    """What a program says at its end, which is waited for.

    :param end: whether it is told to end.
    """
    if end:
        assert program.process.stdin is not None
        program.process.stdin.close()
    code = program.process.wait(PATIENCE)
    program.out.close()
    assert code == 0
    outcome: dict[str, Any] = json.loads(program.out.lines[-1])
    print(program.process.args, outcome)
    return outcome


# All load comes from one address.
_UNLIMITED = "limits = { connects_per_minute_per_client = 0, data_ports_per_client = 0 }"


@contextlib.contextmanager
def site(directory: Path, more: str = "", nice: int = 0) -> Iterator[Site]:
    """A gateway and an origin. At the end the gateway has said nothing that it should not.

    :param more: of its configuration.
    :param nice: of the origin.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))  # what runs inherits it
    toml = application(ORIGIN, PORTS, listen=_endpoint(GATEWAY), more=f"{_UNLIMITED}\n{more}")
    toml += application(
        THEIR_ORIGIN, THEIR_PORTS, listen=_endpoint(OTHERS), name="others.example.com", more=_UNLIMITED
    )
    (directory / "gateway.toml").write_text(toml)
    log = directory / "gateway.log"
    log.touch()
    command = (BIN / "twistd", "-n", "--pidfile=", "ftp-gateway", "--config=gateway.toml")
    try:
        with running("sh", "-c", 'exec "$@" >gateway.log 2>&1', "sh", *command, directory=directory) as gateway:
            until(lambda: "ftp-gateway ready: " in log.read_text())
            ours = Site(gateway, directory, nice)
            ours.start_origin()
            try:
                yield ours
            finally:
                ours.kill_origin()
            assert gateway.stop() == 0
            assert_no_traceback(log.read_text().splitlines())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, DESCRIPTORS))


def _endpoint(place: tuple[str, int]) -> str:
    host, port = place
    return f"tcp:{port}:interface={host}"
