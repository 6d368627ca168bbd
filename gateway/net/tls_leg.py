"""A leg with TLS on its real socket: no byte passes through a memory buffer of ours besides the pump's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from socket import SHUT_WR

import attrs
from OpenSSL import SSL
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.net.leg import Leg, nothing
from gateway.tls.errors import reason

_log = Logger("gateway")

_LOST = "connection lost"
_EOF = "unexpected eof"  # in OpenSSL's words
_RECORD = 16384  # bytes, the most in one TLS record (RFC 8446 section 5.1)
MAX_RECORDS = 64  # records in one read: a peer that fills them with a byte each would hold the process meanwhile
_WRITE = 4 * _RECORD  # bytes in one call: several records cost less together, and a slow peer still shows progress


class TLSBroken(ConnectionResetError):
    """A failure of TLS after its handshake. The text is OpenSSL's reason."""


@attrs.frozen
class Handshake:
    """The way in which a leg becomes secure.

    :param wrap: makes a TLS connection of a socket; its handshake has not begun.
    :param check: gives the reason why a complete handshake is not good enough; None where it is.
    """

    wrap: Callable[..., SSL.Connection]
    check: Callable[[SSL.Connection], str | None]


@attrs.define(eq=False)
class TLSLeg(Leg):
    """A connected socket that speaks TLS.

    Its end of file is close_notify. A peer's FIN without it is a broken connection (RFC 8446 section 6.1), and a leg
    that is reset sends no close_notify: so a cut stream does not look whole on either side.
    """

    handshake: Handshake = attrs.field(kw_only=True, repr=False)
    connection: SSL.Connection = attrs.field(init=False, repr=False)
    _handshaking: bool = attrs.field(default=True, init=False)
    _notified: bool = attrs.field(default=False, init=False)
    _at_end: bool = attrs.field(default=False, init=False)
    _failure: OSError | None = attrs.field(default=None, init=False, repr=False)
    _write_failed: bool = attrs.field(default=False, init=False)
    _reads: bool = attrs.field(default=False, init=False)
    _writes: bool = attrs.field(default=False, init=False)
    _write_awaits_read: bool = attrs.field(default=False, init=False)
    _read_awaits_write: bool = attrs.field(default=False, init=False)
    _reading_soon: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        Leg.__attrs_post_init__(self)
        self.connection = self.handshake.wrap(self.socket)

    def secure(self, done: Callable[[str | None], None], heard: Callable[[], None] = nothing) -> None:
        """Shakes hands; ``done`` is called once: with the reason of the failure, or None.

        :param heard: called whenever bytes of the peer's came.
        """

        def go_on() -> None:
            try:
                self.connection.do_handshake()
            except SSL.WantReadError:
                Leg.watch_reads(self, True)
                Leg.watch_writes(self, False)
            except SSL.WantWriteError:
                Leg.watch_writes(self, True)
            except SSL.Error as error:
                self._forget()
                done(reason(error))
            else:
                self._forget()
                self._handshaking = False
                done(self.handshake.check(self.connection))

        def read() -> None:
            heard()
            go_on()

        self.readable, self.writable = read, go_on
        self.broken = lambda: done(_LOST)
        go_on()

    @property
    def tls(self) -> tuple[str, str] | None:
        return self.connection.get_protocol_version_name(), self.connection.get_cipher_name() or ""

    def watch_reads(self, on: bool) -> None:
        self._reads = on
        self._watch()
        # The reactor does not report bytes, or their end, that were already taken from the socket.
        held = self._at_end or self._failure is not None or self.connection.pending()
        if on and held and not self._reading_soon:
            self._reading_soon = True
            self.reactor.callLater(0, self._read_pending)  # type: ignore[attr-defined]

    def watch_writes(self, on: bool) -> None:
        self._writes = on
        self._watch()

    def receive(self, most: int) -> bytes:
        buffer = bytearray(most)
        return bytes(buffer[: self.receive_into(memoryview(buffer))])

    def receive_into(self, buffer: memoryview) -> int:
        received = 0
        for _ in range(MAX_RECORDS):
            if received == len(buffer) or self._failure is not None or self._at_end:
                break
            try:
                received += self.connection.recv_into(buffer[received : received + _RECORD])
            except SSL.WantReadError:
                break
            except SSL.WantWriteError:
                self._read_awaits_write = True
                self._watch()
                break
            except SSL.ZeroReturnError:
                self._at_end = True
            except SSL.Error as error:
                # After a failed write OpenSSL reads nothing more, and does not say why.
                self._failure = ConnectionResetError(_LOST) if self._write_failed else _broken(error)
        if received or self._at_end:
            return received
        raise self._failure or BlockingIOError()

    def send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self.connection.send(data[:_WRITE])
        except SSL.WantWriteError:
            raise BlockingIOError from None
        except SSL.WantReadError:
            self._write_awaits_read = True
            self._watch()
            raise BlockingIOError from None
        except SSL.Error as error:
            self._write_failed = True
            raise _broken(error) from None

    def finish(self) -> None:
        self._notify()
        self.socket.shutdown(SHUT_WR)

    def close(self) -> None:
        if not self._handshaking:
            with contextlib.suppress(OSError):
                self._notify()
        Leg.close(self)

    def reset(self) -> None:
        # Without close_notify OpenSSL makes the session not resumable for the data connections to come. This sends
        # nothing.
        self.connection.set_shutdown(SSL.SENT_SHUTDOWN)
        Leg.reset(self)

    def _notify(self) -> None:
        if self._notified:
            return
        try:
            self.connection.shutdown()
        except (SSL.WantWriteError, SSL.WantReadError):
            raise BlockingIOError from None
        except SSL.Error as error:
            self._write_failed = True
            raise _broken(error) from None
        self._notified = True

    def _watch(self) -> None:
        Leg.watch_reads(self, self._reads or self._write_awaits_read)
        Leg.watch_writes(self, self._writes or self._read_awaits_write)

    def _read_pending(self) -> None:
        self._reading_soon = False
        if not self._reads:
            return
        try:
            self.readable()
        except Exception:  # as the reactor does when it called
            _log.failure("a TLS connection could not be served")
            self.connectionLost(Failure())

    def _forget(self) -> None:
        self._reads = self._writes = False
        Leg._forget(self)

    def doRead(self) -> None:
        if self._handshaking:
            self.readable()
            return
        if self._write_awaits_read:
            self._write_awaits_read = False
            self._watch()
            if self._writes:
                self.writable()
        if self._reads:
            self.readable()

    def doWrite(self) -> None:
        if self._handshaking:
            self.writable()
            return
        if self._read_awaits_write:
            self._read_awaits_write = False
            self._watch()
            if self._reads:
                self.readable()
        if self._writes:
            self.writable()


def _broken(error: SSL.Error) -> ConnectionResetError:
    """The error for a broken leg: a connection lost without close_notify is not a failure of TLS itself."""
    lost = isinstance(error, SSL.SysCallError) or _EOF in reason(error)
    return ConnectionResetError(reason(error)) if lost else TLSBroken(reason(error))
