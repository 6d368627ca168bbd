"""Events and the log while nobody reads them: the gateway goes on, and tells how much it did not write."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import attrs
import pytest

from gateway.addresses import SocketAddress
from tests.kit import PATIENCE
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import application
from tests.kit.ports import take
from tests.kit.programs import BIN, NET, Program, environment, ready, running, until

GATEWAY = ("ftp-gateway", "--config", "gateway.toml")
TWISTD = (str(BIN / "twistd"), "-n", *GATEWAY)
TWIST = (str(BIN / "twist"), "--log-format=text", *GATEWAY)
PORT, DATA_PORT = take(2)
CONNECTS = 3000
REFUSALS = 8  # of each session: with the connect and the disconnect, 30,000 events
SESSION = ["connect", *["commandRefused"] * REFUSALS, "disconnect"]
_hosts = (f"{NET}.{number}" for number in count(100))
_clients = (f"127.77.{number // 250}.{number % 250 + 1}" for number in count())


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketAddress]:
    """The address of a light origin."""
    address, ports = (f"{NET}.99", take(1)[0]), take(2)
    command = (sys.executable, "-m", "tests.kit.light_origin", *address, *ports)
    env = environment(PYTHONPATH=str(Path(__file__).parents[2]))
    with running(*map(str, command), directory=tmp_path_factory.mktemp("origin"), env=env) as program:
        program.out.wait("ready")
        yield address


@pytest.fixture
def place(tmp_path: Path, origin: SocketAddress) -> SocketAddress:
    """The address at which the gateway of the configuration listens."""
    host = next(_hosts)
    more = "[application.limits]\nconnects_per_minute_per_client = 0"
    text = application(origin, range(DATA_PORT, DATA_PORT + 1), listen=f"tcp:{PORT}:interface={host}", more=more)
    (tmp_path / "gateway.toml").write_text(text)
    return host, PORT


def write_events_to(path: Path, directory: Path) -> None:
    """Adds the file of events to the configuration."""
    with (directory / "gateway.toml").open("a") as file:
        file.write(f'[events]\npath = "{path}"\n')


@attrs.define(eq=False)
class Unread:
    """A pipe that is read only when the test says so."""

    descriptor: int
    received: bytes = b""

    def read(self, until: bytes | None = None) -> list[str]:
        """Reads up to a line that holds the text, or to the end; gives all lines so far."""
        while until is None or until not in self.received or not self.received.endswith(b"\n"):
            assert select.select([self.descriptor], [], [], PATIENCE)[0], self.received[-1000:]
            if not (part := os.read(self.descriptor, 1 << 16)):
                break
            self.received += part
        return self.received.decode().splitlines()


@contextmanager
def unread(directory: Path, runner: Sequence[str] = TWISTD) -> Iterator[tuple[subprocess.Popen[bytes], Unread]]:
    """A gateway whose standard output is read until it is ready, and then no more."""
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        runner, cwd=directory, env=environment(), stdin=subprocess.DEVNULL, stdout=write_end, stderr=subprocess.PIPE
    ) as process:
        os.close(write_end)
        try:
            out = Unread(read_end)
            out.read(b"ftp-gateway ready: ")
            yield process, out
        finally:
            process.kill()
            os.close(read_end)


def visit(place: SocketAddress, refusals: int = 0) -> None:
    """Makes a whole session of a new client, in which so many commands are refused; each answer comes promptly."""
    began = time.monotonic()
    with Conversation(connect(place, next(_clients))) as client:
        assert client.reply() == b"220 Ready."
        client.send(b"PORT 1\r\n" * refusals + b"QUIT\r\n")
        for _ in range(refusals):
            assert client.reply().startswith(b"502")
        assert client.reply() == b"221 Bye."
        assert client.at_end()
    assert time.monotonic() - began < 5


def greeting(place: SocketAddress) -> bytes:
    """The first line that a client reads; it goes at once."""
    with Conversation.to(place) as client:
        return client.line()


def flood(place: SocketAddress) -> None:
    """Makes more events than pipe and queue hold."""
    for _ in range(CONNECTS):
        visit(place, REFUSALS)


def in_text(lines: list[str]) -> list[tuple[int, str]]:
    """The session and the name of each event in the log."""
    found = (re.search(r"\[ftp\.example\.com\] (\w+) session=(\d+) ", line) for line in lines)
    return [(int(match[2]), match[1]) for match in found if match]


def in_json(lines: list[str]) -> list[tuple[int, str]]:
    """The session and the name of each event in a file."""
    return [(event["session"], event["event"]) for event in map(json.loads, lines) if "session" in event]


def sessions(*numbers: int) -> list[tuple[int, str]]:
    """The events of these sessions, one session after the other."""
    return [(number, event) for number in numbers for event in SESSION]


def assert_told(events: list[tuple[int, str]], dropped: list[int]) -> None:
    """Checks that the first events are there, then come some that were dropped, then the last session's."""
    (count,) = dropped
    kept, last = events[: -len(SESSION)], events[-len(SESSION) :]
    assert kept == sessions(*range(1, CONNECTS + 1))[: len(kept)]
    assert len(kept) + count == CONNECTS * len(SESSION)
    assert last == sessions(CONNECTS + 1)


