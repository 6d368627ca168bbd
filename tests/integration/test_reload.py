"""Reloads of many applications, and of a long list of networks, while sessions go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.addresses import SocketAddress
from origin import Origin
from tests.kit.certificates import certificates
from tests.kit.conversation import Conversation
from tests.kit.gateway import application
from tests.kit.programs import BIN, NET, Program, assert_no_traceback, patched, ready, running

MANY = 100
ATTEMPTS = 3
PAUSE = 0.05  # seconds that a session may wait for an answer while the configuration is read
ORIGIN, HOST = f"{NET}.1", f"{NET}.2"
PORTS = range(26000, 26000 + MANY)
CONTROL = 27000


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketAddress]:
    """An FTP server."""
    root = tmp_path_factory.mktemp("root")
    with Origin(root, listen=(ORIGIN, 0), passive_ports=PORTS, users={"user": "secret"}) as running_origin:
        yield running_origin.address


def table(origin: SocketAddress, number: int, more: str = "") -> str:
    """One application, which has a port of its own for each channel."""
    ports, listen = PORTS[number : number + 1], f"tcp:{CONTROL + number}:interface={HOST}"
    return application(origin, ports, name=f"{number}.example.com", listen=listen, more=more)


@pytest.fixture
def file(tmp_path: Path, origin: SocketAddress) -> Path:
    """The configuration of many applications; each has a certificate in a file of its own."""
    pair = certificates().server
    content = pair.certificate.read_bytes() + pair.key.read_bytes()
    tables = []
    for number in range(MANY):
        certificate = tmp_path / f"{number}.pem"
        certificate.write_bytes(content)
        tables.append(table(origin, number, f'tls = {{ mode = "flexible", certificate = "{certificate}" }}'))
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join(tables))
    return path


@contextmanager
def started(file: Path) -> Iterator[Program]:
    with running(BIN / "twistd", "-n", "ftp-gateway", "--config", file.name, directory=file.parent) as program:
        ready(program)
        yield program
        assert program.stop() == 0
        assert_no_traceback(program.out.lines)


def longest_noop(
    session: Conversation, program: Program, reloads: int, words: str = "configuration reloaded"
) -> float:
    """How long the longest NOOP took from now until that many reloads are over, in seconds.

    :param words: the words of the log about the end of each.
    """
    over = threading.Event()

    def wait() -> None:
        program.out.wait(words, reloads)
        over.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    longest = 0.0
    while not over.is_set():
        begun = time.monotonic()
        assert session.ask(b"NOOP").startswith(b"200")
        longest = max(longest, time.monotonic() - begun)
    waiting.join()
    return longest


def test_sessions_go_on_while_many_applications_are_read(file: Path) -> None:
    """Tried several times: a busy machine has pauses of its own; a reload that holds sessions up does so always."""
    with started(file) as program:
        with Conversation.to((HOST, CONTROL)) as session:
            session.login()
            for times, changed in enumerate(([], [7], range(MANY))):
                pauses = []
                for attempt in range(ATTEMPTS):
                    for number in changed:
                        pem = file.with_name(f"{number}.pem")
                        pem.write_bytes(pem.read_bytes() + b"\n")
                    program.tell(signal.SIGHUP)
                    pauses.append(longest_noop(session, program, times * ATTEMPTS + attempt + 1))
                assert min(pauses) < PAUSE, pauses


# A file system that hangs: while there is a FIFO of that name, each reading waits until the test lets go of it.
HANGING = """
import os
from gateway import files

def read_regular(path, read=files.read_regular):
    if os.path.exists("hangs"):
        open("hangs").read()
    return read(path)

