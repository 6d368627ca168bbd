"""Programs that tests run; their output is read while they run, so that a test can wait for a line of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import attrs

import gateway
from tests.kit import PATIENCE

BIN = Path(sys.executable).parent

# The first bytes of this run's own loopback addresses, so that another run on the same machine does not interfere.
NET = f"127.{os.getpid() // 250 % 100 + 100}.{os.getpid() % 250}" if sys.platform == "linux" else "127.0.0"


def environment(**more: str) -> dict[str, str]:
    """The environment in which a program finds the gateway that this process imports, and nothing of systemd's."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("NOTIFY_", "LISTEN_"))}
    return {**ours, "PYTHONPATH": str(Path(gateway.__file__).parents[1]), **more}


def patched(directory: Path, code: str) -> dict[str, str]:
    """The environment of a program in which Python runs this code before the program begins."""
    (directory / "sitecustomize.py").write_text(code)
    ours = environment()
    return {**ours, "PYTHONPATH": f"{directory}:{ours['PYTHONPATH']}"}


@attrs.define(eq=False)
class Output:
    """The lines that a program has written to one of its streams."""

    _stream: IO[str] = attrs.field(repr=False)
    _lines: list[str] = attrs.field(factory=list, init=False)
    _ended: bool = attrs.field(default=False, init=False)
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False, repr=False)
    _reader: threading.Thread = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def lines(self) -> list[str]:
        """All lines so far."""
        with self._changed:
            return self._lines.copy()

    def count(self, text: str) -> int:
        """The number of lines so far that hold the text."""
        return sum(text in line for line in self.lines)

    def wait(self, text: str, count: int = 1, patience: float = PATIENCE) -> str:
        """Waits until so many lines hold the text; gives the last of them."""

        def found() -> list[str]:
            return [line for line in self._lines if text in line]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= count or self._ended, patience)
            assert len(found()) >= count, f"no {text!r} in {self._lines}"
            return found()[count - 1]

    def close(self) -> None:
        """Waits for the end of the stream."""
        self._reader.join()

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                with self._changed:
                    self._lines.append(line.removesuffix("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@attrs.define(eq=False)
class Program:
    """A running program."""

    process: subprocess.Popen[str]
    out: Output
    err: Output

    def tell(self, number: signal.Signals) -> None:
        """Sends the program a signal."""
        self.process.send_signal(number)

    def exit(self) -> int:
        """Waits until the program ends by itself; gives its exit code, which is negative for a signal."""
        code = self.process.wait(PATIENCE)
        self.out.close()
        self.err.close()
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the program by a signal; gives its exit code."""
        self.tell(number)
        return self.exit()


@contextlib.contextmanager
def running(
    *command: str | Path,
    directory: Path,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    talk: bool = False,
) -> Iterator[Program]:
    """Runs a program; where it still runs at the end of the block, it is killed.

    :param talk: whether it has a standard input that the test holds.
    """
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=environment() if env is None else env,
        pass_fds=pass_fds,
        stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    program = Program(process, Output(process.stdout), Output(process.stderr))
    try:
        yield program
    except BaseException as error:
        error.add_note(f"{Path(command[0]).name} wrote to standard error: {program.err.lines}")
        raise
    finally:
        process.kill()
        program.exit()
        if process.stdin is not None:
            process.stdin.close()


def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition that nothing announces: checks it again and again."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ready(program: Program) -> str:
    """Waits for a gateway to be ready; gives the line that says so."""
    return program.out.wait("ftp-gateway ready: ")


@contextlib.contextmanager
def demo_ports() -> Iterator[None]:
    """Takes the demo's ports, which are always the same, for this test only, even if others run on this machine."""
    with (Path(tempfile.gettempdir()) / "ftp-gateway-demo-ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def assert_no_traceback(lines: Sequence[str]) -> None:
    """Checks that no line that a person is shown belongs to a Python traceback."""
    assert not [line for line in lines if re.search(r"Traceback|Unhandled|Unexpected error", line)], lines
