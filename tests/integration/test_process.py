"""The gateway as a process: its start, its output, its reload and its end."""

from __future__ import annotations

import json
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from ftplib import FTP
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.addresses import SocketAddress
from gateway.relay.sides import CLOSE_TIMEOUT
from origin import Origin
from tests.kit import PATIENCE
from tests.kit.conversation import Conversation
from tests.kit.gateway import application
from tests.kit.ports import take
from tests.kit.programs import BIN, NET, Program, assert_no_traceback, demo_ports, environment, ready, running, until
from tests.kit.servers.requirements import require
from tests.kit.sockets import FULL, full

DAEMON = (str(BIN / "twistd"),)
TWISTD = (*DAEMON, "-n")
TWIST = (str(BIN / "twist"), "--log-format=text")
COMMAND = str(BIN / "ftp-gateway")

ORIGIN = f"{NET}.1"
DATA_PORTS = take(21)
PORT = take(1)[0]
_hosts = (f"{NET}.{number}" for number in count(2))

LARGE = 64 * 1024 * 1024  # bytes, more than all the buffers between client and origin hold


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SocketAddress]:
    """The address of an FTP server with a small and a large file."""
    root = tmp_path_factory.mktemp("root")
    (root / "hello.txt").write_bytes(b"hello")
    with (root / "large").open("wb") as large:
        large.truncate(LARGE)
    users = {"user": "secret"}
    with Origin(root, listen=(ORIGIN, 0), passive_ports=DATA_PORTS, users=users, writable=True) as running_origin:
        yield running_origin.address


@pytest.fixture
def place() -> SocketAddress:
    """Where the gateway is to listen."""
    return new_place()


def new_place(port: int = PORT) -> SocketAddress:
    """A place on an address of its own, and so with data ports of its own."""
    return next(_hosts), port


@pytest.fixture
def file(tmp_path: Path, origin: SocketAddress, place: SocketAddress) -> Path:
    """The configuration of one application."""
    path = tmp_path / "gateway.toml"
    path.write_text(toml(origin, place))
    return path


def toml(origin: SocketAddress, place: SocketAddress, more: str = "", name: str = "ftp.example.com") -> str:
    return application(origin, DATA_PORTS, name=name, listen=endpoint(place), more=more)


def endpoint(place: SocketAddress) -> str:
    host, port = place
    return f"tcp:{port}:interface={host}"


def flags(origin: SocketAddress, place: SocketAddress) -> tuple[str, ...]:
    host, port = origin
    ports = f"{DATA_PORTS[0]}-{DATA_PORTS[-1]}"
    return ("--listen", endpoint(place), "--origin", f"{host}:{port}", "--data-ports", ports)


def hello(place: SocketAddress) -> None:
    """Fetches the small file."""
    received: list[bytes] = []
    with FTP(timeout=PATIENCE) as ftp:
        ftp.connect(*place)
        ftp.login("user", "secret")
        ftp.retrbinary("RETR hello.txt", received.append)
        assert b"".join(received) == b"hello"
        ftp.quit()


def begin_download(place: SocketAddress) -> tuple[Conversation, socket.socket]:
    """A session in the middle of the large file."""
    session = Conversation.to(place)
    session.login()
    port = re.search(rb"\|\|\|(\d+)\|", session.ask(b"EPSV"))
    assert port is not None
    data = socket.create_connection((place[0], int(port[1])), timeout=PATIENCE)
    assert session.ask(b"RETR large").startswith(b"1")
    assert data.recv(1)
    return session, data


def read_all(data: socket.socket) -> int:
    received = 0
    while part := data.recv(1024 * 1024):
        received += len(part)
    return received


def is_open(place: SocketAddress) -> bool:
    try:
        socket.create_connection(place, timeout=PATIENCE).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was closed at that very moment
        return False
    return True


# The ways to start it


@pytest.mark.parametrize("runner", [TWISTD, TWIST], ids=["twistd", "twist"])
def test_runs_from_a_file(runner: tuple[str, ...], file: Path, place: SocketAddress) -> None:
    with running(*runner, "ftp-gateway", "--config", file.name, directory=file.parent) as program:
        assert re.search(rf"ftp-gateway ready: ftp\.example\.com on {endpoint(place)}$", ready(program))
        hello(place)
        assert program.stop() == 0
        assert program.err.lines == []
        assert_no_traceback(program.out.lines)
    assert not list(file.parent.glob("*.pid"))


