"""Playbooks: the events of a session and the actions that follow, as a script that a newcomer can read.

A line that begins at the margin is an event; the indented lines under it are the actions expected, all of them, in
order. Each ``client:`` or ``origin:`` action is one write; its last CRLF is left out, every other byte that is not
printable ASCII is escaped as in Python. A deadline that is disarmed though it does not run is left out.

::

    client: PORT 127,0,0,1,4,1
        note commandRefused verb=PORT reply='502 Active mode is not supported; use EPSV or PASV.'
        client: 502 Active mode is not supported; use EPSV or PASV.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import ndiff
from ipaddress import IPv4Address, ip_address
from textwrap import dedent

import attrs

from gateway.addresses import PortMap
from gateway.ftp.commands import Command
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import Reply, ReplyAssembler
from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.client_tls import TLSTerms
from gateway.session.events import Deadline, Towards
from gateway.session.judge import Judge
from gateway.session.policy import Policy
from gateway.session.setting import Setting

ORIGIN = "198.51.100.1"
CLIENT = "203.0.113.7"
PUBLIC = "192.0.2.1"

MIRRORED = PortMap(range(20000, 20021), range(20000, 20021))
MAPPED = PortMap(range(20000, 20021), range(30000, 30021))

SETTING = Setting(
    name="ftp.example.com",
    client=ip_address(CLIENT),
    public=PUBLIC,
    policy=Policy(),
    banner=None,
    tls=TLSTerms(),
)

NAMED = attrs.evolve(SETTING, public="public.example")
OVER_IPV6 = attrs.evolve(SETTING, client=ip_address("2001:db8::7"), public="2001:db8::1")

_OPENING = """
    client connects
        arm login
        connect origin
    origin connects
    origin: 220 Ready
        arm idle
        client: 220 Ready
"""

# Scripts to begin with: a port listens; the origin's accepted; a download runs; its completion is held.
LISTENING = """\
client: EPSV
    origin: EPSV
origin: 229 Extended Passive (|||20000|)
    open data, origin 20000, public 20000
data listens
    client: 229 Extended Passive (|||20000|)
"""
CONNECTED = LISTENING + "data connected\n"
RUNNING = f"""{CONNECTED}
client: RETR file
    origin: RETR file
origin: 150 Here it comes
    client: 150 Here it comes
