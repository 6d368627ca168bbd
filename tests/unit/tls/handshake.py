"""The two ends of TLS and the bytes between them: no network, and no reactor."""

from __future__ import annotations

from OpenSSL import SSL


def shake_hands(client: SSL.Connection, server: SSL.Connection) -> None:
    """Until both are done, session tickets included.

    :raises SSL.Error: that of the end which gave up first.
    """
    client.set_connect_state()
    server.set_accept_state()
    waiting = [client, server]
    while waiting:
        for end, other in ((client, server), (server, client)):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            else:
                waiting = [one for one in waiting if one is not end]
            pass_on(end, other)
    assert hear(client) == b""


def pass_on(source: SSL.Connection, sink: SSL.Connection) -> None:
    """What one end has written."""
    while True:
        try:
            sink.bio_write(source.bio_read(1 << 16))
        except SSL.WantReadError:
            return


def leave(*ends: SSL.Connection) -> None:
    """Lets them go as if in order: OpenSSL does not resume the session of one that goes otherwise."""
    for end in ends:
        end.set_shutdown(SSL.SENT_SHUTDOWN)


def hear(end: SSL.Connection) -> bytes:
    """What came, so far."""
    try:
        return end.recv(1 << 16)
    except SSL.WantReadError:
        return b""