def test_runs_from_flags(tmp_path: Path, origin: SocketAddress, place: SocketAddress) -> None:
    host = place[0]
    command = (*TWISTD, "ftp-gateway", *flags(origin, place), "--public-address", host)
    with running(*command, directory=tmp_path) as program:
        ready(program)
        with Conversation.to(place) as session:
            session.login()
            assert session.ask(b"PASV").startswith(f"227 Entering Passive Mode ({host.replace('.', ',')},".encode())
        assert program.stop() == 0


def test_runs_in_another_directory(tmp_path: Path, file: Path, place: SocketAddress) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = (*TWISTD, "--rundir", elsewhere, "ftp-gateway", "--config", file.name)
    with running(*command, directory=file.parent) as program:
        ready(program)
        program.tell(signal.SIGHUP)
        program.out.wait("configuration reloaded: ftp.example.com on ")
        assert program.stop() == 0


def test_runs_as_a_daemon(file: Path, place: SocketAddress) -> None:
    directory = file.parent
    log = directory / "gateway.log"
    command = (*DAEMON, "--pidfile=gateway.pid", "--logfile=gateway.log", "ftp-gateway", "--config", file.name)
    with running(*command, directory=directory) as parent:
        assert parent.exit() == 0
        assert (parent.out.lines, parent.err.lines) == ([], [])
    pid = int((directory / "gateway.pid").read_text())
    try:
        hello(place)  # its port listens once twistd has let go
        file.write_text(file.read_text() + 'banner = "changed"')
        reload = subprocess.run([COMMAND, "reload", "--pidfile", directory / "gateway.pid"], env=environment())
        assert reload.returncode == 0
        wait_for_line(log, "configuration reloaded")
        with Conversation.to(place) as session:
            assert session.reply() == b"220 changed"
    finally:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not (directory / "gateway.pid").exists())
    assert "ftp-gateway ready: ftp.example.com" in log.read_text()
    assert_no_traceback(log.read_text().splitlines())


def wait_for_line(log: Path, text: str) -> None:
    """Waits for a line in a file that grows."""
    until(lambda: log.exists() and text in log.read_text())


# Mistakes


def assert_refused(program: Program, *sentences: str) -> None:
    """It ended with these sentences on standard error, no more, and left nothing behind."""
    assert program.exit() == 1
    lines = program.err.lines
    assert len(lines) == len(sentences), lines
    for line, sentence in zip(lines, sentences, strict=True):
        assert re.fullmatch(f"ftp-gateway: {sentence}", line), line
    assert_no_traceback(program.out.lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "give --config FILE, or --listen, --origin and --data-ports, or --demo"),
        ("--config gateway.toml --listen tcp:26499", "give --config FILE, or .*"),
        ("--config gateway.toml --public-address 192.0.2.1", "give --config FILE, or .*"),
        ("--config gateway.toml --demo", "give --config FILE, or .*"),
        ("--demo --origin 192.0.2.1:21", "give --config FILE, or .*"),
        ("--listen tcp:26499 --origin 192.0.2.1:21", "--listen, --origin and --data-ports belong together"),
        ("--config missing.toml", "missing.toml: No such file or directory"),
    ],
)
def test_arguments_that_do_not_fit(arguments: str, sentence: str, file: Path) -> None:
    with running(*TWISTD, "ftp-gateway", *arguments.split(), directory=file.parent) as program:
        assert_refused(program, sentence)
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize("runner", [TWISTD, TWIST, DAEMON], ids=["twistd", "twist", "daemon"])
def test_every_mistake_in_the_file_is_shown(
    runner: tuple[str, ...], file: Path, origin: SocketAddress, place: SocketAddress
) -> None:
    file.write_text(toml(origin, place, 'baner = "x"\n[application.timeouts]\nidle = "long"\ndrain = -1'))
    with running(*runner, "ftp-gateway", "--config", file.name, directory=file.parent) as program:
        assert_refused(
            program,
            r"application\[0\]\.timeouts\.idle: must be a number, not a string",
            r"application\[0\]\.timeouts\.drain: must be .*",
            r"application\[0\]\.baner: unknown key; did you mean banner\?",
        )
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize("runner", [TWISTD, TWIST], ids=["twistd", "twist"])
def test_a_port_that_is_taken(runner: tuple[str, ...], file: Path, place: SocketAddress) -> None:
    with (
        socket.create_server(place),
        running(*runner, "ftp-gateway", "--config", file.name, directory=file.parent) as program,
    ):
        sentence = f"ftp.example.com cannot listen on {endpoint(place)}: Address already in use"
        assert_refused(program, re.escape(sentence))
    assert [*file.parent.iterdir()] == [file]


