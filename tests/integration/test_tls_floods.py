"""A peer that floods the gateway with messages of TLS itself, which carry no byte of FTP."""

from __future__ import annotations

import _ssl
import ctypes
import threading
from collections.abc import Iterator

import attrs
import pytest

from tests.kit.reactor import reactor
from tests.kit.stage import Stage, relays, tls_stage

MANY = 2000
RECORD = 16384  # bytes, the most in one TLS record

OPENSSL = ctypes.CDLL(_ssl.__file__)  # the library that Python's ssl uses, which has no function for a KeyUpdate
for _name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
    getattr(OPENSSL, _name).restype = ctypes.c_void_p
_P = ctypes.c_void_p


@attrs.define(eq=False)
class Flooding:
    """A client's end of TLS 1.3, on a connected socket."""

    descriptor: int
    _context: int = attrs.field(init=False)
    _tls: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._context = OPENSSL.SSL_CTX_new(_P(OPENSSL.TLS_client_method()))
        self._tls = OPENSSL.SSL_new(_P(self._context))
        OPENSSL.SSL_set_fd(_P(self._tls), self.descriptor)
        assert OPENSSL.SSL_connect(_P(self._tls)) == 1

    def update(self) -> None:
        """Sends a KeyUpdate."""
        assert OPENSSL.SSL_key_update(_P(self._tls), 0) == OPENSSL.SSL_do_handshake(_P(self._tls)) == 1

    def send(self, data: bytes) -> None:
        """Sends bytes of FTP."""
        assert OPENSSL.SSL_write(_P(self._tls), data, len(data)) == len(data)

    def free(self) -> None:
        """Frees what OpenSSL allocated; the socket stays open."""
        OPENSSL.SSL_free(_P(self._tls))
        OPENSSL.SSL_CTX_free(_P(self._context))


@pytest.fixture
def on() -> Iterator[Stage]:
    with tls_stage("flexible") as on:
        yield on


def test_key_updates_do_not_hold_the_process(on: Stage) -> None:
    """One call read them all, for as long as they came: nobody else was served."""
    other = on.another()
    assert on.client.ask(b"AUTH TLS").startswith(b"234 ")
    on.client.socket.settimeout(None)  # OpenSSL itself waits
    flooding = Flooding(on.client.socket.fileno())
    held, going_on = threading.Event(), threading.Event()
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not heard.is_set():
            reactor.callLater(0, turn)

    heard = threading.Event()
    reactor.callFromThread(lambda: (held.set(), going_on.wait(), turn()))
    held.wait()
    for _ in range(MANY):
        flooding.update()
    flooding.send(b"NOOP\r\n")
    going_on.set()
    on.control.expect(b"NOOP")
    heard.set()
    flooding.free()
    assert turns > MANY / 2
    assert relays(other)


def test_the_end_of_a_reply_is_not_kept_back() -> None:
    """OpenSSL had it, and the socket reported nothing any more."""
    with tls_stage("full") as on:
        held, going_on = threading.Event(), threading.Event()
        on.client.send(b"STAT\r\n")
        on.control.expect(b"STAT")
        reactor.callFromThread(lambda: (held.set(), going_on.wait()))
        held.wait()
        lines = b" x" * 30 + b"\r\n"
        reply = b"211-Status:\r\n" + lines * 264 + b"211 End.\r\n"
        assert len(reply) - 100 <= RECORD < len(reply)
        on.control.send(reply[:100])
        on.control.send(reply[100:])
        going_on.set()
        assert on.client.reply().endswith(b"211 End.")
