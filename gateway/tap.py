"""The options and makeService for twistd; nothing else."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import IService, MultiService
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python import usage

from gateway import config
from gateway.config import Config, ConfigError
from gateway.net.clock import use_monotonic_clock
from gateway.net.resolver import use_own_resolver
from gateway.observe.queued_log import QueuedLog
from gateway.service import Gateway

# Seconds after which a thread that reads a configuration hands the interpreter back to the reactor. A command needs
# it some six times, so with Python's 5 ms it would take 30.
_SWITCH = 0.0005

_APPLICATION_FLAGS = ("listen", "origin", "data-ports", "public-address")


class Options(usage.Options):
    """The options of ``twistd ftp-gateway``: a file, or the flags of one application, or the demo."""

    optFlags = [  # noqa: RUF012
        ["demo", None, "Try it: run a gateway with an FTP server behind it."],
        ["tls", None, "With --demo: speak TLS to the clients, with a temporary certificate."],
    ]
    optParameters = [  # noqa: RUF012
        ["config", None, None, "The configuration file."],
        ["origin", None, None, "The FTP server to protect, HOST:PORT."],
        ["data-ports", None, None, "The FTP server's passive ports, LO-HI."],
        ["public-address", None, None, "The address in 227 replies: an IPv4 address or a hostname."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Where clients connect: a Twisted server endpoint such as tcp:21. May be repeated."""
        self["listen"].append(endpoint)

    def postOptions(self) -> None:
        """Refuses options that are none of the three ways, and reports every mistake in the configuration at once."""
        flags = any(self[name] for name in _APPLICATION_FLAGS)
        if [bool(self["config"]), flags, bool(self["demo"])].count(True) != 1:
            _refuse("give --config FILE, or --listen, --origin and --data-ports, or --demo")
        if flags and not (self["listen"] and self["origin"] and self["data-ports"]):
            _refuse("--listen, --origin and --data-ports belong together")
        if self["tls"] and not self["demo"]:
            _refuse("--tls belongs to --demo; otherwise configure TLS in the configuration file")
        if self["demo"]:
            return
        try:
            read = self.load()
        except ConfigError as error:
            _refuse(*error.mistakes)
        if read.events.path == "-" and self._runner.get("nodaemon") == 0:
            _refuse("events.path: a daemon has no standard output; name a file, or run twistd -n")
        if self["config"]:
            self["config"] = str(Path(self["config"]).absolute())  # twistd may change the directory

    def load(self) -> Config:
        """Reads the configuration.

        :raises ConfigError: with every mistake in it.
        """
        if self["config"]:
            return config.load(Path(self["config"]))
        return config.from_flags(self["listen"], self["origin"], self["data-ports"], self["public-address"])

    def give_up(self, sentence: str) -> NoReturn:
        """Ends the process that was about to start, which twistd itself would not do at this point."""
        Logger("gateway").error("{sentence}", sentence=sentence)
        if pidfile := self._runner.get("pidfile"):
            with contextlib.suppress(OSError):
                Path(pidfile).unlink()
        if (pipe := self._runner.get("statusPipe")) is not None:
            # The daemon's parent process waits here for one message, of 100 bytes, and shows it.
            os.write(pipe, b"1 " + sentence.encode()[:98])
        _refuse(sentence)

    @property
    def _runner(self) -> Mapping[str, Any]:
        """The options of twistd, or of twist, which has fewer."""
        return self.parent or {}


def makeService(options: Options) -> IService:
    """The service that twistd runs."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    use_monotonic_clock(reactor)
    use_own_resolver(reactor)
    services = MultiService()
    if options["demo"]:
        from gateway.demo import DemoHints, DemoOrigin

        origin = DemoOrigin(bool(options["tls"]))
        # Not a service: that would stop beside the gateway, whose transfers are to end first.
        reactor.addSystemEventTrigger("after", "shutdown", origin.stop)
        gateway = Gateway(reactor, origin.config, options.give_up)
        parts = [gateway, DemoHints(reactor, origin)]
    else:
        gateway = Gateway(reactor, options.load, options.give_up)
        parts = [gateway]
    for part in parts:
        part.setServiceParent(services)
    # A SIGHUP would end a process that already has a pidfile but does not run yet.
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(lambda: _reload(gateway)))
    _queue_the_log(reactor, gateway)
    reactor.callWhenRunning(_obey_signals, reactor, gateway)
    reactor.callWhenRunning(_collect_garbage_rarely)
    sys.setswitchinterval(_SWITCH)
    return services


def _reload(gateway: Gateway) -> None:
    log = Logger("gateway")  # of what only a mistake of ours can raise
    gateway.reload().addErrback(lambda failure: log.failure("configuration not reloaded", failure))


def _queue_the_log(reactor: Any, gateway: Gateway) -> None:
    """Queues the lines of the log with the events, once the reactor runs, up to the last line of the process.

    A reader that stalls does not hold up the end of the process, either. Python may abort when it finds the lock of
    standard output in the hands of a thread, so such a thread is left behind once twistd has cleaned up.
    """
    log = QueuedLog(gateway.journal.writer)
    reactor.callWhenRunning(log.begin)

    def leave() -> None:
        if not log.end():
            os._exit(gateway.running)  # 0 where the gateway was stopped in order
        # Python takes its handlers away before it is gone. A second signal would then spoil the exit code.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    atexit.register(leave)


def _collect_garbage_rarely() -> None:
    """Makes full collections rare: each visits all sessions and stops everything, half a second for ten thousand.

    Sessions do not need them: they leave no reference cycles. With the last number a full collection waits for five
    million objects.
    """
    gc.collect()
    gc.freeze()  # existing objects are not collected any more
    gc.set_threshold(2_000, 10, 250)


def _obey_signals(reactor: Any, gateway: Gateway) -> None:
    """Ends the gateway in order at SIGTERM and SIGINT, with exit code 0, unlike the reactor's own handlers."""

    def stop() -> None:
        try:
            reactor.stop()
        except ReactorNotRunning:  # the second signal
            gateway.hurry()

    for number in (signal.SIGTERM, signal.SIGINT):
        # A shell script ignores SIGINT in its background jobs, and twistd --debug leaves it to the debugger.
        if signal.getsignal(number) in (reactor.sigTerm, reactor.sigInt):
            signal.signal(number, lambda *_: reactor.callFromThread(stop))


def _refuse(*sentences: str) -> NoReturn:
    for sentence in sentences:
        print(f"ftp-gateway: {sentence}", file=sys.__stderr__)  # not through twistd, which would make log lines of it
    raise SystemExit(1)