def test_a_port_that_is_taken_from_a_daemon(file: Path, place: SocketAddress) -> None:
    with (
        socket.create_server(place),
        running(*DAEMON, "ftp-gateway", "--config", file.name, directory=file.parent) as program,
    ):
        assert program.exit() == 1
    # twistd's words, around 98 bytes of ours
    assert "ftp.example.com cannot listen on tcp:" in program.err.lines[0]
    log = file.parent / "twistd.log"
    assert f"ftp.example.com cannot listen on {endpoint(place)}: Address already in use" in log.read_text()
    assert_no_traceback(log.read_text().splitlines())
    assert not (file.parent / "twistd.pid").exists()


def test_an_address_that_is_not_of_this_machine(file: Path, origin: SocketAddress) -> None:
    file.write_text(toml(origin, ("192.0.2.1", 26499)))
    with running(*TWISTD, "ftp-gateway", "--config", file.name, directory=file.parent) as program:
        assert_refused(program, "ftp.example.com cannot listen on tcp:26499:.*: Cannot assign requested address")


def test_an_event_file_that_cannot_be_written(file: Path) -> None:
    file.write_text(file.read_text() + '[events]\npath = "missing/events.jsonl"')
    with running(*TWISTD, "ftp-gateway", "--config", file.name, directory=file.parent) as program:
        assert_refused(program, "events.path: cannot write .*/missing/events.jsonl: No such file or directory")
    assert [*file.parent.iterdir()] == [file]


# systemd


WHICH = pytest.mark.parametrize("which", ["index=0", "name=ftp"])


@WHICH
def test_a_socket_that_systemd_did_not_pass(which: str, tmp_path: Path, origin: SocketAddress) -> None:
    host, port = origin
    arguments = ("--listen", f"systemd:domain=INET:{which}", "--origin", f"{host}:{port}", "--data-ports", "26000")
    with running(*TWISTD, "ftp-gateway", *arguments, directory=tmp_path) as program:
        assert_refused(program, f"ftp cannot listen on systemd:domain=INET:{which}: systemd passed no such socket")


@contextmanager
def activated(file: Path, listener: socket.socket) -> Iterator[Program]:
    """Starts it as systemd does, which keeps the socket itself: LISTEN_PID is the process that twistd will be."""
    script = 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=ftp; exec "$@" 3<&"$0"'
    command = ("bash", "-c", script, str(listener.fileno()), *TWISTD, "ftp-gateway", "--config", file.name)
    with running(*command, directory=file.parent, pass_fds=[listener.fileno()]) as program:
        ready(program)
        yield program
        assert program.stop() == 0
        assert_no_traceback(program.out.lines)


@WHICH
def test_a_socket_that_systemd_passes(which: str, file: Path, place: SocketAddress) -> None:
    file.write_text(file.read_text().replace(endpoint(place), f"systemd:domain=INET:{which}"))
    with socket.create_server(place) as listener, activated(file, listener) as program:
        listener.close()
        hello(place)
        program.tell(signal.SIGHUP)
        program.out.wait("configuration reloaded")
        hello(place)


def test_clients_wait_while_systemd_starts_another(file: Path, place: SocketAddress) -> None:
    """An upgrade refuses nobody, since the socket stays open."""
    file.write_text(file.read_text().replace(endpoint(place), "systemd:domain=INET:name=ftp"))
    with socket.create_server(place) as listener:
        with activated(file, listener):
            hello(place)
        client = Conversation.to(place)  # nobody answers it yet
        with activated(file, listener), client:
            client.login()


