"""twistd's options, and the handling of signals in the process that runs the gateway."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import twisted.internet
from twisted.application.service import IService, IServiceMaker, MultiService
from twisted.internet.defer import fail, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.logger import LogEvent, globalLogPublisher
from twisted.plugin import getPlugins
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from gateway import config
from gateway.net.resolver import Resolver
from gateway.observe.queued_log import QueuedLog
from gateway.service import Gateway
from gateway.tap import Options, makeService
from gateway.tls import certificates
from gateway.tls.throwaway import write_certificate
from tests.kit.mistakes import Planted, failure_of

FLAGS = ("--listen", "tcp:2121", "--origin", "198.51.100.1:21", "--data-ports", "20000-20020")
FILE = """
[[application]]
name = "ftp.example.com"
listen = "tcp:21"
origin = "198.51.100.1:21"
data_ports = "20000-20020"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good configuration, in the current directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    return path


def parsed(*arguments: str, **runner: object) -> Options:
    """The options, as twistd, with options of its own, gets them."""
    options = Options()
    options.parent = cast(Options, runner)
    options.parseOptions(arguments)
    return options


def test_twistd_knows_it() -> None:
    (maker,) = (plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "ftp-gateway")
    assert maker.options is Options
    assert maker.makeService is makeService


def test_a_file(file: Path) -> None:
    (application,) = parsed("--config", file.name).load().applications
    assert application.name == "ftp.example.com"


def test_the_file_is_found_from_another_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = parsed("--config", file.name)
    monkeypatch.chdir("/")
    assert options.load()


def test_check_and_start_read_a_certificate_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_certificate(file.with_name("pair.pem"))
    file.write_text(FILE + 'tls = { mode = "flexible", certificate = "pair.pem" }')
    read, paths = certificates._read, []

    def noted(path: Path) -> bytes:
        paths.append(path.name)
        return read(path)

    monkeypatch.setattr(certificates, "_read", noted)
    options = parsed("--config", file.name)
    assert config.warnings(options.load()) == ()
    assert paths == ["pair.pem"]


def test_flags() -> None:
    (application,) = parsed(*FLAGS, "--listen", "tcp6:2121", "--public-address", "192.0.2.1").load().applications
    assert application.listen == ("tcp:2121", "tcp6:2121")
    assert (str(application.origin), str(application.data_ports)) == ("198.51.100.1:21", "20000-20020")
    assert application.public_address == "192.0.2.1"


ONE_WAY = "give --config FILE, or --listen, --origin and --data-ports, or --demo"
TOGETHER = "--listen, --origin and --data-ports belong together"


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        ((), [ONE_WAY]),
        (("--config", "gateway.toml", *FLAGS), [ONE_WAY]),
        (("--config", "gateway.toml", "--public-address", "192.0.2.1"), [ONE_WAY]),
        (("--config", "gateway.toml", "--demo"), [ONE_WAY]),
        (("--demo", *FLAGS), [ONE_WAY]),
        (("--tls", *FLAGS), ["--tls belongs to --demo; otherwise configure TLS in the configuration file"]),
        (FLAGS[:2], [TOGETHER]),
        (FLAGS[2:], [TOGETHER]),
        (FLAGS[:4], [TOGETHER]),
        (("--public-address", "192.0.2.1"), [TOGETHER]),
        (("--config", "missing"), ["missing: No such file or directory"]),
        (
            (*FLAGS[:3], "nowhere", "--data-ports", "9-1"),
            ['--origin: "nowhere" is not host:port or [v6]:port', '--data-ports: "9-1" ends before it begins'],
        ),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...], sentences: list[str], file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^1$"):
        parsed(*arguments)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [f"ftp-gateway: {sentence}" for sentence in sentences]


def test_an_unknown_flag() -> None:
    with pytest.raises(UsageError):
        parsed("--lisen", "tcp:21")


@pytest.mark.parametrize(("runner", "refused"), [({"nodaemon": 0}, True), ({"nodaemon": 1}, False), ({}, False)])
def test_a_daemon_has_no_standard_output(
    runner: dict[str, object], refused: bool, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f'{FILE}[events]\npath = "-"')
    if not refused:
        parsed("--config", file.name, **runner)
        return
    with pytest.raises(SystemExit, match=r"^1$"):
        parsed("--config", file.name, **runner)
    assert capfd.readouterr().err.startswith("ftp-gateway: events.path: a daemon has no standard output; ")


# Giving up


