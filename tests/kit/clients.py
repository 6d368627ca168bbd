"""FTP clients, and files for them to carry."""

from __future__ import annotations

import contextlib
import ftplib
import hashlib
import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from tests.kit.gateway import PATIENCE
from tests.kit.servers.requirements import require

MEBIBYTE = 1 << 20
PROGRAM_SECONDS = 60.0  # that a client program may take


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
    """A session, that quits in the end."""
    with FTP(passive, source) as ftp:
        ftp.connect(*address)
        ftp.login(user, password)
        yield ftp


def run(
    *command: str | Path, directory: Path, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs a client program in a directory, which is its home as well, so that no setting of the user's plays a part.

    The file names are in UTF-8. What it writes to standard error comes back as well.
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

    :param in_bulk: sends commands without waiting for the reply to the one before.
    """
    require("lftp")
    host, port = address
    settings = {
        "cmd:fail-exit": "yes",
        "net:max-retries": "1",
        "net:timeout": f"{PATIENCE:.0f}",
        "ftp:prefer-epsv": "yes" if passive == "EPSV" else "no",
        "ftp:sync-mode": "no" if in_bulk else "yes",
        "ftp:use-mlsd": "yes",  # a listing for people does not keep spaces in front of a name
    }
    script = [f"set {name} {value}" for name, value in settings.items()]
    script += [f"open -u '{user},{password}' -p {port} {host}", commands]
    return run("lftp", "-c", "; ".join(script), directory=directory)


def content(size: int, seed: int = 0) -> bytes:
    """Bytes that tell by themselves when some are lost, doubled or changed."""
    return random.Random(seed).randbytes(size)


@attrs.frozen
class LargeContent:
    """More than one would keep in memory: blocks of a mebibyte, each another.

    :param size: bytes, in whole mebibytes.
    """

    size: int

    def blocks(self) -> Iterator[bytes]:
        """The content, in order."""
        block = content(MEBIBYTE)
        for number in range(self.size // MEBIBYTE):
            yield number.to_bytes(8, "big") + block[8:]

    def digest(self) -> str:
        """Its SHA-256."""
        return _digest(self.blocks())


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return _digest(iter(lambda: file.read(MEBIBYTE), b""))


def _digest(blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def tree(root: Path, files: int, leading_spaces: bool = True) -> None:
    """Makes a tree of files, some of them empty, and some with names that are easily lost: spaces, UTF-8, quotes."""
    space = " " if leading_spaces else ""
    names = ["plain-{}", "two words {}", space + "leading space {}", "Größe {}", "日本語 {}", "quote' {}", "a&b;c {}"]
    folders = ["", "one", "one/two", space + "folder", "Ordner für Ä"]
    for number in range(files):
        folder = root / folders[number % len(folders)]
        folder.mkdir(parents=True, exist_ok=True)
        size = number * 977 % 20_000
        (folder / names[number % len(names)].format(number)).write_bytes(content(size, number))


def contents(root: Path) -> dict[str, str]:
    """What is in a tree: the SHA-256 of each file by its path, and "" for each directory."""
    return {str(path.relative_to(root)): "" if path.is_dir() else digest_of(path) for path in sorted(root.rglob("*"))}