def test_systemd_socket_activate(file: Path, place: SocketAddress) -> None:
    require("systemd-socket-activate")
    file.write_text(file.read_text().replace(endpoint(place), "systemd:domain=INET:index=0"))
    listen = ("--listen", ":".join(map(str, place)), "--fdname=ftp", "--setenv=PYTHONPATH")
    command = ("systemd-socket-activate", *listen, *TWISTD, "ftp-gateway", "--config", file.name)
    with running(*command, directory=file.parent) as program:
        program.err.wait("Listening on ")
        hello(place)  # starts it
        assert program.stop() == 0
        assert_no_traceback(program.out.lines)


def test_systemd_is_notified(file: Path, place: SocketAddress, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE)
        command = (*TWISTD, "ftp-gateway", "--config", file.name)
        env = environment(NOTIFY_SOCKET=str(tmp_path / "notify"))
        with running(*command, directory=file.parent, env=env) as program:
            assert systemd.recv(100) == b"READY=1"
            for text in (file.read_text(), "oops"):  # reloaded or refused, it is over
                file.write_text(text)
                program.tell(signal.SIGHUP)
                assert systemd.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
                assert systemd.recv(100) == b"READY=1"
            session, data = begin_download(place)
            with session, data:
                program.tell(signal.SIGTERM)
                assert systemd.recv(100) == b"STOPPING=1"  # while the transfer goes on
                read_all(data)
            assert program.exit() == 0


