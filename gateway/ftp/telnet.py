"""Telnet commands inside the control connection (RFC 959 section 3.1 and RFC 854)."""

from __future__ import annotations

import enum

import attrs

IAC = 0xFF
_SE = 0xF0
_SB = 0xFA
_WILL = 0xFB  # the first of WILL, WONT, DO and DONT (0xFB to 0xFE), which carry one option byte


class _State(enum.Enum):
    TEXT = enum.auto()
    COMMAND = enum.auto()  # after IAC
    OPTION = enum.auto()  # after IAC WILL, WONT, DO or DONT
    SUBNEGOTIATION = enum.auto()  # after IAC SB, up to IAC SE
    SUBNEGOTIATION_COMMAND = enum.auto()  # after an IAC inside a subnegotiation


@attrs.define
class TelnetFilter:
    """The state of a Telnet stream: it gives the text and drops the commands; ``IAC IAC`` is one 0xFF byte.

    A peer that asks for an option gets no answer: no FTP client waits for one (RFC 1123 section 4.1.2.12 lets a
    server ignore the request).
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
        at = 0
        while at < len(data):
            end = self._end_of_run(data, at)
            if self._state is _State.TEXT:
                text += data[at:end]
            if end > at:
                self._ends_in_text = self._state is _State.TEXT
            if end < len(data):
                before = len(text)
                self._state = self._step(data[end], text)
                self._ends_in_text = len(text) > before
            at = end + 1
        return bytes(text)

    def _end_of_run(self, data: bytes, start: int) -> int:
        """The index of the next byte that may change the state. Long runs of text are not walked byte by byte."""
        if self._state not in (_State.TEXT, _State.SUBNEGOTIATION):
            return start
        end = data.find(IAC, start)
        return len(data) if end < 0 else end

    def _step(self, byte: int, text: bytearray) -> _State:
        match self._state:
            case _State.TEXT:
                return _State.COMMAND
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
                return _State.SUBNEGOTIATION_COMMAND
            case _:  # SUBNEGOTIATION_COMMAND
                return _State.TEXT if byte == _SE else _State.SUBNEGOTIATION
