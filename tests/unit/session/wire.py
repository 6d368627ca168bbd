"""A session at the end of two wires: bytes in, in any pieces, and bytes out. Its origin answers at once, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

import attrs

from gateway.ftp.commands import Command
from gateway.ftp.lines import LineReader, Unclean
from gateway.ftp.replies import NotFTP, ReplyAssembler
from gateway.ftp.telnet import TelnetFilter
from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.events import Towards
from gateway.session.judge import Judge, Setting
from tests.unit.session.playbook import ORIGIN, SETTING


@attrs.define(eq=False)
class Wire:
    """What a relay does with bytes, without the sockets.

    :param answer: what the origin says to a line, ends of lines included.
    :param cut: how the origin's bytes are cut in pieces.
    """

    answer: Callable[[bytes], bytes]
    cut: Callable[[bytes], list[bytes]]
    setting: Setting = SETTING
    to_client: bytes = b""
    to_origin: bytes = b""
    session: Judge = attrs.field(init=False)
    _telnet: TelnetFilter = attrs.field(factory=TelnetFilter, init=False)
    _commands: LineReader = attrs.field(factory=lambda: LineReader(4096), init=False)
    _reply_lines: LineReader = attrs.field(factory=lambda: LineReader(8192), init=False)
    _replies: ReplyAssembler = attrs.field(factory=lambda: ReplyAssembler(1000, 1 << 20), init=False)
    _events: deque[on.Event] = attrs.field(factory=deque, init=False)
    _from_origin: deque[bytes] = attrs.field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self.session = Judge(self.setting)

    def run(self, pieces: list[bytes]) -> tuple[bytes, bytes]:
        """What the client and the origin get where the client sends these pieces."""
        self._events += (on.Started(), on.OriginConnected(ip_address(ORIGIN)))
        self._says(b"220 Ready at " + ORIGIN.encode() + b"\r\n")
        self._work()
        for piece in pieces:
            self._commands.feed(self._telnet.strip(piece))
            self._work()
        return self.to_client, self.to_origin

    def _says(self, data: bytes) -> None:
        self._from_origin += self.cut(data)

    def _work(self) -> None:
        while not self.session.ended and (event := self._next_event() or self._next_reply() or self._next_command()):
            for action in self.session.receive(event):
                self._perform(action)

    def _next_event(self) -> on.Event | None:
        return self._events.popleft() if self._events else None

    def _next_reply(self) -> on.Event | None:
        while True:
            while (line := self._reply_lines.next_line()) is not None:
                try:
                    reply = None if isinstance(line, Unclean) else self._replies.feed(line)
                except NotFTP as error:
                    return on.OriginBroke(str(error))
                if reply is not None:
                    return on.ReplyReceived(reply)
            if not self._from_origin:
                return None
            self._reply_lines.feed(self._from_origin.popleft())

    def _next_command(self) -> on.Event | None:
        line = self._commands.next_line() if self.session.hungry else None
        if line is None:
            return None
        return on.UncleanReceived(line) if isinstance(line, Unclean) else on.CommandReceived(Command.parse(line))

    def _perform(self, action: do.Action) -> None:
        match action:
            case do.SendToClient(data):
                self.to_client += data
            case do.SendToOrigin(data):
                self.to_origin += data
                self._says(self.answer(data))
            case do.OpenData():
                self._events.append(on.DataListening(IPv4Address("192.0.2.1")))
            case do.DialData():
                self._events += (on.DataConnected(), *(on.DataDelivered(towards) for towards in Towards))