def test_a_receiver_of_systemd_s_that_does_not_read_holds_nobody(
    file: Path, place: SocketAddress, tmp_path: Path
) -> None:
    """Neither the start, nor sessions, nor the end; it misses nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        before = full(systemd, tmp_path / "notify")
        command = (*TWISTD, "ftp-gateway", "--config", file.name)
        env = environment(NOTIFY_SOCKET=str(tmp_path / "notify"))
        with running(*command, directory=file.parent, env=env) as program:
            ready(program)
            hello(place)
            program.tell(signal.SIGHUP)
            program.out.wait("configuration reloaded")
            session, data = begin_download(place)
            with session, data:
                program.tell(signal.SIGTERM)
                program.out.wait("stopping, sessions left: 1")
                systemd.settimeout(PATIENCE)
                assert [systemd.recv(100) for _ in range(before)] == [FULL] * before
                states = [systemd.recv(100).partition(b"=")[0] for _ in range(4)]
                assert states == [b"READY", b"RELOADING", b"READY", b"STOPPING"]
                read_all(data)
            assert program.exit() == 0


# Reloading


def started(file: Path) -> AbstractContextManager[Program]:
    return running(*TWISTD, "ftp-gateway", "--config", file.name, directory=file.parent)


def reload(program: Program, expect: str = "configuration reloaded: ", count: int = 1) -> None:
    program.tell(signal.SIGHUP)
    program.out.wait(expect, count)


def test_new_sessions_follow_a_new_file(file: Path, origin: SocketAddress, place: SocketAddress) -> None:
    with started(file) as program:
        ready(program)
        session, data = begin_download(place)
        with session, data:
            file.write_text(toml(origin, place, 'banner = "changed"'))
            reload(program)
            with Conversation.to(place) as newcomer:
                assert newcomer.reply() == b"220 changed"
            assert read_all(data) == LARGE - 1
            assert session.reply().startswith(b"226")
            assert session.ask(b"NOOP").startswith(b"200")


def test_applications_come_and_go(file: Path, origin: SocketAddress, place: SocketAddress) -> None:
    other = new_place()
    with started(file) as program:
        ready(program)
        session, data = begin_download(place)
        with session, data:
            file.write_text(toml(origin, other, name="other.example.com"))
            reload(program, f"configuration reloaded: other.example.com on {endpoint(other)}")
            hello(other)
            until(lambda: not is_open(place))
            assert read_all(data) == LARGE - 1
            assert session.reply().startswith(b"226")
            file.write_text(toml(origin, place) + toml(origin, other, name="other.example.com"))
            reload(program, count=2)
            hello(place)
            program.tell(signal.SIGTERM)
            assert session.reply().startswith(b"421")  # though its application went, and another came in its place
        assert program.exit() == 0


@pytest.mark.parametrize(
    ("more", "mistakes"),
    [
        ("oops", [r"gateway\.toml:\d+: .*"]),
        ('[application.timeouts]\nidle = "x"\nlogin = 0', [r"\S*timeouts\.login: .*", r"\S*timeouts\.idle: .*"]),
        ("[events]\npath = 'missing/events'", ["events.path: cannot write .*: No such file or directory"]),
    ],
    ids=["syntax", "values", "events"],
)
def test_a_file_with_mistakes_is_refused_whole(
    more: str, mistakes: list[str], file: Path, origin: SocketAddress, place: SocketAddress
) -> None:
    other = new_place()
    with started(file) as program:
        ready(program)
        file.write_text(toml(origin, place, 'banner = "changed"') + toml(origin, other, name="other") + more)
        reload(program, "configuration not reloaded: ", len(mistakes))
        lines = [line for line in program.out.lines if "configuration not reloaded: " in line]
        for line, mistake in zip(lines, mistakes, strict=True):
            assert re.search(f"configuration not reloaded: (.*/)?{mistake}$", line), line
        with Conversation.to(place) as session:
            assert session.reply() != b"220 changed"
        assert not is_open(other)
        assert program.process.poll() is None


def test_a_port_that_cannot_be_bound_refuses_the_file_whole(
    file: Path, origin: SocketAddress, place: SocketAddress
) -> None:
    other, taken = new_place(), new_place()
    with started(file) as program, closing(socket.create_server(taken)) as holder:
        ready(program)
        file.write_text(
            toml(origin, place, 'banner = "changed"')
            + toml(origin, other, name="other")
            + toml(origin, taken, name="taken")
        )
        reload(program, f"not reloaded: taken cannot listen on {endpoint(taken)}: Address already in use")
        with Conversation.to(place) as session:
            assert session.reply() != b"220 changed"
        assert not is_open(other)
        holder.close()
        reload(program)  # what was refused leaves nothing in the way
        hello(other)
        hello(taken)


@pytest.mark.parametrize("how", ["pid", "pidfile"])
def test_the_command_reloads(how: str, file: Path, origin: SocketAddress, place: SocketAddress) -> None:
    with started(file) as program:
        ready(program)
        file.write_text(toml(origin, place, 'banner = "changed"'))
        arguments = [] if how == "pidfile" else ["--pid", str(program.process.pid)]
        with running(COMMAND, "reload", *arguments, directory=file.parent) as command:
            assert command.exit() == 0
            assert (command.out.lines, command.err.lines) == ([], [])
        program.out.wait("configuration reloaded")


@pytest.mark.parametrize("how", ["pid", "pidfile"])
def test_the_command_signals_no_other_program(how: str, tmp_path: Path) -> None:
    """One whose id a gateway had that crashed: SIGHUP would end it."""
    with running("sleep", str(PATIENCE), directory=tmp_path) as other:
        pid = other.process.pid
        (tmp_path / "twistd.pid").write_text(str(pid))
        arguments = [] if how == "pidfile" else ["--pid", str(pid)]
        with running(COMMAND, "reload", *arguments, directory=tmp_path) as command:
            assert command.exit() == 1
            assert command.err.lines == [f"ftp-gateway: process {pid} is not an ftp-gateway"]
        assert other.stop() == -signal.SIGTERM  # and of nothing before


def test_a_reload_opens_the_event_file_anew(file: Path, place: SocketAddress) -> None:
    events, rotated = file.parent / "events.jsonl", file.parent / "events.jsonl.1"
    file.write_text(file.read_text() + f'[events]\npath = "{events.name}"')
    with started(file) as program:
        ready(program)
        hello(place)
        events.rename(rotated)
        reload(program)
        hello(place)
        assert program.stop() == 0
    for path, session in ((rotated, 1), (events, 2)):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert {record["session"] for record in records} == {session}


# A shortage of descriptors


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit(2)")
def test_a_flood_at_the_limit_of_descriptors_is_one_line(file: Path, place: SocketAddress) -> None:
    """And once descriptors are free again, the next client is served."""
    with started(file) as program:
        ready(program)
        hello(place)
        limits = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
        used = max(int(one.name) for one in Path(f"/proc/{program.process.pid}/fd").iterdir())
        resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (used + 8, limits[1]))
        with ExitStack() as held:
            while visit(place, held).startswith(b"220"):  # until nobody gets in
                pass
            refused = [words for _ in range(300) if not (words := visit(place))]
        assert len(refused) > 290  # the others got in when one of the crowd had been told to go
        until(lambda: program.out.count("] connect ") == program.out.count("] disconnect "))  # they have gone
        hello(place)
        assert program.stop() == 0
        lines = [line for line in program.out.lines if "descriptorsExhausted" in line]
        assert [line for line in program.out.lines if "EMFILE" in line or "reserve" in line] == []
        first, last = (int(line.rpartition("refused=")[2]) for line in lines)
        assert first >= 1  # the second line is that of the end
        assert len(refused) <= first + last <= len(refused) + 10


def visit(place: SocketAddress, held: ExitStack | None = None) -> bytes:
    """The words with which a client is received; none where it is refused. It goes at once, or with the others."""
    with ExitStack() as alone:
        try:
            return (held or alone).enter_context(Conversation.to(place)).reply()
        except ConnectionResetError:
            return b""


# The end


def test_sigterm_lets_a_transfer_finish(file: Path, place: SocketAddress) -> None:
    with started(file) as program:
        ready(program)
        session, data = begin_download(place)
        with session, data, Conversation.to(place) as idle:
            idle.login()
            program.tell(signal.SIGTERM)
            assert idle.reply() == b"421 Service is shutting down; closing control connection."
            assert idle.at_end()
            program.out.wait("stopping, sessions left: 2; a second signal cuts them")
            until(lambda: not is_open(place))
            assert read_all(data) == LARGE - 1
            assert session.reply().startswith(b"226")
            assert session.reply().startswith(b"421")
            assert session.at_end()
        assert program.exit() == 0
        assert_no_traceback(program.out.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cuts_the_transfer(number: signal.Signals, file: Path, place: SocketAddress) -> None:
    with started(file) as program:
        ready(program)
        session, data = begin_download(place)
        with session, data:
            program.tell(number)
            program.out.wait("a second signal cuts them")
            program.tell(number)
            told = time.monotonic()
            assert session.reply().startswith(b"421")
            with pytest.raises(ConnectionResetError):
                read_all(data)
            assert program.exit() == 0
            assert (
                time.monotonic() - told < CLOSE_TIMEOUT
            )  # no wait for this client, which has not closed its connection
        assert program.err.lines == []
        assert_no_traceback(program.out.lines)


def test_the_drain_is_over_in_time(file: Path, origin: SocketAddress, place: SocketAddress) -> None:
    file.write_text(toml(origin, place, "[application.timeouts]\ndrain = 0.2"))
    with started(file) as program:
        ready(program)
        session, data = begin_download(place)
        with session, data:
            program.tell(signal.SIGTERM)
            assert session.reply().startswith(b"421")
            with pytest.raises(ConnectionResetError):
                read_all(data)
        assert program.exit() == 0


@pytest.mark.parametrize("runner", [TWISTD, TWIST], ids=["twistd", "twist"])
def test_sigint_is_an_orderly_end_as_well(runner: tuple[str, ...], file: Path, place: SocketAddress) -> None:
    with running(*runner, "ftp-gateway", "--config", file.name, directory=file.parent) as program:
        ready(program)
        with Conversation.to(place) as idle:
            idle.login()
            program.tell(signal.SIGINT)
            assert idle.reply().startswith(b"421")
        assert program.exit() == 0
        assert_no_traceback(program.out.lines)


def test_sigint_stays_ignored_where_it_was(file: Path, place: SocketAddress) -> None:
    shell = ("bash", "-c", 'trap "" INT; exec "$@"', "bash")
    with running(*shell, *TWISTD, "ftp-gateway", "--config", file.name, directory=file.parent) as program:
        ready(program)
        program.tell(signal.SIGINT)
        hello(place)
        assert program.stop() == 0


# What it writes


def test_events_on_standard_output_are_lines_of_their_own(file: Path, place: SocketAddress) -> None:
    file.write_text(file.read_text() + '[events]\npath = "-"')
    command = (*TWISTD, "--logfile=gateway.log", "ftp-gateway", "--config", file.name)
    with running(*command, directory=file.parent) as program:
        log = file.parent / "gateway.log"
        wait_for_line(log, "ftp-gateway ready: ")
        hello(place)
        program.tell(signal.SIGHUP)
        wait_for_line(log, "configuration reloaded")
        hello(place)
        assert program.stop() == 0
        events = [json.loads(line) for line in program.out.lines]
    assert [event["event"] for event in events] == ["connect", "dataChannel", "disconnect"] * 2


def test_a_daemon_has_no_standard_output_for_events(file: Path) -> None:
    file.write_text(file.read_text() + '[events]\npath = "-"')
    with running(*DAEMON, "ftp-gateway", "--config", file.name, directory=file.parent) as program:
        assert_refused(program, "events.path: a daemon has no standard output; name a file, or run twistd -n")


_TWISTED_SAYS = (
    r"twistd \S+ \(.*\) starting up\.",
    r"reactor class: \S+\.",
    r"ftp\.example\.com starting on \d+",
    r"\(TCP Port \d+ Closed\)",
    r"Main loop terminated\.",
    r"Server Shut Down\.",
)
_FIELDS = r'( \w+=("[ -~]*"|[!-~]+))*'
_GATEWAY_SAYS = (
    r"ftp-gateway ready: ftp\.example\.com on \S+",
    r"stopping, sessions left: \d+; a second signal cuts them",
    rf"\[ftp\.example\.com\] (connect|disconnect|dataChannel|commandRefused|strangerRefused){_FIELDS}",
)


def test_every_line_of_the_log_is_for_its_operator(file: Path, place: SocketAddress) -> None:
    """Even when clients send what they like."""
    with started(file) as program:
        ready(program)
        hello(place)
        with Conversation.to(place) as attacker:
            attacker.login()
            for sent in (
                b"PORT 127,0,0,1,0,22",
                b"secret\x1b[2J 2026-01-01 [-] forged",
                b"a\rb",
                b"x" * 5000,
                b"\xff",
            ):
                assert attacker.ask(sent).startswith(b"50"), sent
            port = re.search(rb"\|\|\|(\d+)\|", attacker.ask(b"EPSV"))
            assert port is not None
            stranger = socket.create_connection((place[0], int(port[1])), PATIENCE, source_address=(ORIGIN, 0))
            with stranger:
                assert stranger.recv(1) == b""
        with Conversation.to(place) as http:
            http.send(b"GET /secret HTTP/1.1\r\n\r\n")
            *_, last = iter(http.line, b"")
            assert last == b"421 This is an FTP server; closing control connection."
        program.out.wait("disconnect", 3)
        assert program.stop() == 0
    for line in program.out.lines:
        said = re.fullmatch(r"\S+ \[(?P<who>[^]]*)\] (?P<text>[ -~]*)", line)
        assert said is not None, line
        known = _GATEWAY_SAYS if said["who"].startswith("gateway") else _TWISTED_SAYS
        assert any(re.fullmatch(pattern, said["text"]) for pattern in known), line
        assert "secret" not in line and "forged" not in line


# Privileges


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """One where every user may write; pytest's own are for its user alone."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o777)
        yield directory


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can bind port 21 and become somebody else")
def test_root_is_given_up_once_a_low_port_is_bound(open_directory: Path, origin: SocketAddress) -> None:
    low = new_place(21)
    nobody = pwd.getpwnam("nobody")
    (open_directory / "gateway.toml").write_text(toml(origin, low) + '[events]\npath = "events.jsonl"')
    identity = (f"--uid={nobody.pw_uid}", f"--gid={nobody.pw_gid}")
    command = (*TWISTD, *identity, "ftp-gateway", "--config", "gateway.toml")
    with running(*command, directory=open_directory) as program:
        ready(program)
        status = Path(f"/proc/{program.process.pid}/status").read_text()
        assert re.search(rf"^Uid:(\t{nobody.pw_uid}){{4}}$", status, re.MULTILINE)
        assert re.search(rf"^Gid:(\t{nobody.pw_gid}){{4}}$", status, re.MULTILINE)
        assert re.search(rf"^Groups:\t{nobody.pw_gid} $", status, re.MULTILINE)
        assert set(re.findall(r"^Cap(?:Prm|Eff|Amb):\t(.*)$", status, re.MULTILINE)) == {"0" * 16}
        hello(low)
        assert (open_directory / "events.jsonl").stat().st_uid == nobody.pw_uid
        reload(program)  # the event file is opened again, and the port, which could not be bound again, kept
        hello(low)
        assert program.stop() == 0
        assert_no_traceback(program.out.lines)


