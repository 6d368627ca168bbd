"""The recorder through which the other tests reach gateways: it finds what it must, and changes nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.ftp.replies import Reply
from gateway.ftp.scrub import Scrubber
from origin import Origin
from tests.kit import PATIENCE
from tests.kit.capture import Recorder, naming, recorded
from tests.kit.clients import logged_in
from tests.kit.gateway import application, gateway
from tests.kit.ports import take

PORTS = take(10)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.2", b"220 FTP server (127.0.0.2) ready."),
        ("127.0.0.2", b"227 Entering Passive Mode (127,0,0,2,78,52)."),
        ("127.0.0.2", b"connected to ::ffff:127.0.0.2:21"),
        ("2001:db8::2", b"connected to 2001:db8::2."),
        ("2001:db8::2", b"connected to 2001:DB8:0:0::0002:"),
        ("2001:db8::", b"in 2001:db8::"),
        ("ftp.internal", b"220 FTP.Internal ready"),
    ],
)
def test_every_way_to_name_a_host_is_found(host: str, told: bytes) -> None:
    assert naming(host, b"200 before\r\n" + told + b"\r\n200 behind") == [told]


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.2", b"127.0.0.21 1127.0.0.2 127,0,0,20,1,2 127.0.0.3"),
        ("2001:db8::2", b"2001:db8::20 at 12:30:02, 229 (|||22000|) :: :"),
        ("ftp.internal", b"ftpxinternal my-ftp.internal ftp.internals"),
    ],
)
def test_other_hosts_are_not_taken_for_it(host: str, told: bytes) -> None:
    assert naming(host, told) == []


def test_a_leak_fails_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(self: Scrubber, reply: Reply) -> Reply:
        return reply

    monkeypatch.setattr(Scrubber, "scrub", leave)
    users = {"user": "secret"}
    with (
        Origin(tmp_path, listen=("127.0.0.2", 0), passive_ports=PORTS, users=users) as origin,
        gateway(application(origin.address, PORTS)) as running,
        pytest.raises(AssertionError, match=r"told of 127\.0\.0\.2"),
        recorded(running) as reached,
        logged_in(reached.address) as ftp,
    ):
        ftp.sendcmd("STAT")


def conversation(server: Callable[[socket.socket], None]) -> tuple[socket.socket, Recorder, threading.Thread]:
    """A connection through a recorder to that server."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.settimeout(PATIENCE)
            server(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    recorder = Recorder(listener.getsockname())
    recorder.__enter__()
    client = socket.create_connection(recorder.place, PATIENCE, source_address=("127.0.0.9", 0))
    return client, recorder, thread


def test_urgent_bytes_stay_urgent_and_in_their_place() -> None:
    read: list[bytes] = []

    def server(connection: socket.socket) -> None:
        read.append(connection.getpeername()[0].encode())
        connection.sendall(b"ready")
        while True:  # a read ends in front of the urgent byte, and passes over it
            read.append(connection.recv(100))
            if not read[-1]:
                break

    client, recorder, thread = conversation(server)
    with client:
        assert client.recv(5) == b"ready"
        client.sendall(b"one ABOR\r\n", socket.MSG_OOB)
        client.sendall(b"two")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    thread.join()
    recorder.__exit__()
    assert read[0] == b"127.0.0.9"
    assert b"".join(read[1:]) == b"one ABOR\rtwo"
    assert recorder.recordings == [b"ready"]
