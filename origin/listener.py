"""The parts of pyftpdlib that make up an origin, and the few changes to them.

No other module imports pyftpdlib.
"""

import logging
import socket
import warnings
import weakref
from typing import Any

# pyftpdlib is built on asyncore and asynchat, which warn of their removal whenever they are imported.
with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import AsyncChat, IOLoop
    from pyftpdlib.servers import FTPServer

__all__ = [
    "DTPHandler",
    "DummyAuthorizer",
    "FTPHandler",
    "IOLoop",
    "ImplicitTLSHandler",
    "Listener",
    "PassivePort",
    "TLS_FTPHandler",
    "Waker",
]

# pyftpdlib's loop would set up logging for the whole process if neither this logger nor the root one had a handler.
logger = logging.getLogger("pyftpdlib")
logger.addHandler(logging.NullHandler())

ACCEPT_PAUSE = 0.1  # seconds until another accept, after one failed


class Listener(FTPServer):  # type: ignore[misc]  # pyftpdlib has no type hints
    """The listening control port: it takes any number of sessions, and closes them all when it closes."""

    max_cons = 0  # fewer than 200 sessions with transfers would use up pyftpdlib's 512 sockets
    max_cons_per_ip = 0  # behind a gateway every session comes from one address

    def __init__(self, bound: socket.socket, session: type[Any], loop: Any) -> None:
        # A session that waits out a failed login, or quits during a transfer, is not in the loop's map: only a set of
        # our own can find it. (Weak: sessions come and go by themselves.)
        self._sessions: weakref.WeakSet[Any] = weakref.WeakSet()
        super().__init__(bound, session, ioloop=loop, backlog=socket.SOMAXCONN)

    def handle_accepted(self, sock: socket.socket, addr: tuple[Any, ...]) -> None:
        session = super().handle_accepted(sock, addr)
        if session is not None:
            self._sessions.add(session)

    def handle_error(self) -> None:
        """Rest a moment after a failed accept; pyftpdlib would close the port for good.

        Accepting fails while the process has no file descriptor left, and would fail again at once.
        """
        logger.exception("cannot accept a connection")
        self.del_channel()
        self.call_later(ACCEPT_PAUSE, self.add_channel)

    def close(self) -> None:
        super().close()
        for session in list(self._sessions):
            session.close()


class PassivePort(FTPHandler.passive_dtp):  # type: ignore[misc]  # pyftpdlib has no type hints
    """The port at which a client's data connection is awaited."""

    def bind_af_unspecified(self, addr: tuple[str, int]) -> Any:
        """Find out an address's family with a socket on trial, which is out of the loop again afterwards.

        pyftpdlib would close that socket first, and then take its descriptor out of the loop; by then the descriptor
        may belong to another thread.
        """
        family = super().bind_af_unspecified(addr)
        self.del_channel()
        return family


class ImplicitTLSHandler(TLS_FTPHandler):  # type: ignore[misc]  # pyftpdlib has no type hints
    """A session with TLS from the first byte on, which pyftpdlib does not know."""

    def handle(self) -> None:
        """Begin with the handshake; pyftpdlib greets here."""
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self) -> None:
        """Greet."""
        super().handle()


class Waker(AsyncChat):  # type: ignore[misc]  # pyftpdlib has no type hints
    """One end of a socket pair, watched by a loop in its thread.

    When the other end is closed, from whichever thread, the loop closes at once with everything in it.
    """

    def handle_close(self) -> None:
        self.ioloop.close()
