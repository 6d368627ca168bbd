"""A data port that others fill, or that its client holds and does not use, where the gateway ends TLS."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.kit.scripted import DataPort
from tests.kit.sockets import silent, was_reset
from tests.kit.stage import Stage, relays, tls_stage, usable
from tests.kit.tls import CLIENT_HELLO, ending, read_whole

FAR = "127.0.0.9"
SECRET = b"for the client alone"
FAILED = b"522 TLS negotiation failed on the data connection; it has to resume the control's session."
GAVE_WAY = "gave way to a newer connection"
LATE = "no TLS handshake in time"

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection may be silent in its handshake for a moment alone."""
    monkeypatch.setattr("gateway.data.candidates.SILENCE", 0.3, raising=False)


@contextlib.contextmanager
def crowded(data_accept: float = 30, more: str = "") -> Iterator[Stage]:
    """A stage whose client protects its data."""
    with tls_stage("flexible", f"timeouts = {{ data_accept = {data_accept} }}\n{more}") as on:
        on.protect()
        yield on


def carries(on: Stage, data: DataPort, at_client: socket.socket, at_origin: socket.socket) -> bool:
    """Whether a download that the origin began reaches the client, whole."""
    at_origin.sendall(SECRET)
    at_origin.close()
    whole = read_whole(on.secure(at_client)) == SECRET if on.protected else read_whole(at_client) == SECRET
    on.control.say(b"226 Done.")
    return whole and on.client.reply() == b"226 Done."


def refusals(on: Stage, count: int, reason: str) -> None:
    """So many connections were turned away for that reason."""
    on.running.journal.wait("tlsError", count, side="client data", reason=reason)


class TestOthersFillIt:
    @pytest.mark.parametrize(("peer", "source"), [("address", "127.0.0.1"), ("any", FAR)])
    @pytest.mark.parametrize("when", ["before the command", "behind the 150"])
    def test_four_that_say_nothing(self, peer: str, source: str, when: str) -> None:
        """They kept the client out for as long as the port waited."""
        with crowded(more=f'data_peer = "{peer}"') as on:
            data = on.passive()
            if when == "before the command":
                idle = [on.dial(data.port, source) for _ in range(4)]
                at_client = on.dial(data.port)
                at_origin = on.begin(b"RETR file", data)
            else:
                at_origin = on.begin(b"RETR file", data)
                idle = [on.dial(data.port, source) for _ in range(4)]
                at_client = on.dial(data.port)
            assert carries(on, data, at_client, at_origin)
            refusals(on, 1, GAVE_WAY)
            assert all(was_reset(connection) for connection in idle)

    @pytest.mark.parametrize("protected", [True, False], ids=["PROT P", "PROT C"])
    def test_the_first_does_not_give_way(self, protected: bool) -> None:
        """Otherwise latecomers could take the data of a client without TLS."""
        with crowded() as on:
            if not protected:
                assert on.client.ask(b"PROT C").startswith(b"200 ")
                on.protected = False
            data = on.passive()
            at_client = on.dial(data.port)
            crowd = [on.dial(data.port) for _ in range(9)]
            refusals(on, 6, GAVE_WAY)
            assert carries(on, data, at_client, on.begin(b"RETR file", data))
            assert all(was_reset(connection) for connection in crowd)

    def test_in_handshakes_the_longest_silent_gives_way(self) -> None:
        with crowded() as on:
            data = on.passive()
            at_origin = on.begin(b"RETR file", data)
            speaking = [on.dial(data.port) for _ in range(3)]
            quiet = on.dial(data.port)
            for connection in speaking:
                connection.sendall(CLIENT_HELLO[:20])
            assert carries(on, data, on.dial(data.port), at_origin)
            refusals(on, 1, GAVE_WAY)
            assert was_reset(quiet)

    @pytest.mark.usefixtures("quick")
    def test_a_client_that_gave_way_is_not_stuck(self) -> None:
        with crowded(data_accept=1.5) as on:
            data = on.passive()
            on.dial(data.port)
            at_client = on.dial(data.port)
            for _ in range(3):
                on.dial(data.port)
            assert was_reset(at_client)
            at_origin = on.begin(b"RETR file", data)
            refusals(on, 4, LATE)
            assert ending(at_origin) == "reset"
            assert on.running.journal.wait("dataChannel")["outcome"] == "client's TLS failed"
            on.control.say(b"426 Cut.")
            assert on.client.reply() == FAILED
            assert not on.listens(data.port)
            assert usable(on)

    @pytest.mark.usefixtures("quick")
    @pytest.mark.parametrize("said", [b"", CLIENT_HELLO[:20]], ids=["nothing", "the beginning of a handshake"])
    def test_a_silent_stranger_does_not_end_the_channel(self, said: bytes) -> None:
        """The port went on waiting for him alone, and the transfer ended with him."""
        with crowded() as on:
            data = on.passive()
            stranger = on.dial(data.port)
            stranger.sendall(said)
            at_origin = on.begin(b"RETR file", data)
            refusals(on, 1, LATE)
            assert was_reset(stranger)
            assert carries(on, data, on.dial(data.port), at_origin)

    @pytest.mark.usefixtures("quick")
    def test_before_the_transfer_nobody_has_to_speak(self) -> None:
        with crowded(data_accept=1) as on:
            data = on.passive()
            at_client = on.dial(data.port)
            assert silent(at_client, 0.6)
            assert carries(on, data, at_client, on.begin(b"RETR file", data))


class TestItsClientHoldsIt:
    @pytest.mark.parametrize("comes", [True, False])
    def test_a_port_without_a_transfer_command_is_given_up(self, comes: bool) -> None:
        """A client that only connected kept it, and the origin's connection, for as long as it sent NOOPs."""
        with crowded(data_accept=0.5) as on:
            data = on.passive()
            if comes:
                at_client = on.dial(data.port)
                at_origin = on.accept(data)
                assert relays(on)
                assert ending(at_origin) == "reset"
                assert was_reset(at_client)
            outcome = on.running.journal.wait("dataChannel")["outcome"]
            assert outcome == ("no transfer command in time" if comes else "client did not come")
            assert not on.listens(data.port)
            assert on.client.ask(b"RETR file") == b"425 Cannot open a data connection."
            assert relays(on), "the origin hears of no transfer"
            assert usable(on)

    def test_a_transfer_that_began_has_its_time(self) -> None:
        with crowded(data_accept=0.5) as on:
            at_client, at_origin = on.transfer(b"RETR file")
            assert silent(at_origin, 1)
            at_origin.sendall(SECRET)
            at_origin.close()
            assert read_whole(at_client) == SECRET
            on.control.say(b"226 Done.")
            assert on.client.reply() == b"226 Done."
