"""The pumps, which carry bytes from one leg to another."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from gateway.data.pump import BUFFER, best_pump
from gateway.net.leg import Leg
from tests.kit.manual_reactor import ManualReactor
from tests.unit.data.test_port import no_descriptors


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, Leg]]:
    """A peer, and the leg that leads to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=20) as peer, server.accept()[0] as ours:
            yield peer, Leg(ManualReactor(), ours)


def test_a_process_out_of_descriptors_copies_on() -> None:
    with connected() as (origin, source), connected() as (client, sink):
        pump = best_pump(plain=True)
        sent = got = 0
        with no_descriptors():
            while got < 2 * BUFFER:
                origin.sendall(bytes(10_000))
                sent += 10_000
                source.socket.setblocking(True)  # it is on its way
                pump.fill(source)
                while pump.pending:
                    pump.drain(sink)
                while got < sent:
                    got += len(client.recv(sent - got))
        pump.close()