# A reader that stalls


def test_a_stalled_reader_of_the_log_stops_nobody(tmp_path: Path, place: SocketAddress) -> None:
    with unread(tmp_path) as (process, out):
        flood(place)
        dropped = out.read(b"eventsDropped")
        visit(place, REFUSALS)
        process.send_signal(signal.SIGTERM)
        lines = out.read()
        assert process.wait(PATIENCE) == 0
    told = [line for line in lines if "eventsDropped" in line]
    assert told == dropped[-1:]
    assert_told(in_text(lines), [int(line.rpartition("count=")[2]) for line in told])
    assert "Server Shut Down." in lines[-1]


def test_a_stalled_reader_of_events_stops_nobody(tmp_path: Path, place: SocketAddress) -> None:
    """Here it has not even come."""
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    write_events_to(fifo, tmp_path)
    with running(*TWISTD, directory=tmp_path) as program:
        ready(program)
        flood(place)
        events = Unread(os.open(fifo, os.O_RDONLY))
        events.read(b"eventsDropped")
        visit(place, REFUSALS)
        program.tell(signal.SIGTERM)
        lines = events.read()
        os.close(events.descriptor)
        assert program.exit() == 0
        log = program.out.lines
    dropped = [json.loads(line)["count"] for line in lines if "eventsDropped" in line]
    assert_told(in_json(lines), dropped)
    assert in_text(log) == in_json(lines)


# The end


@pytest.mark.parametrize("runner", [TWISTD, TWIST], ids=["twistd", "twist"])
def test_sigterm_ends_a_gateway_whose_log_nobody_reads(
    runner: Sequence[str], tmp_path: Path, place: SocketAddress
) -> None:
    with unread(tmp_path, runner) as (process, _):
        for _ in range(200):
            visit(place, REFUSALS)  # more than a pipe holds
        file = tmp_path / "gateway.toml"
        file.write_text(file.read_text().replace("[application.limits]", 'banner = "changed"\n[application.limits]'))
        process.send_signal(signal.SIGHUP)  # of which the reactor's own thread has a line for the log
        until(lambda: greeting(place) == b"220 changed")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 6
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert not (tmp_path / "twistd.pid").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_up_to_the_very_end_do_not_change_the_exit_code(
    number: signal.Signals, tmp_path: Path, place: SocketAddress
) -> None:
    with running(*TWISTD, directory=tmp_path) as program:
        ready(program)
        while program.process.poll() is None:
            program.tell(number)
            with suppress(subprocess.TimeoutExpired):  # a flood would meet its own handler at work
                program.process.wait(0.002)
        assert program.exit() == 0
        assert program.err.lines == []


def test_sigterm_ends_a_gateway_whose_events_nobody_reads(tmp_path: Path, place: SocketAddress) -> None:
    os.mkfifo(tmp_path / "events")
    write_events_to(tmp_path / "events", tmp_path)
    with running(*TWISTD, directory=tmp_path) as program:
        ready(program)
        for _ in range(200):
            visit(place, REFUSALS)
        began = time.monotonic()
        assert program.stop() == 0
        assert time.monotonic() - began < 6
        assert program.err.lines == []