files.read_regular = read_regular
"""


@contextmanager
def hanging(file: Path) -> Iterator[Program]:
    env = patched(file.parent, HANGING)
    command = (BIN / "twistd", "-n", "ftp-gateway", "--config", file.name)
    with running(*command, directory=file.parent, env=env) as program:
        ready(program)
        os.mkfifo(file.parent / "hangs")
        yield program
        assert_no_traceback(program.out.lines)


def test_signals_that_come_while_it_reads_are_one_reload_more(tmp_path: Path, origin: SocketAddress) -> None:
    file, hangs = tmp_path / "gateway.toml", tmp_path / "hangs"
    file.write_text(table(origin, 0))
    with hanging(file) as program, Conversation.to((HOST, CONTROL)) as session:
        session.login()
        program.tell(signal.SIGHUP)
        with hangs.open("w"):  # opened at both ends: it reads
            for _ in range(100):
                program.tell(signal.SIGHUP)
            for _ in range(2):  # a turn of the reactor each, that comes behind all signals
                assert session.ask(b"NOOP").startswith(b"200")
        program.out.wait("configuration reloaded", 1)
        with hangs.open("w"):
            pass
        program.out.wait("configuration reloaded", 2)
        for _ in range(2):
            assert session.ask(b"NOOP").startswith(b"200")
        with pytest.raises(OSError, match="No such device"):  # nobody reads
            os.open(hangs, os.O_WRONLY | os.O_NONBLOCK)


# twistd's command, which looks at the files often.
OFTEN = """
import sys
from twisted.scripts.twistd import run
from gateway.applications import watching
watching.INTERVAL = 0.05
sys.argv = ["twistd", "-n", "ftp-gateway", "--config", "gateway.toml"]
run()
"""
LINES = 100_000


def test_sessions_go_on_while_a_long_list_is_read(tmp_path: Path, origin: SocketAddress) -> None:
    """Tried several times: a busy machine has pauses of its own; a list that holds sessions up does so always."""

    def write(first: int) -> None:
        networks = (f"{first}.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(LINES))
        (tmp_path / "new").write_text("".join(networks))
        (tmp_path / "new").rename(tmp_path / "blocked.txt")

    write(1)
    (tmp_path / "gateway.toml").write_text(
        table(origin, 0, 'access = [{ action = "deny", lists = ["blocked.txt"] }]')
    )
    with running(sys.executable, "-c", OFTEN, directory=tmp_path) as program:
        ready(program)
        pauses = []
        with Conversation.to((HOST, CONTROL)) as session:
            session.login()
            for attempt in range(1, ATTEMPTS + 1):
                write(1 + attempt)
                pauses.append(longest_noop(session, program, attempt, "accessFileRead"))
        assert min(pauses) < PAUSE, pauses
        assert f"networks={LINES}" in program.out.wait("accessFileRead")
        assert program.stop() == 0
        assert_no_traceback(program.out.lines)


def test_a_file_system_that_hangs_holds_neither_sessions_nor_the_end(tmp_path: Path, origin: SocketAddress) -> None:
    file, hangs = tmp_path / "gateway.toml", tmp_path / "hangs"
    file.write_text(table(origin, 0))
    with hanging(file) as program, Conversation.to((HOST, CONTROL)) as session:
        session.login()
        program.tell(signal.SIGHUP)
        with hangs.open("w"):
            for _ in range(3):
                assert session.ask(b"NOOP").startswith(b"200")
            program.tell(signal.SIGTERM)
            assert session.reply().startswith(b"421")
            session.close()
            assert program.exit() == 0
        assert not [line for line in program.out.lines if "reloaded" in line]


@pytest.mark.parametrize("name", ["gateway.toml", "fifo.pem"])
def test_a_fifo_is_a_mistake(name: str, tmp_path: Path, origin: SocketAddress) -> None:
    """Nobody will ever write into it, and still this reload ends, and so does the next."""
    file, fifo = tmp_path / "gateway.toml", tmp_path / name
    file.write_text(table(origin, 0))
    with started(file) as program:
        file.write_text(table(origin, 0, f'tls = {{ mode = "flexible", certificate = "{fifo}" }}'))
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo)
        program.tell(signal.SIGHUP)
        assert program.out.wait("configuration not reloaded: ").endswith(f"{fifo}: not a regular file")
        file.unlink()
        file.write_text(table(origin, 0))
        program.tell(signal.SIGHUP)
        program.out.wait("configuration reloaded: ")
