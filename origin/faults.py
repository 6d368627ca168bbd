"""The faults: misbehaviour of an origin that every client, and the gateway, has to survive.

A fault is laid over a session. It sends the dialect's replies in its own way.
"""

import re
from collections.abc import Mapping
from typing import Any

from origin.listener import DTPHandler
from origin.speaker import Speaker

LATENESS = 0.1  # seconds that a late reply is late


class Split(Speaker):
    """every character of a reply in a packet of its own"""

    def say(self, words: str) -> None:
        for character in words:  # pyftpdlib switches Nagle's algorithm off
            super().say(character)


class Late(Speaker):
    """every reply a tenth of a second late"""

    def say(self, words: str) -> None:
        self.call_later(LATENESS, super().say, words)

    def close_when_done(self) -> None:
        """Close after the last reply."""
        self.call_later(LATENESS, super().close_when_done)


class OutOfOrder(Speaker):
    """the 150 of a transfer after its 226"""

    _held = ""

    def say(self, words: str) -> None:
        if words.startswith("1"):
            self._held = words
        else:
            super().say(words + self._held)
            self._held = ""


class Twice(Speaker):
    """every final reply twice"""

    def say(self, words: str) -> None:
        super().say(words if words.startswith("1") else words + words)


class WrongAddress(Speaker):
    """227 names 203.0.113.66, another host"""

    def say(self, words: str) -> None:
        if words.startswith("227"):
            words = re.sub(r"\d+,\d+,\d+,\d+(?=,\d+,\d+)", "203,0,113,66", words)
        super().say(words)


class OtherPort(Speaker):
    """227 and 229 name the next passive port, which nobody listens on"""

    def say(self, words: str) -> None:
        if words.startswith(("227", "229")):
            words = re.sub(r"(\d+),(\d+)(?=\D*$)|(\d+)(?=\D*$)", self._other, words)
        super().say(words)

    def _other(self, named: re.Match[str]) -> str:
        high, low, port = named.groups()
        ports = self.passive_ports or range(1, 65536)
        mine = int(port) if port else int(high) << 8 | int(low)
        other = next((following for following in ports if following > mine), ports[0])
        return str(other) if port else f"{other >> 8},{other & 0xFF}"


class Mortal(Speaker):
    """A session that dies, for the faults that follow."""

    _dead = False

    def die(self) -> None:
        """Say no more, and close everything once the loop comes round, not in the middle of its work."""
        self._dead = True
        self.call_later(0, self.close)

    def say(self, words: str) -> None:
        if not self._dead:
            super().say(words)


class DieInReply(Mortal):
    """dies in the middle of the first reply after the login"""

    def say(self, words: str) -> None:
        if not self.authenticated or words.startswith("230"):
            super().say(words)
        else:
            super().say(words[: len(words) // 2])
            self.die()


class DieInTransfer(Mortal):
    """dies in the middle of a transfer: control and data connection close"""

    use_sendfile = False  # otherwise the kernel would send the file, all at once

    @property
    def dtp_handler(self) -> Any:
        """The data handler that pyftpdlib has for this kind of session, but ending with its first block."""
        return type("Data", (_FirstBlock, super().dtp_handler), {})


class _FirstBlock(DTPHandler):  # type: ignore[misc]  # pyftpdlib has no type hints
    def send(self, data: bytes) -> int:
        sent: int = super().send(data[: len(data) // 2 + 1])
        return sent

    def readable(self) -> bool:
        return not self._over() and bool(super().readable())

    def writable(self) -> bool:
        return not self._over() and bool(super().writable())

    def _over(self) -> bool:
        if self.get_transmitted_bytes() == 0:
            return False
        self.cmd_channel.die()
        return True


class DieBefore226(Mortal):
    """dies after a transfer, instead of sending its 226"""

    def say(self, words: str) -> None:
        if words.startswith("226"):
            self.die()
        super().say(words)


class Early226(Speaker):
    """226 right after the 150, before the data"""

    _said = False

    def say(self, words: str) -> None:
        if words.startswith("1"):
            self._said = True
            super().say(f"{words}226 Transfer complete.\r\n")
        elif self._said and words.startswith(("226", "426")):
            self._said = False
        else:
            super().say(words)


FAULTS: Mapping[str, type[Speaker]] = {
    "split": Split,
    "late": Late,
    "out-of-order": OutOfOrder,
    "twice": Twice,
    "wrong-address": WrongAddress,
    "other-port": OtherPort,
    "die-in-reply": DieInReply,
    "die-in-transfer": DieInTransfer,
    "die-before-226": DieBefore226,
    "early-226": Early226,
}
"""The faults by name; the docstring describes each."""
