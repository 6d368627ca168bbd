"""The binding of the endpoints at which clients come in."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import attrs
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory
from twisted.internet.tcp import Port
from twisted.python.failure import Failure

from gateway.applications.building import CannotStart
from gateway.net.acceptor import Acceptor
from gateway.net.reactor import Reactor
from gateway.relay.control_port import ControlPort

# The number of clients that may wait to be accepted. A client of FTP speaks second: if the kernel drops one because
# its queue is full, that client waits for a greeting that never comes.
_BACKLOG = 1024


def bind(
    reactor: Reactor, place: str, control_port: ControlPort, refuse: Callable[[socket.socket], bool]
) -> Acceptor:
    """Binds an endpoint. Clients can connect from now on, but wait until the acceptor starts.

    :param refuse: see `Acceptor`.
    :raises CannotStart: where the endpoint cannot be bound.
    """
    results: list[Port | Failure] = []
    name = control_port.terms.name
    try:
        endpoint = serverFromString(reactor, _with_backlog(place))
    except (KeyError, IndexError) as error:
        raise CannotStart(f"{name} cannot listen on {place}: systemd passed no such socket") from error
    endpoint.listen(_Named(name)).addBoth(results.append)
    [result] = results  # these endpoints bind at once
    if isinstance(result, Failure):
        cause = result.value
        if isinstance(cause, CannotListenError):
            cause = cause.socketError
        reason = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else cause
        raise CannotStart(f"{name} cannot listen on {place}: {reason}")
    return Acceptor(reactor, result, control_port.came, refuse)


@attrs.define(eq=False)
class _Named(ServerFactory):
    """The factory that an endpoint wants. It is asked for no protocol, only for the port's name in Twisted's log."""

    noisy = False

    name: str

    def logPrefix(self) -> str:
        return self.name


def _with_backlog(place: str) -> str:
    return f"{place}:backlog={_BACKLOG}" if place.startswith(("tcp:", "tcp6:")) and "backlog=" not in place else place
