"""The reactor, as all of the gateway uses it."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
)


class Reactor(IReactorCore, IReactorFDSet, IReactorPluggableNameResolver, IReactorTCP, IReactorTime):
    """Descriptors, timers, listening ports and name look-ups."""
