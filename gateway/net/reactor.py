"""The reactor, as the whole gateway uses it."""

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
    """A reactor with descriptors, timers, listening ports, name look-ups and threads."""
