"""The messages to systemd."""

import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.observe.systemd import notify, notify_reloading
from tests.kit import PATIENCE
from tests.kit.programs import environment, running, until
from tests.kit.sockets import FULL, full
from tests.kit.threads import no_more_threads


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    """A socket that is not bound yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.setblocking(False)
        yield listening


def test_nothing_without_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(socket, "socket", lambda *arguments: opened.append(arguments))
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "")
    notify("READY=1")
    assert opened == []


def test_a_socket_in_the_file_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, systemd: socket.socket) -> None:
    systemd.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    notify("READY=1")
    notify("STOPPING=1")
    assert (systemd.recv(100), systemd.recv(100)) == (b"READY=1", b"STOPPING=1")


@pytest.mark.skipif("sys.platform != 'linux'", reason="abstract sockets are Linux's")
def test_an_abstract_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, systemd: socket.socket) -> None:
    systemd.bind(f"\0{tmp_path.name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path.name}")
    notify("READY=1")
    assert systemd.recv(100) == b"READY=1"


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")


def test_reloading_with_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, systemd: socket.socket) -> None:
    systemd.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify_reloading()
    said = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", systemd.recv(100))
    assert said is not None
    assert before <= int(said[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


# A receiver that does not read


@pytest.mark.timeout(PATIENCE)
def test_a_slow_receiver_blocks_nobody_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, systemd: socket.socket
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    before, threads = full(systemd, tmp_path / "notify"), threading.active_count()
    states = [f"STATUS={number}" for number in range(64)]
    for state in states:
        notify(state)  # returns
    systemd.settimeout(PATIENCE)
    assert [systemd.recv(100) for _ in range(before)] == [FULL] * before
    assert [systemd.recv(100).decode() for _ in states] == states
    until(lambda: threading.active_count() == threads)
    notify("READY=1")
    assert systemd.recv(100) == b"READY=1"


@pytest.mark.timeout(PATIENCE)
def test_of_too_many_that_wait_the_oldest_are_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, systemd: socket.socket
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    before, threads = full(systemd, tmp_path / "notify"), threading.active_count()
    for number in range(100):
        notify(f"STATUS={number}")
    systemd.settimeout(PATIENCE)
    for _ in range(before):
        systemd.recv(100)
    states = [systemd.recv(100).decode() for _ in range(64)]
    assert states == [f"STATUS={number}" for number in (0, *range(37, 100))]
    until(lambda: threading.active_count() == threads)


def test_without_a_thread_a_message_is_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, systemd: socket.socket
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    before = full(systemd, tmp_path / "notify")
    with no_more_threads():
        notify("STATUS=0")
    for _ in range(before):
        systemd.recv(100)
    notify("READY=1")
    assert systemd.recv(100) == b"READY=1"


ENDS = """
from gateway.observe.systemd import notify
for number in range(3):
    notify(f"STATUS={number}")
notify("STOPPING=1")
print("over", flush=True)
"""


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("reads", [True, False])
def test_the_end_of_the_process_waits_a_moment(
    reads: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, systemd: socket.socket
) -> None:
    """For a receiver that reads, all states get out; one that does not holds nobody for long."""
    before = full(systemd, tmp_path / "notify")
    env = environment(NOTIFY_SOCKET=str(tmp_path / "notify"))
    with running(sys.executable, "-c", ENDS, directory=tmp_path, env=env) as program:
        program.out.wait("over")
        if reads:
            for _ in range(before):
                systemd.recv(100)
            systemd.settimeout(PATIENCE)
            states = [systemd.recv(100) for _ in range(4)]
            assert states == [b"STATUS=0", b"STATUS=1", b"STATUS=2", b"STOPPING=1"]
        assert program.exit() == 0