def test_giving_up_takes_the_pidfile_away(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pidfile = tmp_path / "twistd.pid"
    pidfile.write_text("1")
    with pytest.raises(SystemExit, match=r"^1$"):
        parsed("--demo", pidfile=str(pidfile)).give_up("no luck")
    assert not pidfile.exists()
    assert capfd.readouterr() == ("", "ftp-gateway: no luck\n")


def test_giving_up_without_a_pidfile(tmp_path: Path) -> None:
    for runner in ({}, {"pidfile": ""}, {"pidfile": str(tmp_path / "missing")}):
        with pytest.raises(SystemExit, match=r"^1$"):
            parsed("--demo", **runner).give_up("no luck")


def test_giving_up_lets_the_parent_of_a_daemon_go() -> None:
    """Which waits for a word that is not 0; twistd would show no more than 98 bytes of it, behind the first two."""
    read_end, write_end = os.pipe()
    with pytest.raises(SystemExit, match=r"^1$"):
        parsed("--demo", statusPipe=write_end).give_up("x" * 200)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.read() == b"1 " + b"x" * 98


# Signals


@attrs.define
class Reactor:
    """Stands in for the real one: calls at once, except what is to wait until it runs."""

    later: list[Callable[[], object]] = attrs.field(factory=list)
    at_end: list[Callable[[], object]] = attrs.field(factory=list)
    stopped: int = 0
    seconds: Callable[[], float] = time.time
    names: list[object] = attrs.field(factory=list)

    def installNameResolver(self, resolver: object) -> None:
        self.names.append(resolver)

    def getDelayedCalls(self) -> list[object]:
        return []

    def callWhenRunning(self, function: Callable[..., object], *arguments: object) -> None:
        self.later.append(lambda: function(*arguments))

    def callFromThread(self, function: Callable[[], object]) -> None:
        function()

    def addSystemEventTrigger(self, phase: str, event: str, function: Callable[[], object]) -> None:
        assert (phase, event) == ("after", "shutdown")
        self.at_end.append(function)

    def stop(self) -> None:
        if self.stopped:
            raise ReactorNotRunning
        self.stopped += 1

    def sigTerm(self, *_: object) -> None:
        raise AssertionError

    sigInt = sigTerm

    def run(self) -> None:
        """Does what it does to signals, then what waited for it."""
        signal.signal(signal.SIGTERM, self.sigTerm)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self.sigInt)
        for function in self.later:
            function()


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reactor]:
    """In the place of the process's reactor; afterwards the signals are as they were."""
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    fake = Reactor()
    monkeypatch.setattr(twisted.internet, "reactor", fake, raising=False)
    monkeypatch.setattr(QueuedLog, "begin", lambda _: None)  # which is for the whole process
    yield fake
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the gateway."""
    calls: list[str] = []
    for name in ("reload", "hurry"):
        monkeypatch.setattr(Gateway, name, lambda _, name=name: calls.append(name) or succeed(()))
    return calls


def test_sighup_reloads_and_is_no_danger_before_the_reactor_runs(reactor: Reactor, called: list[str]) -> None:
    makeService(parsed(*FLAGS))
    signal.raise_signal(signal.SIGHUP)
    assert called == ["reload"]


def test_a_reload_that_fails_by_a_fault_of_ours_is_logged(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Failure | None] = []
    monkeypatch.setattr(Gateway, "reload", lambda _: fail(Planted()))
    makeService(parsed(*FLAGS))

    def observe(event: LogEvent) -> None:
        failures.append(failure_of(event))

    globalLogPublisher.addObserver(observe)
    try:
        signal.raise_signal(signal.SIGHUP)
    finally:
        globalLogPublisher.removeObserver(observe)
    (failure,) = failures
    assert failure is not None
    assert failure.check(Planted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_stops_and_the_second_hurries(
    number: signal.Signals, reactor: Reactor, called: list[str]
) -> None:
    makeService(parsed(*FLAGS))
    reactor.run()
    signal.raise_signal(number)
    assert (reactor.stopped, called) == (1, [])
    signal.raise_signal(number)
    assert (reactor.stopped, called) == (1, ["hurry"])


def test_an_ignored_sigint_stays_ignored(reactor: Reactor) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    makeService(parsed(*FLAGS))
    reactor.run()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


# What is run


def parts(service: IService) -> list[str]:
    assert isinstance(service, MultiService)
    return [type(part).__name__ for part in service]


def test_a_gateway_is_run(reactor: Reactor) -> None:
    assert reactor.seconds is time.time
    assert parts(makeService(parsed(*FLAGS))) == ["Gateway"]
    assert not reactor.at_end
    assert reactor.seconds is time.monotonic
    assert [type(resolver) for resolver in reactor.names] == [Resolver]


def test_the_demo_is_run_and_its_origin_stops_last(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.demo import DemoOrigin

    stopped: list[Any] = []
    monkeypatch.setattr(DemoOrigin, "stop", lambda origin: stopped.append(origin))
    assert parts(makeService(parsed("--demo"))) == ["Gateway", "DemoHints"]
    (at_end,) = reactor.at_end
    at_end()
    assert len(stopped) == 1
