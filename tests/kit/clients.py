"""FTP clients without TLS: ftplib and lftp, and a way to run client programs."""

from __future__ import annotations

import contextlib
import ftplib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.kit import PATIENCE
from tests.kit.servers.requirements import require

PROGRAM_SECONDS = 60.0  # seconds that a client program may take


class FTP(ftplib.FTP):
    """ftplib with a choice of the passive command; after PASV it dials the host that the 227 names."""

    def __init__(self, passive: str = "EPSV", source: str | None = None) -> None:
        super().__init__(timeout=PATIENCE, source_address=None if source is None else (source, 0))
        self.passive = passive

    def makepasv(self) -> tuple[str, int]:
        assert self.sock is not None
        if self.passive == "EPSV":
            return ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())
        return ftplib.parse227(self.sendcmd("PASV"))

    def get(self, name: str, rest: int | None = None) -> bytes:
        """The content of a file, from an offset on."""
        content = bytearray()
        self.retrbinary(f"RETR {name}", content.extend, rest=rest)
        return bytes(content)


@contextlib.contextmanager
def logged_in(
    address: tuple[str, int],
    passive: str = "EPSV",
    *,
    user: str = "user",
    password: str = "secret",
    source: str | None = None,
) -> Iterator[FTP]:
    """A session of ftplib's that quits in the end."""
    with FTP(passive, source) as ftp:
        ftp.connect(*address)
        ftp.login(user, password)
        yield ftp


def run(
    *command: str | Path, directory: Path, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs a client program in a directory, which is also its home, so that no setting of the user's has an effect.

    File names are in UTF-8. The output includes standard error.
    """
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8", **(environment or {})}
    return subprocess.run(
        command,
        cwd=directory,
        env=surroundings,
        input=stdin.encode(),
        capture_output=True,
        timeout=PROGRAM_SECONDS,
    )


def lftp(
    address: tuple[str, int],
    commands: str,
    directory: Path,
    *,
    user: str = "user",
    password: str = "secret",
    passive: str = "EPSV",
    in_bulk: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Runs these commands of lftp's, up to the first that fails.

    :param in_bulk: whether to send commands without waiting for the reply to the one before.
    """
    require("lftp")
    host, port = address
    settings = {
        "cmd:fail-exit": "yes",
        "net:max-retries": "1",
        "net:timeout": f"{PATIENCE:.0f}",
        "ftp:prefer-epsv": "yes" if passive == "EPSV" else "no",
        "ftp:sync-mode": "no" if in_bulk else "yes",
        "ftp:use-mlsd": "yes",  # a listing for people loses spaces in front of a name
    }
    script = [f"set {name} {value}" for name, value in settings.items()]
    script += [f"open -u '{user},{password}' -p {port} {host}", commands]
    return run("lftp", "-c", "; ".join(script), directory=directory)