# The demo


@pytest.mark.parametrize(
    "command", [(*TWISTD, "ftp-gateway", "--demo"), (COMMAND, "demo")], ids=["twistd", "command"]
)
def test_the_demo(command: tuple[str, ...], tmp_path: Path) -> None:
    with demo_ports(), running(*command, directory=tmp_path) as program:
        ready(program)
        program.out.wait("    curl ftp://127.0.0.1:2121/ ")
        received: list[bytes] = []
        with FTP(timeout=PATIENCE) as ftp:
            ftp.connect("127.0.0.1", 2121)
            ftp.login()
            ftp.retrbinary("RETR welcome.txt", received.append)
            assert b"".join(received).startswith(b"Welcome.")
            ftp.quit()
        assert program.stop(signal.SIGINT) == 0
        assert_no_traceback(program.out.lines)
        assert program.err.lines == []
    assert not [*tmp_path.iterdir()]


def test_the_demo_where_its_port_is_taken(tmp_path: Path) -> None:
    with (
        demo_ports(),
        socket.create_server(("127.0.0.1", 2121)),
        running(COMMAND, "demo", directory=tmp_path) as program,
    ):
        assert_refused(program, "demo cannot listen on tcp:2121:interface=127.0.0.1: Address already in use")
    assert not [*tmp_path.iterdir()]


