"""A terminal in which commands run as a reader runs them; their output is compared with the page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from tests.kit import PATIENCE
from tests.kit.programs import BIN, environment


def pattern(expected: Iterable[str]) -> str:
    """The regular expression for these lines: ``...`` is any text within a line, and alone on a line any lines."""
    return "".join(
        r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n" for line in expected
    )


@attrs.define(eq=False)
class Terminal:
    """A command whose output is a terminal, as far as it can tell; all that it wrote so far is in `text`."""

    process: subprocess.Popen[bytes]
    text: str = ""
    _master: int = attrs.field(kw_only=True)
    _ended: bool = False
    _changed: threading.Condition = attrs.field(factory=threading.Condition)

    @classmethod
    def run(cls, command: str, directory: Path) -> Terminal:
        """Starts a line of shell; the commands of this Python's environment come first.

        Its home, and what it knows as /tmp, are that directory.
        """
        master, slave = os.openpty()
        places = {"HOME": str(directory), "TMPDIR": str(directory)}
        process = subprocess.Popen(
            ["bash", "-c", f"umask 022; {command.replace('/tmp/', f'{directory}/')}"],
            cwd=directory,
            env=environment(PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}", LC_ALL="C.UTF-8", **places),
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        terminal = cls(process, master=master)
        threading.Thread(target=terminal._read, daemon=True).start()
        return terminal

    def wait_for(self, expected: Sequence[str], start: int = 0) -> int:
        """Waits until these lines were written, somewhere behind `start`; gives the place behind them.

        :raises AssertionError: where they are not.
        """
        wanted = re.compile(pattern(expected), re.MULTILINE)
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._find(wanted, start), PATIENCE)
            match = self._find(wanted, start)
        assert match, "\n".join(["expected:", *expected, "found:", self.text[start:]])
        return match.end()

    def output(self) -> str:
        """All that it wrote, once it has ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, PATIENCE), self.text
        self.process.wait(PATIENCE)
        return self.text

    def stop(self) -> None:
        """Ends it as Ctrl-C does, where it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.output()
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def _find(self, wanted: re.Pattern[str], start: int) -> re.Match[str] | None:
        line_starts = [start, *(start + match.end() for match in re.finditer("\n", self.text[start:]))]
        return next((match for place in line_starts if (match := wanted.match(self.text, place))), None)

    def _read(self) -> None:
        raw = b""
        while True:
            try:
                data = os.read(self._master, 4096)
            except OSError:  # Linux's word for the end of a terminal
                data = b""
            raw += data
            with self._changed:
                self.text = raw.decode(errors="replace").replace("\r", "")
                self._ended = not data
                self._changed.notify_all()
            if not data:
                os.close(self._master)
                return