def test_sigterm_loses_nothing_that_is_read(tmp_path: Path, place: SocketAddress) -> None:
    write_events_to(tmp_path / "events", tmp_path)
    with running(*TWISTD, directory=tmp_path) as program:
        ready(program)
        clients = [Conversation.to(place) for _ in range(200)]
        for client in clients:
            assert client.reply() == b"220 Ready."
        assert program.stop() == 0  # all of them end at once
        log = program.out.lines
    for client in clients:
        client.close()
    events = in_json((tmp_path / "events").read_text().splitlines())
    assert in_text(log) == events
    for name in ("connect", "disconnect"):
        assert sorted(number for number, event in events if event == name) == [*range(1, 201)]
    assert "Server Shut Down." in log[-1]


def test_sigkill_loses_the_last_moment_alone(tmp_path: Path, place: SocketAddress) -> None:
    write_events_to(tmp_path / "events", tmp_path)
    killed = []
    with running(*TWISTD, directory=tmp_path) as program:
        ready(program)
        began = time.monotonic()
        while time.monotonic() - began < 1:
            visit(place)
            killed.append(time.monotonic())
        program.tell(signal.SIGKILL)
        program.exit()
    written = [number for number, event in in_json((tmp_path / "events").read_text().splitlines()) if "dis" in event]
    assert written == [*range(1, len(written) + 1)]
    assert len(written) >= sum(end < killed[-1] - 0.5 for end in killed) > 0  # 0.1 s, on a machine with much to do


# The file of events


def test_others_may_not_read_the_events(tmp_path: Path, place: SocketAddress) -> None:
    write_events_to(tmp_path / "events", tmp_path)
    with running("bash", "-c", 'umask 0; exec "$@"', "bash", *TWISTD, directory=tmp_path) as program:
        ready(program)
        assert (tmp_path / "events").stat().st_mode & 0o777 == 0o640
        assert program.stop() == 0


def reload(program: Program, times: int = 1) -> None:
    program.tell(signal.SIGHUP)
    program.out.wait("configuration reloaded: ", times)


def test_a_reload_divides_the_events_in_order(tmp_path: Path, place: SocketAddress) -> None:
    path, old = tmp_path / "events", tmp_path / "events.1"
    write_events_to(path, tmp_path)
    with running(*TWISTD, directory=tmp_path) as program:
        ready(program)
        for _ in range(100):
            visit(place, REFUSALS)
        path.rename(old)
        reload(program)
        visit(place, REFUSALS)
        assert program.stop() == 0
    assert in_json(old.read_text().splitlines()) == sessions(*range(1, 101))
    assert in_json(path.read_text().splitlines()) == sessions(101)


def test_a_reload_does_not_wait_for_a_reader(tmp_path: Path, place: SocketAddress) -> None:
    with running(*TWISTD, directory=tmp_path) as program:
        ready(program)
        os.mkfifo(tmp_path / "events")
        write_events_to(tmp_path / "events", tmp_path)
        reload(program)
        reload(program, 2)
        visit(place, REFUSALS)
        events = Unread(os.open(tmp_path / "events", os.O_RDONLY))
        assert in_json(events.read(b"disconnect")) == sessions(1)
        os.close(events.descriptor)
        visit(place, REFUSALS)  # for the next reader
        events = Unread(os.open(tmp_path / "events", os.O_RDONLY))
        assert in_json(events.read(b"disconnect")) == sessions(2)
        os.close(events.descriptor)
        assert program.stop() == 0


def test_a_full_disk_is_told_now_and_then(tmp_path: Path, place: SocketAddress) -> None:
    write_events_to(Path("/dev/full"), tmp_path)
    with running(*TWISTD, directory=tmp_path) as program:
        ready(program)
        until(lambda: visit(place) is None and any("cannot write" in line for line in program.out.lines))
        for _ in range(50):
            visit(place, REFUSALS)
        assert program.stop() == 0
        told = [line for line in program.out.lines if "cannot write" in line]
    first, last = (re.search(r"cannot write, events lost: (\d+): No space left on device$", line) for line in told)
    assert first and last
    assert int(first[1]) + int(last[1]) == len(in_text(program.out.lines))
