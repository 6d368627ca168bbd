"""The running gateway: its start, its end, and its reloads; the one place where the parts are joined."""

from __future__ import annotations

import encodings.idna  # noqa: F401  # name resolution imports it on demand, too late after --chroot
from collections.abc import Callable

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.applications.building import CannotStart, forget_unused
from gateway.applications.registry import Registry
from gateway.config import Config, ConfigError
from gateway.net.reactor import Reactor
from gateway.observe.journal import Journal, JSONLinesSink
from gateway.observe.records import Record
from gateway.observe.systemd import notify, notify_reloading
from gateway.threads import NoThread, in_own_thread

# Seconds that clients have to take in the last reply of a gateway that is in a hurry.
_HURRY = 0.5


@attrs.define(eq=False)
class Gateway(Service):
    """The gateway with every application of a configuration.

    :param load: reads the configuration, at a reload in a thread; raises ConfigError.
    :param give_up: called when the gateway cannot start, with a sentence that says why.
    """

    reactor: Reactor = attrs.field(repr=False)
    load: Callable[[], Config] = attrs.field(repr=False)
    give_up: Callable[[str], None] = attrs.field(repr=False)
    registry: Registry = attrs.field(init=False)
    journal: Journal = attrs.field(factory=Journal, init=False, repr=False)
    _wanted: Config | None = attrs.field(default=None, init=False, repr=False)
    _asked: list[Deferred[tuple[str, ...]]] = attrs.field(factory=list, init=False, repr=False)
    _reloading: bool = attrs.field(default=False, init=False)
    _over: Deferred[None] = attrs.field(factory=Deferred, init=False, repr=False)
    _log: Logger = attrs.field(factory=lambda: Logger("gateway"), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.registry = Registry(self.reactor, self._note)

    def privilegedStartService(self) -> None:
        """Binds every port, while the process may still be privileged."""
        super().privilegedStartService()
        try:
            self._wanted = self.load()
            self.registry.prepare_now(self._wanted).commit()
        except ConfigError as error:
            self.give_up("; ".join(error.mistakes))
        except CannotStart as error:
            self.give_up(str(error))
        forget_unused()

    def startService(self) -> None:
        """Reports that the gateway is ready, once the reactor runs.

        The event file is opened here, as the user that the process stays: each reload opens it again. Events are
        written from here on, in the process that stays.
        """
        if self._wanted is None:  # not every runner has a privileged phase
            self.privilegedStartService()
        try:
            self.journal.use(_open_events(self._wanted))
        except CannotStart as error:
            self.give_up(str(error))
        self.journal.writer.start()
        super().startService()
        self.reactor.callWhenRunning(self._ready)

    def stopService(self) -> Deferred[None]:
        """Lets no more clients in, lets transfers end in time, and fires when every session is over."""
        super().stopService()
        notify("STOPPING=1")
        cleared = self.registry.clear()
        if sessions := self.registry.sessions:
            self._log.info("stopping, sessions left: {sessions}; a second signal cuts them", sessions=sessions)
        cleared.addCallback(lambda _: self._stopped())
        return self._over

    def hurry(self) -> None:
        """Ends at once the transfers that `stopService` lets go on, and hardly waits for the last replies."""
        self.registry.hurry()
        self.reactor.callLater(_HURRY, self._stopped)

    def reload(self) -> Deferred[tuple[str, ...]]:
        """Reads the configuration again: new sessions follow it, running ones go on as they began.

        A configuration with a mistake, or with a port that cannot be bound, is refused as a whole, and the old one
        stays. Calls during a reload share one more reload after it.

        :returns: the mistakes; empty if the new configuration holds now.
        """
        told: Deferred[tuple[str, ...]] = Deferred()
        self._asked.append(told)
        if not self._reloading:
            self._reloading = True
            ensureDeferred(self._work_off())
        return told

    async def _work_off(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            mistakes: tuple[str, ...] | Failure
            try:
                mistakes = await self._reload()
            except Exception:  # a mistake of ours, reported to those who asked
                mistakes = Failure()
            for told in asked:
                told.callback(mistakes)
        self._reloading = False

    async def _reload(self) -> tuple[str, ...]:
        if not self.running:
            return ("the gateway does not run",)
        notify_reloading()
        try:
            await self._change()
        except ConfigError as error:
            mistakes = error.mistakes
        except (CannotStart, NoThread) as error:
            mistakes = (str(error),)
        else:
            mistakes = ()
            self._log.info("configuration reloaded: {places}", places=self._places)
        finally:
            forget_unused()
            if self.running:
                notify("READY=1")  # refused or not, the gateway goes on
        for mistake in mistakes:
            self._log.error("configuration not reloaded: {mistake}", mistake=mistake)
        return mistakes

    async def _change(self) -> None:
        wanted = await in_own_thread(self.reactor, self.load)
        events = await in_own_thread(self.reactor, _open_events, wanted)
        try:
            change = await self.registry.prepare(wanted)
        except BaseException:
            if events is not None:
                events.close()
            raise
        change.commit()
        self._wanted = wanted
        self.journal.use(events)

    def _ready(self) -> None:
        self._log.info("ftp-gateway ready: {places}", places=self._places)
        notify("READY=1")

    @property
    def _places(self) -> str:
        return ", ".join(f"{port.terms.name} on {place}" for place, port in self.registry.ports.items())

    def _stopped(self) -> None:
        if self._over.called:  # by a caller who was in a hurry
            return
        self.registry.close()
        self.journal.use(None)
        self.journal.writer.stop()
        self._over.callback(None)

    def _note(
        self, record: Record, session: int | None = None, client: str | None = None, application: str | None = None
    ) -> None:
        self.journal.note(record, application, session, client)


def _open_events(wanted: Config | None) -> JSONLinesSink | None:
    if wanted is None or wanted.events.path is None:
        return None
    path = wanted.events.path
    try:
        return JSONLinesSink.open(path)
    except OSError as error:
        raise CannotStart(f"events.path: cannot write {path}: {error.strerror}") from error
