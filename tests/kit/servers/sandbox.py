"""A sandbox for one daemon: its own accounts, its own host names, and an end that kills every process in it.

The daemons know their users from ``/etc/passwd``, ask PAM, look up names in ``/etc/hosts`` and fork for each session,
some of them into a process group of its own. So each runs in a mount namespace, where our files lie over those of the
system, and in a PID namespace: when its first process dies, the kernel ends all the others. That process is a shell
and not the daemon, because orphans are its to reap, and vsftpd crashes over a child that it did not start. The system
itself is left as it was.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--")
START_SECONDS = 20.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02

EXAMPLE_NAME = "ftp.example.com"
"""A name that resolves inside the sandbox."""
EXAMPLE_ADDRESS = "203.0.113.7"
"""The address of that name, from RFC 5737's documentation range; it is never dialled."""

_LAY_OVER = """
mount -t tmpfs none /run
for file in "$1"/*; do mount --bind "$file" "/etc/${file##*/}"; done
shift
"$@"
exit  # a last command would take the place of the shell
"""
"""The empty /run takes what the daemons leave there, and keeps them from the system's log."""


@contextlib.contextmanager
def sandbox(
    command: Callable[[Path], list[str]], address: tuple[str, int], user: str, password: str, home: Path
) -> Iterator[int]:
    """Run a daemon until the block ends, and give its process id once it greets at `address`.

    `command` writes the daemon's files into the empty directory that it is given, and returns the command line. The
    account has the numeric id of root, so that the daemon and the test may read and change each other's files.

    Raises `RuntimeError`, with what the daemon wrote, if it ends or has not greeted after `START_SECONDS`.
    """
    with tempfile.TemporaryDirectory(prefix="ftp-server-") as scratch:
        etc, state = Path(scratch, "etc"), Path(scratch, "state")
        etc.mkdir()
        state.mkdir()
        _furnish(etc, user, password, home)
        argv = command(state)
        # vsftpd writes its last words to descriptor 0, which it takes for the control connection.
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [*UNSHARE, "sh", "-euc", _LAY_OVER, "sh", str(etc), *argv],
                stdin=log,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt at the terminal reaches only the tests, which end the daemon
            )
            try:
                greeting = _greeting(process, address)
                if not greeting.startswith(b"220"):
                    log.seek(0)
                    raise RuntimeError(f"{argv[0]} did not start: {(log.read() + greeting).decode()}")
                (shell,) = _children(process.pid)
                yield _children(shell)[0]
            finally:
                _end(process)


def _furnish(etc: Path, user: str, password: str, home: Path) -> None:
    """Write the files that lie over those in the system's ``/etc``."""
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    ).stdout.strip()
    # Pure-FTPd confines the user to the path before "/./"; without it, it would not confine the id of root.
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        f"{user}:x:0:0::{home}/./:/bin/sh\n"
    )
    (etc / "shadow").write_text(f"{user}:{hashed}:1:0:99999:7:::\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{EXAMPLE_ADDRESS} {EXAMPLE_NAME}\n")
    (etc / "pam.d").mkdir()
    # Without nodelay a wrong password costs two seconds.
    (etc / "pam.d" / "ftp").write_text("auth required pam_unix.so nodelay\naccount required pam_permit.so\n")


def _greeting(process: subprocess.Popen[bytes], address: tuple[str, int]) -> bytes:
    """The daemon's greeting to a new connection, once it listens; nothing if it does not come to that."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(address, timeout=START_SECONDS) as control:
                return control.recv(512)
        except (ConnectionError, TimeoutError):
            time.sleep(POLL_SECONDS)
    return b""


def _children(pid: int) -> list[int]:
    """The process's children; those that it inherited come last."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the first process of the sandbox, and return once the last one is gone.

    The first process of a PID namespace can only be reaped after all others in it, and `unshare`, which waits for
    that, outlives it.
    """
    if process.poll() is None:
        for shell in _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(shell, signal.SIGKILL)
    process.wait(STOP_SECONDS)


def obstacle() -> str | None:
    """The reason why no sandbox can be made here; None where it can."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    trial = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    return f"needs root and namespaces: {trial.stderr.strip()}" if trial.returncode else None
