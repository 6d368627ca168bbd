"""Names of origins: a name that cannot be looked up costs one thread, and delays nobody but its own clients."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from gateway.addresses import is_address
from gateway.net import resolver
from origin import Origin
from tests.kit import PATIENCE
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import application
from tests.kit.ports import take
from tests.kit.programs import BIN, NET, Program, assert_no_traceback, patched, ready, running
from tests.kit.scripted import ORIGIN, DataPort
from tests.kit.stage import before

HOST, SERVER = f"{NET}.2", f"{NET}.1"
CROWD = 200
_getaddrinfo = socket.getaddrinfo

# A resolver whose servers are dead for one name, whatever of Python's asks it.
DEAD = f"""
import socket, threading

def look_up(name, *of, others=socket.getaddrinfo, **more):
    if name == "dead.example":
        threading.Event().wait()
    return others({SERVER!r} if name == "live.example" else name, *of, **more)

socket.getaddrinfo = look_up
"""


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, tuple[str, int]]]:
    """The control ports of two applications, with a dead name and with a good one, in ``gateway.toml``."""
    ports, passive = take(2), take(4)
    with Origin(tmp_path, listen=(SERVER, 0), passive_ports=passive, users={"user": "secret"}) as server:
        names = ("dead.example", "live.example")
        (tmp_path / "gateway.toml").write_text(
            "\n".join(
                application((name, server.address[1]), mine, name=name, listen=f"tcp:{port}:interface={HOST}")
                for name, port, mine in zip(names, ports, (passive[:2], passive[2:]), strict=True)
            )
        )
        yield {name: (HOST, port) for name, port in zip(names, ports, strict=True)}


def threads(program: Program) -> int:
    return len(list(Path(f"/proc/{program.process.pid}/task").iterdir()))


@pytest.mark.timeout(2 * PATIENCE)
def test_a_crowd_before_a_dead_name_starves_nobody(tmp_path: Path, places: dict[str, tuple[str, int]]) -> None:
    """Nor does it hold the end of the process."""
    command = (BIN / "twistd", "-n", "ftp-gateway", "--config", "gateway.toml")
    with running(*command, directory=tmp_path, env=patched(tmp_path, DEAD)) as program:
        ready(program)
        before_them = threads(program)
        for number in range(1, CROWD + 1):
            connect(places["dead.example"], HOST).close()
            program.out.wait("disconnect ", number)
        with Conversation(connect(places["dead.example"], HOST)) as waiting:
            program.out.wait(" connect ", CROWD + 1)
            begun = time.monotonic()
            with Conversation.to(places["live.example"]) as other:
                other.login()
            assert time.monotonic() - begun < 5
            assert threads(program) <= before_them + 2  # and one for the good name, which may not be gone yet
            begun = time.monotonic()
            program.tell(signal.SIGTERM)
            assert waiting.reply().startswith(b"421")
        assert program.exit() == 0
        assert time.monotonic() - begun < 4
        assert_no_traceback(program.out.lines)


@attrs.define(eq=False)
class LookUps:
    """The system's resolver, as a test has it.

    :param answers: the addresses of the names that it knows.
    :param asked: the names that were looked up.
    :param hangs: whether a look-up waits until it may go on.
    """

    answers: dict[str, list[str]] = attrs.field(factory=dict)
    asked: list[str] = attrs.field(factory=list)
    hangs: bool = False
    go_on: threading.Event = attrs.field(factory=threading.Event)

    def __call__(self, name: str, *of: Any, **more: Any) -> list[Any]:
        if is_address(name):  # a client's, say
            return _getaddrinfo(name, *of, **more)
        self.asked.append(name)
        if self.hangs:
            assert self.go_on.wait(PATIENCE)
        if name not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.answers[name]]


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> Iterator[LookUps]:
    """The look-ups of this process, in the place of the system's resolver."""
    found = LookUps()
    monkeypatch.setattr(socket, "getaddrinfo", found)
    yield found
    found.go_on.set()


def refused(address: tuple[str, int]) -> None:
    """Somebody comes, and is told that the origin cannot be reached."""
    with Conversation.to(address) as client:
        assert client.reply() == b"421 Service not available; closing control connection."
        assert client.at_end()


@pytest.mark.usefixtures("nothing_is_left")
def test_a_look_up_that_hangs_ends_by_the_time_for_the_origin(look_ups: LookUps) -> None:
    look_ups.hangs = True
    with before(("hangs.example", 21), "timeouts.origin_connect = 0.3") as running_gateway:
        for number in (1, 2):
            refused(running_gateway.address)
            found = running_gateway.journal.wait("originError", number)
            assert found["reason"] == "the look-up of the name took too long"
        assert running_gateway.journal.wait("disconnect", 2)["outcome"] == "origin unreachable"
        assert look_ups.asked == ["hangs.example"]  # the second session awaited the same answer


@pytest.mark.usefixtures("nothing_is_left")
def test_nobody_dials_for_a_client_that_went(look_ups: LookUps) -> None:
    look_ups.hangs = True
    with DataPort.at(ORIGIN) as origin, before(("slow.example", origin.port)) as running_gateway:
        look_ups.answers["slow.example"] = [ORIGIN]
        with connect(running_gateway.address):
            running_gateway.journal.wait("connect")
        assert running_gateway.journal.wait("disconnect")["outcome"] == "client lost"
        with connect(running_gateway.address):
            running_gateway.journal.wait("connect", 2)
            look_ups.go_on.set()
            origin.accept().close()
        running_gateway.journal.wait("disconnect", 2)
        assert origin.accept_now() is None
        assert look_ups.asked == ["slow.example"]


@pytest.mark.parametrize(("seconds", "asked"), [(60.0, 1), (0.0, 3)])
def test_an_answer_is_shared_for_some_seconds(
    seconds: float, asked: int, look_ups: LookUps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "SHARED", seconds)
    name = f"shared-{asked}.example"
    with DataPort.at(ORIGIN) as origin, before((name, origin.port)) as running_gateway:
        look_ups.answers[name] = [ORIGIN]
        for _ in range(3):
            with connect(running_gateway.address), origin.accept():
                pass
        running_gateway.journal.wait("disconnect", 3)
        assert look_ups.asked == [name] * asked


def test_a_failure_is_shared_for_a_moment(look_ups: LookUps, monkeypatch: pytest.MonkeyPatch) -> None:
    with DataPort.at(ORIGIN) as origin, before(("late.example", origin.port)) as running_gateway:
        monkeypatch.setattr(resolver, "FAILURE_SHARED", 60.0)
        for _ in range(3):
            refused(running_gateway.address)
        assert look_ups.asked == ["late.example"]
    with DataPort.at(ORIGIN) as origin, before(("later.example", origin.port)) as running_gateway:
        monkeypatch.setattr(resolver, "FAILURE_SHARED", 0.0)
        refused(running_gateway.address)
        look_ups.answers["later.example"] = [ORIGIN]  # the name has an address now
        with connect(running_gateway.address), origin.accept():
            assert look_ups.asked == ["late.example", "later.example", "later.example"]


def test_the_addresses_of_a_name_are_tried_one_after_the_other(look_ups: LookUps) -> None:
    """One refuses, one does not answer, the third has an origin."""
    look_ups.answers["many.example"] = ["127.0.0.5", "127.0.0.3", "127.0.0.4"]
    with DataPort.at("127.0.0.4") as origin, DataPort.deaf("127.0.0.3", origin.port):
        with before(("many.example", origin.port)) as running_gateway:
            with connect(running_gateway.address), origin.accept():
                assert not running_gateway.journal.all("originError")
