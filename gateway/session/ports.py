"""The origin's passive ports and the public ports that stand for them."""

from __future__ import annotations

import attrs


@attrs.frozen
class PassivePorts:
    """A range of ports at the origin, and one of equal length at the gateway."""

    origin: range
    public: range

    @property
    def mirrored(self) -> bool:
        """Whether each port stands for its own number."""
        return self.origin == self.public

    def public_port(self, port: int) -> int | None:
        """The public port that stands for the origin's ``port``; None outside the range."""
        return self.public[port - self.origin.start] if port in self.origin else None

    def __str__(self) -> str:
        return f"{self.origin[0]}-{self.origin[-1]}"
