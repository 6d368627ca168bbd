"""The messages to systemd."""

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.observe.systemd import notify, notify_reloading


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
