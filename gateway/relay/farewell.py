"""The end of a client that is not let in."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway.relay.sides import Side


@attrs.frozen
class Farewell:
    """Owns a side that is closing, and listens to nothing.

    :param gone: called with the side, once that is closed.
    """

    gone: Callable[[Side], None] = attrs.field(repr=False)

    def received(self, side: Side, data: bytes) -> None:
        """Cannot be: the side is closing."""

    def secured(self, side: Side) -> None:
        """Cannot be: there is no TLS."""

    def insecure(self, side: Side, reason: str) -> None:
        """Neither."""

    def flow_changed(self) -> None:
        """Nothing more is sent."""

    def failed(self) -> None:
        """The log has it."""

    def lost(self, side: Side) -> None:
        """The connection is gone."""
        self.gone(side)
