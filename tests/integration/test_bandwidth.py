"""The bandwidth of data and its limits, with either pump and with TLS. A test gives the shortest time of a transfer,
never the longest: that depends on the machine."""

from __future__ import annotations

import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.data import bandwidth, pump
from tests.kit.reactor import in_reactor
from tests.kit.sockets import in_background, read_all, reset
from tests.kit.stage import Stage, stage, tls_stage
from tests.kit.tls import read_whole

RATE = 1_000_000  # bytes a second
SIZE = 700_000
LEAST = SIZE / RATE - bandwidth.BURST - 0.05  # seconds: all but what goes at once, and one portion


@pytest.fixture(
    params=[
        pytest.param("splice", marks=pytest.mark.skipif(sys.platform != "linux", reason="splice is Linux's")),
        "copy",
    ],
    autouse=True,
)
def pumped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs with each pump."""
    if request.param == "copy":
        monkeypatch.setattr(pump, "SplicePump", pump.CopyPump)


def limits(**keys: int) -> str:
    """The TOML of limits."""
    return "[application.limits]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())


def send(connection: socket.socket, content: bytes) -> None:
    """Sends all of it, and its end."""
    connection.sendall(content)
    connection.shutdown(socket.SHUT_WR)


def transfer(on: Stage, command: bytes) -> float:
    """Stores or fetches; how many seconds it took, by whoever receives."""
    at_client, at_origin = on.transfer(command)
    sender, receiver = (at_origin, at_client) if command == b"RETR a" else (at_client, at_origin)
    content = bytes(range(250)) * (SIZE // 250)
    began = time.monotonic()
    sending = in_background(send, sender, content)
    assert read_all(receiver) == content
    took = time.monotonic() - began
    sending.join()
    for connection in (at_client, at_origin):
        connection.close()
    on.control.say(b"226 Done.")
    assert on.client.reply() == b"226 Done."
    return took


@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
def test_a_transfer_is_held_to_the_bandwidth_of_its_session(command: bytes) -> None:
    with stage(limits(bandwidth_per_session=RATE)) as on:
        assert transfer(on, command) > LEAST
        assert on.running.journal.wait("dataChannel")["outcome"] == "complete"


def test_sessions_share_the_bandwidth_of_their_application() -> None:
    with stage(limits(bandwidth=2 * RATE)) as on, ThreadPoolExecutor() as pool:
        stages = [on, on.another(), on.another()]
        began = time.monotonic()
        list(pool.map(lambda one: transfer(one, b"RETR a"), stages))
        assert time.monotonic() - began > 3 * SIZE / (2 * RATE) - bandwidth.BURST - 0.05


def test_a_reload_does_not_double_the_bandwidth() -> None:
    with stage(limits(bandwidth=2 * RATE)) as on, ThreadPoolExecutor() as pool:
        began = time.monotonic()
        in_reactor(on.running.service.reload)
        stages = [on, on.another(), on.another()]
        list(pool.map(lambda one: transfer(one, b"RETR a"), stages))
        assert time.monotonic() - began > 3 * SIZE / (2 * RATE) - bandwidth.BURST - 0.05


def test_with_tls() -> None:
    content = bytes(range(250)) * (SIZE // 250)
    with tls_stage("flexible", f"limits = {{ bandwidth_per_session = {RATE} }}") as on:
        on.protect()
        at_client, at_origin = on.transfer(b"RETR a")
        began = time.monotonic()
        sending = in_background(send, at_origin, content)
        assert read_whole(at_client) == content
        assert time.monotonic() - began > LEAST
        sending.join()


def test_who_waits_for_bandwidth_does_not_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "BURST", 0.5)  # and so portions that are waited for as long
    more = "[application.timeouts]\ndata_stall = 0.2\n" + limits(bandwidth_per_session=10_000)
    with stage(more) as on:
        at_client, at_origin = on.transfer(b"RETR a")
        sending = in_background(send, at_origin, bytes(15_000))
        assert read_all(at_client) == bytes(15_000)
        sending.join()
        at_client.close()
        assert on.running.journal.wait("dataChannel")["outcome"] == "complete"


def test_a_transfer_that_waits_ends_at_once() -> None:
    with stage(limits(bandwidth_per_session=1000)) as on:
        at_client, at_origin = on.transfer(b"RETR a")
        at_origin.sendall(bytes(100_000))
        assert at_client.recv(1)
        reset(at_client)
        assert on.running.journal.wait("dataChannel")["outcome"] == "client reset"
