"""Options and makeService for twistd; nothing else."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import IService, MultiService
from twisted.python import usage

from gateway import config
from gateway.config import Config, ConfigError
from gateway.demo import DemoHints, DemoOrigin
from gateway.service import Gateway

_APPLICATION_FLAGS = ("listen", "origin", "data-ports", "public-address")


class Options(usage.Options):
    """What ``twistd ftp-gateway`` takes: a file, or the flags of one application, or the demo."""

    optFlags = [["demo", None, "Run a gateway, and an FTP server behind it, to try."]]  # noqa: RUF012
    optParameters = [  # noqa: RUF012
        ["config", None, None, "The configuration file."],
        ["origin", None, None, "The FTP server to protect, HOST:PORT."],
        ["data-ports", None, None, "Its passive ports, LO-HI."],
        ["public-address", None, None, "What 227 replies say: an IPv4 address or a host name."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Where clients connect: a Twisted server endpoint such as tcp:21. May be repeated."""
        self["listen"].append(endpoint)

    def postOptions(self) -> None:
        """Refuses what is not one of the three ways, and every mistake in the configuration at once."""
        flags = any(self[name] for name in _APPLICATION_FLAGS)
        if [bool(self["config"]), flags, bool(self["demo"])].count(True) != 1:
            _refuse("give either --config FILE, or --listen, --origin and --data-ports, or --demo")
        if flags and not (self["listen"] and self["origin"] and self["data-ports"]):
            _refuse("--listen, --origin and --data-ports belong together")
        if not self["demo"]:
            try:
                self.load()
            except ConfigError as error:
                _refuse("\n".join(error.mistakes))

    def load(self) -> Config:
        """Reads the configuration.

        :raises ConfigError: with every mistake in it.
        """
        if self["config"]:
            return config.load(Path(self["config"]))
        return config.from_flags(self["listen"], self["origin"], self["data-ports"], self["public-address"])


def makeService(options: Options) -> IService:
    """The service that twistd runs."""
    from twisted.internet import reactor as installed

    reactor: Any = installed

    def give_up(sentence: str) -> NoReturn:
        # twistd removes its pidfile itself, but not on this way out.
        runner: dict[str, str] = options.parent or {}
        if pidfile := runner.get("pidfile"):
            with contextlib.suppress(OSError):
                Path(pidfile).unlink()
        _refuse(sentence)

    services = MultiService()
    if options["demo"]:
        origin = DemoOrigin()
        gateway = Gateway(reactor, origin.config, give_up)
        parts = [gateway, origin, DemoHints()]
    else:
        gateway = Gateway(reactor, options.load, give_up)
        parts = [gateway]
    for part in parts:
        part.setServiceParent(services)
    reactor.callWhenRunning(_obey_signals, reactor, gateway)
    return services


def _obey_signals(reactor: Any, gateway: Gateway) -> None:
    """SIGHUP reloads; SIGTERM is an orderly end, with exit code 0, which twistd's own handler would not give."""
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(gateway.reload))
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))


def _refuse(sentence: str) -> NoReturn:
    raise SystemExit(f"ftp-gateway: {sentence}")
