"""A judge at the end of two streams: bytes in, in any pieces, and bytes out. Its origin answers at once, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

import attrs

from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.events import Towards
from gateway.session.judge import Judge
from gateway.session.reading import Reading
from gateway.session.setting import Setting
from tests.unit.session.playbook import MIRRORED, ORIGIN, SETTING


@attrs.define(eq=False)
class Dialogue:
    """What a relay does with bytes, without the sockets.

    :param answer: what the origin says to a line, ends of lines included.
    :param cut: how the origin's bytes are cut in pieces.
    """

    answer: Callable[[bytes], bytes]
    cut: Callable[[bytes], list[bytes]]
    setting: Setting = SETTING
    to_client: bytes = b""
    to_origin: bytes = b""
    judge: Judge = attrs.field(init=False)
    _reading: Reading = attrs.field(factory=Reading, init=False)
    _events: deque[on.Event] = attrs.field(factory=deque, init=False)
    _from_origin: deque[bytes] = attrs.field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self.judge = Judge(self.setting)

    def run(self, pieces: list[bytes]) -> tuple[bytes, bytes]:
        """What the client and the origin get where the client sends these pieces."""
        self._events += (on.Started(), on.OriginConnected(ip_address(ORIGIN), None, MIRRORED))
        self._says(b"220 Ready at " + ORIGIN.encode() + b"\r\n")
        self._work()
        for piece in filter(None, pieces):
            self._reading.commands.feed(piece)
            self._work()
        return self.to_client, self.to_origin

    def _says(self, data: bytes) -> None:
        self._from_origin += self.cut(data)

    def _work(self) -> None:
        while not self.judge.ended and (event := self._next_event()) is not None:
            for action in self.judge.receive(event):
                self._perform(action)

    def _next_event(self) -> on.Event | None:
        if self._events:
            return self._events.popleft()
        while (event := self._reading.next(self.judge)) is None and self._from_origin and self.judge.listens:
            self._reading.replies.feed(self._from_origin.popleft())
        return event

    def _perform(self, action: do.Action) -> None:
        match action:
            case do.SendToClient(data):
                self.to_client += data
            case do.SendToOrigin(data):
                self.to_origin += data
                self._says(self.answer(data))
            case do.AttemptLogin():
                self._events.append(on.LoginAdmitted())
            case do.ReserveData():
                self._events.append(on.DataReserved())
            case do.OpenData():
                self._events.append(on.DataListening(IPv4Address("192.0.2.1")))
            case do.DialData():
                self._events += (on.DataConnected(), *(on.DataDelivered(towards) for towards in Towards))
