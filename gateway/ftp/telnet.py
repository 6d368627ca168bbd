"""Telnet commands inside the control connection (RFC 959 section 3.1 and RFC 854)."""

from __future__ import annotations

import enum

import attrs

IAC = 0xFF
_SE = 0xF0
_SB = 0xFA
_WILL = 0xFB  # WILL, WONT, DO and DONT, 0xFB to 0xFE, carry one option byte


class _State(enum.Enum):
    TEXT = enum.auto()
    COMMAND = enum.auto()  # after IAC
    OPTION = enum.auto()  # after IAC WILL, WONT, DO or DONT
    SUBNEGOTIATION = enum.auto()  # after IAC SB, up to IAC SE
    SUBNEGOTIATION_COMMAND = enum.auto()  # after an IAC inside a subnegotiation


@attrs.define
class TelnetFilter:
    """Takes the Telnet commands out of a stream and leaves the text; ``IAC IAC`` is one 0xFF byte.

    The options that a peer asks for are not answered: no FTP client waits for an answer (RFC 1123 section
    4.1.2.12 lets a server ignore them).
    """

    _state: _State = attrs.field(default=_State.TEXT, init=False)
    _ends_in_text: bool = attrs.field(default=True, init=False)

    @property
    def ends_in_text(self) -> bool:
        """Whether nothing came behind the last byte of text."""
        return self._ends_in_text

    def strip(self, data: bytes) -> bytes:
        """The text in ``data``. A command may be split over several calls."""
        if self._state is _State.TEXT and IAC not in data:
            self._ends_in_text = True
            return data
        text = bytearray()
        for byte in data:
            before = len(text)
            self._state = self._step(byte, text)
            self._ends_in_text = len(text) > before
        return bytes(text)

    def _step(self, byte: int, text: bytearray) -> _State:
        match self._state:
            case _State.TEXT:
                if byte == IAC:
                    return _State.COMMAND
                text.append(byte)
                return _State.TEXT
            case _State.COMMAND:
                if byte == IAC:
                    text.append(IAC)
                    return _State.TEXT
                if byte == _SB:
                    return _State.SUBNEGOTIATION
                return _State.OPTION if byte >= _WILL else _State.TEXT
            case _State.OPTION:
                return _State.TEXT
            case _State.SUBNEGOTIATION:
                return _State.SUBNEGOTIATION_COMMAND if byte == IAC else _State.SUBNEGOTIATION
            case _:  # SUBNEGOTIATION_COMMAND
                return _State.TEXT if byte == _SE else _State.SUBNEGOTIATION