# The clock


def test_a_step_of_the_clock_ends_no_session(file: Path, origin: SocketAddress, place: SocketAddress) -> None:
    events, offset = file.with_name("events.jsonl"), file.with_name("offset")
    more = "[application.timeouts]\nidle = 60\n"
    file.write_text(toml(origin, place, more) + f'[events]\npath = "{events}"\n')
    offset.write_text("+0")
    with stepped(file, offset) as program:
        ready(program)
        with Conversation.to(place) as session, Conversation.to(place) as idle:
            session.login()
            idle.login()
            offset.write_text("+3600")
            for _ in range(3):  # the first wakes the gateway up, the next come behind all that was due
                assert session.ask(b"NOOP").startswith(b"200")
            assert session.ask(b"PORT 1").startswith(b"502")  # which is an event
            offset.write_text("-3600")
            assert session.ask(b"PORT 1").startswith(b"502")
            assert idle.ask(b"NOOP").startswith(b"200")
        until(lambda: len(events.read_text().splitlines()) >= 4)
        _, began, forward, back, *_ = map(moment, events.read_text().splitlines())
        assert forward - began > timedelta(minutes=50), "the clock was set forward"
        assert back - began < timedelta(minutes=-50), "the clock was set back"


def test_a_deadline_passes_though_the_clock_is_set_back(
    file: Path, origin: SocketAddress, place: SocketAddress
) -> None:
    offset = file.with_name("offset")
    file.write_text(toml(origin, place, "[application.timeouts]\nidle = 1\n"))
    offset.write_text("+0")
    with stepped(file, offset) as program:
        ready(program)
        with Conversation.to(place) as session:
            session.login()
            offset.write_text("-3600")
            assert session.reply() == b"421 Idle timeout; closing control connection."


def stepped(file: Path, offset: Path) -> AbstractContextManager[Program]:
    """A gateway whose time of day is off by the seconds in a file."""
    require("faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    faked = environment(
        LD_PRELOAD=str(library),
        FAKETIME_TIMESTAMP_FILE=str(offset),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        NO_FAKE_STAT="1",
    )
    return running(*TWISTD, "ftp-gateway", "--config", file.name, directory=file.parent, env=faked)


def moment(line: str) -> datetime:
    return datetime.fromisoformat(json.loads(line)["time"])
