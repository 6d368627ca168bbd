"""The ftp-gateway command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.scripts import twistd

from gateway import cli
from gateway.cli import main
from tests.kit import PATIENCE

GOOD = """
[[application]]
name = "ftp.example.com"
listen = "tcp:21"
origin = "198.51.100.1:21"
data_ports = "20000-20020"
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one that the command is called in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# check


def check(directory: Path, text: str) -> int:
    (directory / "gateway.toml").write_text(text)
    return main(["check", "gateway.toml"])


def test_check_says_nothing_of_a_good_file(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert check(directory, GOOD) == 0
    assert capfd.readouterr() == ("", "")


def test_check_tells_every_mistake_one_a_line(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = GOOD.replace("tcp:21", "tcp:x") + 'baner = "x"\n[application.timeouts]\nidle = "long"\n[events]\npath = 5'
    assert check(directory, text) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.partition(": ")[0] for line in err.splitlines()] == [
        "application[0].listen",
        "application[0].timeouts.idle",
        "application[0].baner",
        "events.path",
    ]


def test_check_tells_where_the_syntax_is_wrong(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert check(directory, GOOD + "[events\n") == 2
    assert capfd.readouterr().err.startswith("gateway.toml:7: ")


def test_check_of_a_file_that_is_not_there(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "missing.toml"]) == 2
    assert capfd.readouterr() == ("", "missing.toml: No such file or directory\n")


def test_check_warns_and_is_content(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert check(directory, GOOD + 'public_address = "192.168.0.1"') == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err == 'warning: application[0].public_address: "192.168.0.1" cannot be reached from the internet\n'


# reload


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that were signalled, in the place of signalling them."""
    sent: list[int] = []
    monkeypatch.setattr(cli, "hang_up", sent.append)
    return sent


@pytest.mark.parametrize(
    ("arguments", "pid"), [("", 123), ("--pidfile other.pid", 456), ("--pid 789", 789)], ids=["", "pidfile", "pid"]
)
def test_reload_sends_sighup(arguments: str, pid: int, directory: Path, signals: list[int]) -> None:
    (directory / "twistd.pid").write_text("123")
    (directory / "other.pid").write_text("456\n")
    assert main(["reload", *arguments.split()]) == 0
    assert signals == [pid]


@pytest.mark.parametrize("content", ["0", "-1", "", "gateway"])
def test_reload_signals_one_process_and_no_group(
    content: str, directory: Path, signals: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    (directory / "twistd.pid").write_text(content)
    assert main(["reload"]) == 1
    assert capfd.readouterr() == ("", "ftp-gateway: twistd.pid holds no process id\n")
    with pytest.raises(SystemExit, match="2"):
        main(["reload", f"--pid={content}"])
    assert not signals


def test_reload_without_a_pidfile(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["reload"]) == 1
    sentence = "ftp-gateway: no running gateway found: twistd.pid: No such file or directory\n"
    assert capfd.readouterr() == ("", sentence)


@pytest.mark.timeout(PATIENCE)
def test_reload_does_not_wait_for_the_writer_of_a_fifo(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(directory / "twistd.pid")
    assert main(["reload"]) == 1
    assert capfd.readouterr() == ("", "ftp-gateway: no running gateway found: twistd.pid: not a regular file\n")


@pytest.mark.parametrize("pid", ["dead", str(1 << 80)])
def test_reload_of_a_gateway_that_ended(pid: str, capfd: pytest.CaptureFixture[str]) -> None:
    if pid == "dead":
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            pid = str(ended.pid)
    assert main(["reload", "--pid", pid]) == 1
    assert capfd.readouterr() == ("", f"ftp-gateway: no running gateway found: there is no process {pid}\n")


def test_reload_of_another_users_gateway(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(cli, "hang_up", refuse)
    assert main(["reload", "--pid", "123"]) == 1
    assert capfd.readouterr() == ("", "ftp-gateway: cannot signal process 123: Operation not permitted\n")


def test_reload_of_another_program(capfd: pytest.CaptureFixture[str]) -> None:
    pid = os.getpid()  # it would hardly survive
    assert main(["reload", "--pid", str(pid)]) == 1
    assert capfd.readouterr() == ("", f"ftp-gateway: process {pid} is not an ftp-gateway\n")


def test_reload_of_one_gateway_alone() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["reload", "--pid", "1", "--pidfile", "x"])


# demo, and the command itself


@pytest.mark.parametrize("flags", [[], ["--tls"]])
def test_demo_is_twistds(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", ["ftp-gateway", "demo", *flags])
    monkeypatch.setattr(twistd, "run", lambda: calls.append(sys.argv))
    assert main() == 0
    assert calls == [["twistd", "--nodaemon", "--pidfile=", "ftp-gateway", "--demo", *flags]]


def test_without_a_subcommand(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "COMMAND" in capfd.readouterr().err


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capfd.readouterr().out.startswith("ftp-gateway 0.")