"""
COMPLETING = RUNNING + "origin: 226 Transfer complete\n"


@attrs.define
class Playbook:
    """A session, and the transcript of what was played with it.

    :param host: the origin's host name.
    :param ports: the origin's passive ports.
    :param idle: whether the idle deadline is part of the script; where not, arming and disarming it is left out.
    :param guarded: whether the guard is part of the script; where not, it admits everything, and is left out.
    """

    setting: Setting = SETTING
    origin: str = ORIGIN
    idle: bool = False
    guarded: bool = attrs.field(default=False, init=False)
    host: str | None = None
    ports: PortMap = MIRRORED
    session: Judge = attrs.field(init=False)
    _armed: set[Deadline] = attrs.field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self.session = Judge(self.setting)

    @classmethod
    def opened(
        cls,
        setting: Setting = SETTING,
        *,
        origin: str = ORIGIN,
        idle: bool = False,
        host: str | None = None,
        ports: PortMap = MIRRORED,
    ) -> Playbook:
        """A session whose greeting is over."""
        play = cls(setting, origin, idle=True, host=host, ports=ports)
        play(_OPENING)
        play.idle = idle
        return play

    def __call__(self, script: str) -> None:
        """Plays the events of the script; fails where the actions are others, and shows the difference."""
        expected = [line for line in dedent(script).splitlines() if line.strip()]
        played = []
        for line in expected:
            if not line.startswith(" "):
                played.append(line)
                played += [f"    {action}" for action in self._receive(line)]
        if played != expected:
            difference = "\n".join(ndiff(expected, played))
            raise AssertionError(f"expected -, played +\n{difference}")

    def happens(self, line: str) -> None:
        """Plays one event, whatever its actions are."""
        list(self._receive(line))

    def _receive(self, line: str) -> Iterator[str]:
        event = self._event(line)
        if isinstance(event, on.DeadlinePassed):
            self._armed.discard(event.deadline)
        yield from self._judge(event)

    def _judge(self, event: on.Event) -> Iterator[str]:
        for action in self.session.receive(event):
            if self._matters(action):
                yield _told(action)
            if not self.guarded and type(action) in _ADMITTED:
                yield from self._judge(_ADMITTED[type(action)])

    def _matters(self, action: do.Action) -> bool:
        if isinstance(action, _GUARD):
            return self.guarded
        match action:
            case do.Arm(deadline):
                self._armed.add(deadline)
            case do.Disarm(deadline) if deadline not in self._armed:
                return False
            case do.Disarm(deadline):
                self._armed.remove(deadline)
            case _:
                return True
        return self.idle or deadline is not Deadline.IDLE

    def _event(self, line: str) -> on.Event:
        for pattern, event in _EVENTS:
            if match := re.fullmatch(pattern, line):
                return event(*match.groups())
        if line == "origin connects":
            return on.OriginConnected(ip_address(self.origin), self.host, self.ports)
        raise ValueError(f"no such event: {line}")


_ADMITTED: dict[type[do.Action], on.Event] = {
    do.AttemptLogin: on.LoginAdmitted(),
    do.ReserveData: on.DataReserved(),
}
_GUARD = (*_ADMITTED, do.ConfirmLogin, do.ReapplyLogin, do.WithdrawLogin, do.FreeData)


def _bytes(text: str) -> bytes:
    """What is escaped in a script."""
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


def _text(data: bytes) -> str:
    if not data.endswith(b"\r\n"):
        return f"{data!r}, without CRLF"
    return data[:-2].decode("latin-1").encode("unicode_escape").decode()


def _reply(text: str) -> Reply:
    assembler = ReplyAssembler(1000, 1_000_000)
    [reply] = filter(None, map(assembler.feed, _bytes(text).split(b"\r\n")))
    return reply


_EVENTS: tuple[tuple[str, Callable[..., on.Event]], ...] = (
    ("client connects", on.Started),
    ("client: (.*)", lambda text: on.CommandReceived(Command.parse(_bytes(text)))),
    ("client unclean: (.*)", lambda name: on.UncleanReceived(Unclean[name])),
    ("client is foreign", on.ForeignReceived),
    ("client floods with Telnet", on.TelnetFlooded),
    ("client lost", on.ClientLost),
    ("origin fails: (.*)", on.OriginFailed),
    ("origin: (.*)", lambda text: on.ReplyReceived(_reply(text))),
    ("origin breaks: (.*)", on.OriginBroke),
    ("origin lost", on.OriginLost),
    ("data listens", lambda: on.DataListening(None)),
    ("data listens, public address (.*)", lambda host: on.DataListening(IPv4Address(host))),
    ("data connected", on.DataConnected),
    ("data delivered to (.*)", lambda side: on.DataDelivered(Towards(side))),
    ("data ended", on.DataEnded),
    ("data ended, insecure", lambda: on.DataEnded(insecure=True)),
    ("login admitted", on.LoginAdmitted),
    ("banned", on.Banned),
    ("data reserved", on.DataReserved),
    (r"data denied, limit (\d+)", lambda limit: on.DataDenied(int(limit))),
    ("data ended, no transfer command", lambda: on.DataEnded(expired=True)),
    ("failed login counted", lambda: on.FailedLoginCounted(last=False)),
    ("failed login counted, the last", lambda: on.FailedLoginCounted(last=True)),
    ("client secured", on.ClientSecured),
    ("client TLS fails: (.*)", on.ClientTLSFailed),
    ("origin secured", on.OriginSecured),
    ("origin TLS fails: (.*)", on.OriginTLSFailed),
    ("bytes in the clear", on.Injected),
    ("opaque bytes", on.OpaqueMoved),
    (r"opaque channels: (\d+)", lambda count: on.OpaqueChannels(int(count))),
    ("deadline (.*)", lambda name: on.DeadlinePassed(Deadline(name))),
    ("draining", on.Draining),
    ("stopped", on.Stopped),
)


def _told(action: do.Action) -> str:
    match action:
        case do.ConnectOrigin():
            return "connect origin"
        case do.SendToClient(data):
            return f"client: {_text(data)}"
        case do.SendToOrigin(data):
            return f"origin: {_text(data)}"
        case do.OpenData(origin_port, public_port):
            return f"open data, origin {origin_port}, public {public_port}"
        case do.StartClientTLS(data):
            return f"client TLS behind: {_text(data)}" if data else "client TLS"
        case do.StartOriginTLS():
            return "origin TLS"
        case do.GoOpaque(data):
            return f"opaque behind: {_text(data)}"
        case do.BeginData(secure, towards):
            to = "" if towards is None else f" to {towards.value}"
            return f"begin data{to}, {'secure' if secure else 'clear'}"
        case do.DialData():
            return "dial data"
        case do.ReleaseData():
            return "release data"
        case do.AbortData():
            return "abort data"
        case do.ReserveData():
            return "reserve data"
        case do.FreeData():
            return "free data"
        case do.AttemptLogin():
            return "attempt login"
        case do.ConfirmLogin():
            return "confirm login"
        case do.ReapplyLogin():
            return "reapply"
        case do.WithdrawLogin():
            return "withdraw login"
        case do.CountFailedLogin():
            return "count failed login"
        case do.Arm(deadline):
            return f"arm {deadline.value}"
        case do.Disarm(deadline):
            return f"disarm {deadline.value}"
        case do.Note(record):
            return " ".join([f"note {record.name}", *(f"{key}={value!r}" for key, value in record.fields().items())])
        case do.Close(outcome):
            return f"close: {outcome.value}"
