"""The reactor, as all of the gateway uses it."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
)


class Reactor(IReactorCore, IReactorFDSet, IReactorPluggableNameResolver, IReactorTCP, IReactorThreads, IReactorTime):
    """Descriptors, timers, listening ports, name look-ups and threads."""
