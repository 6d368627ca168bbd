"""TLS by Python's ``ssl``, at either end, so that tests share no code with the gateway."""

from __future__ import annotations

import contextlib
import socket
import ssl
from functools import cache

from tests.kit import PATIENCE
from tests.kit.certificates import Pair, certificates

NAME = "ftp.example.com"
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(64))
_TCP_CLOSE = 7  # of Linux's tcp_info: both directions are over, as after a reset


@cache
def origin_context(version: ssl.TLSVersion | None = None, pair: Pair | None = None) -> ssl.SSLContext:
    """The TLS context of an origin."""
    pair = pair or certificates().server
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


@cache
def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """The TLS context of a client, which trusts the test authority."""
    context = ssl.create_default_context(cafile=str(certificates().ca))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def secure_client(
    connection: socket.socket, version: ssl.TLSVersion | None = None, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    """Shakes hands as a client."""
    return client_context(version).wrap_socket(
        connection, server_hostname=NAME, session=session, suppress_ragged_eofs=False
    )


def secure_origin(connection: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Shakes hands as a server."""
    return context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False)


def read_whole(connection: socket.socket) -> bytes:
    """The bytes up to the proper end of a stream."""
    received = bytearray()
    with contextlib.suppress(ssl.SSLZeroReturnError):  # close_notify also raises this where ours was the first
        while chunk := connection.recv(1 << 16):
            received += chunk
    return bytes(received)


def ending(connection: socket.socket) -> str:
    """Reads to the end of a stream, and tells how it ended: "whole", "cut" or "reset"."""
    try:
        read_whole(connection)
    except ssl.SSLEOFError:  # either of the last two
        state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return "reset" if state == _TCP_CLOSE else "cut"
    except ConnectionResetError:
        return "reset"
    return "whole"


def cut(connection: socket.socket) -> None:
    """Ends a TLS stream with a FIN, but without the close_notify that should come before it."""
    socket.socket.shutdown(connection, socket.SHUT_WR)


def finish(connection: socket.socket) -> None:
    """Ends a stream properly; it can still be read."""
    if isinstance(connection, ssl.SSLSocket):
        connection.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):  # the peer's own close_notify is not awaited
            connection.unwrap()
        connection.settimeout(PATIENCE)
    socket.socket.shutdown(connection, socket.SHUT_WR)
