"""Telnet commands inside the control connection (RFC 959 section 3.1 and RFC 854)."""

from __future__ import annotations

import re

import attrs

IAC = b"\xff"
_SUBNEGOTIATION = b"\xff\xfa"  # IAC SB

_TO_END = rb"\xfa[^\xff]*(?:\xff[^\xf0][^\xff]*)*"  # SB, and all before IAC SE
# A command, or the beginning of one at the end of the bytes. WILL, WONT, DO and DONT (0xFB to 0xFE) carry one option
# byte. Every IAC begins a match, so that the expression never goes back.
_COMMAND = re.compile(
    rb"\xff(\xff)"  # IAC IAC, which is text
    rb"|(\xff(?:[\xfb-\xfe]?|%b\xff?)\Z)"
    rb"|\xff(?:[\xfb-\xfe].|%b\xff\xf0|[^\xfa-\xff])" % (_TO_END, _TO_END),
    re.DOTALL,
)


@attrs.define
class TelnetFilter:
    """The state of a Telnet stream: it gives the text and drops the commands; ``IAC IAC`` is one 0xFF byte.

    A peer that asks for an option gets no answer: no FTP client waits for one (RFC 1123 section 4.1.2.12 lets a
    server ignore the request).

    :param commands: the number of commands so far; a subnegotiation is one.
    :param ends_in_text: whether nothing came behind the last byte of text.
    """

    commands: int = attrs.field(default=0, init=False)
    ends_in_text: bool = attrs.field(default=True, init=False)
    _begun: bytes = attrs.field(default=b"", init=False, repr=False)  # as much of a command as tells how it goes on

    def strip(self, data: bytes) -> bytes:
        """The text in ``data``. A command may be split over several calls."""
        if not self._begun and IAC not in data:
            self.ends_in_text = True
            return data
        # Text, then for each match the second IAC or None, the beginning of a command or None, and the next text.
        pieces: list[bytes | None] = _COMMAND.split(self._begun + data)
        escapes, begun = pieces[1::3], pieces[-2]
        self.commands += escapes.count(None) - (begun is not None)
        self.ends_in_text = bool(pieces[-1] or pieces[-3])
        self._begun, pieces[-2] = _shortened(begun or b""), None
        return b"".join(filter(None, pieces))


def _shortened(begun: bytes) -> bytes:
    """The shortest beginning of a command that goes on in the same way; a subnegotiation may have no end."""
    if not begun.startswith(_SUBNEGOTIATION):
        return begun
    last = len(begun) - len(begun.rstrip(IAC))
    return _SUBNEGOTIATION + IAC * (last % 2)  # IAC IAC is a byte of it
