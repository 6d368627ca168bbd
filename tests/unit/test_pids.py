"""The signal to a running gateway: it reaches a gateway, and no other program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import pids
from gateway.pids import NotAGateway, hang_up, process_id

CATCHES = """
import os, signal
signal.signal(signal.SIGHUP, lambda *_: os.write(1, b"caught\\n"))
signal.signal(signal.SIGTERM, lambda *_: exit())
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""
LEAVES = CATCHES.replace("signal.SIGHUP", "signal.SIGUSR1")
LINUX = pytest.mark.skipif("sys.platform != 'linux'", reason="elsewhere there is no /proc")


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        yield started
        assert started.poll() is None
        started.terminate()


def hears(started: subprocess.Popen[str]) -> bool:
    assert started.stdout is not None
    return started.stdout.readline() == "caught\n"


@pytest.mark.parametrize("arguments", [["ftp-gateway", "--config", "x"], ["/opt/bin/ftp-gateway", "demo"]])
def test_a_gateway(arguments: list[str]) -> None:
    with process(CATCHES, *arguments) as started:
        hang_up(started.pid)
        assert hears(started)


@LINUX
@pytest.mark.parametrize(
    ("code", "arguments"),
    [(CATCHES, []), (CATCHES, ["ftp-gateway.toml"]), (CATCHES, ["ftp-gateway/server"]), (LEAVES, ["ftp-gateway"])],
)
def test_another_program_is_not_signalled(code: str, arguments: list[str]) -> None:
    with process(code, *arguments) as started, pytest.raises(NotAGateway):
        hang_up(started.pid)


@LINUX
def test_a_process_that_has_ended_and_is_not_buried_yet() -> None:
    with subprocess.Popen([sys.executable, "-c", "", "ftp-gateway"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(NotAGateway):
            hang_up(ended.pid)


@pytest.mark.parametrize("error", [ProcessLookupError, OverflowError])
def test_no_such_process(error: type[Exception]) -> None:
    pid = 1 << 80
    if error is ProcessLookupError:
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            pid = ended.pid
    with pytest.raises(error):
        hang_up(pid)


def test_where_there_is_no_proc_a_process_is_taken_for_a_gateway(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(pids, "_PROC", tmp_path)
    hang_up(123)
    assert sent == [(123, signal.SIGHUP)]


@pytest.mark.parametrize("text", ["0", "-1", "", "gateway"])
def test_no_process_id(text: str) -> None:
    with pytest.raises(ValueError):
        process_id(text)


def test_a_process_id() -> None:
    assert process_id(" 123\n") == 123
