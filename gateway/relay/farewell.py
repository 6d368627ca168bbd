"""The farewell to a client that is not let in."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway.relay.sides import Side


@attrs.frozen
class Farewell:
    """The owner of a side that is closing; it listens to nothing.

    :param gone: called with the side, once the side is closed.
    """

    gone: Callable[[Side], None] = attrs.field(repr=False)

    def received(self, side: Side, data: bytes) -> None:
        """Never called: the side is closing."""

    def secured(self, side: Side) -> None:
        """Never called: there is no TLS."""

    def insecure(self, side: Side, reason: str) -> None:
        """Never called, either."""

    def flow_changed(self) -> None:
        """Does nothing: no more is sent."""

    def failed(self) -> None:
        """Does nothing: the exception is in the log."""

    def lost(self, side: Side) -> None:
        """Called when the connection is gone."""
        self.gone(side)
