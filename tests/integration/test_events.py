"""The events that are written down: one for each thing that happened, with all its fields, and never a password."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from twisted.logger import LogEvent, eventAsText, globalLogPublisher

from tests.kit.passive import commas
from tests.kit.ports import scripted, take
from tests.kit.reactor import in_reactor, turn
from tests.kit.scripted import ORIGIN
from tests.kit.sockets import read_all, reset
from tests.kit.stage import Stage, stage

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
COMMON = {"time", "event", "application", "session", "client"}


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Twisted's log, tracebacks and all."""
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        lines.append(eventAsText(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def told(on: Stage, event: str, **fields: object) -> dict[str, object]:
    """The only event of that name: these fields besides those that all have."""
    record = on.running.journal.wait(event)
    assert len(on.running.journal.all(event)) == 1
    assert TIME.fullmatch(record["time"])
    assert (record["application"], record["session"], record["client"]) == ("ftp.example.com", 1, "127.0.0.1")
    assert record.keys() == COMMON | fields.keys()
    for key, value in fields.items():
        assert record[key] == value or (value is float and 0 <= record[key] < 20), (key, record)
    return record


def test_a_session_is_told_from_connect_to_disconnect() -> None:
    with stage() as on:
        told(on, "connect")
        on.login()
        at_client, at_origin = on.transfer(b"RETR secret/path")
        at_client.sendall(b"up")
        assert at_origin.recv(2) == b"up"
        at_origin.sendall(b"down")
        at_origin.close()
        assert read_all(at_client) == b"down"
        at_client.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        port = on.running.journal.wait("dataChannel")["port"]
        assert port in scripted()
        told(
            on,
            "dataChannel",
            dataClient="127.0.0.1",
            port=port,
            originPort=port,
            toClient=4,
            toOrigin=2,
            duration=float,
            outcome="complete",
        )
        assert on.exchange(b"QUIT", b"221 Bye.") == b"221 Bye."
        told(
            on,
            "disconnect",
            outcome="quit",
            duration=float,
            bytesToClient=4,
            bytesToOrigin=2,
            transfers=1,
            user="user",
            origin=ORIGIN,
        )


def test_sessions_have_numbers_of_their_own() -> None:
    with stage() as on:
        on.another("127.0.0.9")
        assert on.running.journal.wait("connect", session=1)["client"] == "127.0.0.1"
        assert on.running.journal.wait("connect", session=2)["client"] == "127.0.0.9"


def test_a_mapped_port_is_told_as_both_sides_know_it() -> None:
    origin_ports, public_ports = take(20), take(20)
    with stage(data_ports=origin_ports, public_ports=public_ports) as on:
        assert on.exchange(b"EPSV", b"229 Come (|||%d|)" % origin_ports[7]).endswith(b"(|||%d|)" % public_ports[7])
        on.client.close()
        channel = told(
            on,
            "dataChannel",
            dataClient=None,
            port=public_ports[7],
            originPort=origin_ports[7],
            toClient=0,
            toOrigin=0,
            duration=float,
            outcome="session ended it",
        )
        assert channel["dataClient"] is None


@pytest.mark.parametrize(
    ("command", "verb", "reply"),
    [
        (b"port 127,0,0,1,94,1", "PORT", "502 Active mode is not supported; use EPSV or PASV."),
        (b"MIC cGFzcw==", "MIC", "502 Command not supported."),
        (b"AUTH TLS", "AUTH", "502 TLS is not available on this server."),
        (b"XYZZY secret", "?", "500 Command not understood."),
        (b"secret123", "?", "500 Command not understood."),
        (b"s\xe9same", "?", "500 Command not understood."),
        (b"'\"{verb}", "?", "500 Command not understood."),
        (b"", "?", "500 Command not understood."),
    ],
)
def test_a_refused_command_is_told(command: bytes, verb: str, reply: str) -> None:
    with stage() as on:
        assert on.client.ask(command) == reply.encode()
        told(on, "commandRefused", verb=verb, reply=reply)


def test_a_line_that_was_dropped_is_told() -> None:
    with stage() as on:
        on.client.ask(b"PASS se\0cret")
        reply = "500 Line too long or not clean."
        told(on, "commandRefused", verb="?", reply=reply, reason="NUL in a line")


def test_a_refused_transfer_and_a_refused_pasv_are_told() -> None:
    with stage("[application.commands]\nread_only = true") as on:
        on.client.ask(b"STOR secret")
        told(on, "commandRefused", verb="STOR", reply="550 Permission denied: this server is read-only.")
    with stage() as on:
        on.exchange(b"EPSV ALL", b"200 Noted.")
        on.client.ask(b"PASV")
        told(on, "commandRefused", verb="PASV", reply="503 PASV is not allowed after EPSV ALL.")


def test_a_stranger_is_told() -> None:
    with stage() as on:
        data = on.passive()
        on.dial(data.port, "127.0.0.9")
        told(on, "strangerRefused", stranger="127.0.0.9", port=data.port)


def test_a_misconfigured_range_is_told() -> None:
    with stage() as on:
        ports = scripted()
        on.exchange(b"PASV", b"227 Come (%s)" % commas(ORIGIN, ports.stop))
        told(on, "dataPortOutOfRange", port=ports.stop, range=f"{ports[0]}-{ports[-1]}")


def test_an_origin_that_breaks_the_protocol_is_told() -> None:
    with stage() as on:
        on.control.say(b"SSH-2.0-OpenSSH_9.2p1")
        told(on, "originError", reason="the origin does not speak FTP")
        none = {"bytesToClient": 0, "bytesToOrigin": 0, "transfers": 0}
        told(on, "disconnect", outcome="origin speaks no FTP", duration=float, origin=ORIGIN, **none)


@pytest.mark.parametrize(("closing", "outcome"), [("client", "client reset"), ("origin", "origin reset")])
def test_a_cut_transfer_is_told_with_the_bytes_that_passed(closing: str, outcome: str) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        at_origin.sendall(b"half")
        assert at_client.recv(4) == b"half"
        at_client.sendall(b"up")
        assert at_origin.recv(2) == b"up"
        reset(at_client if closing == "client" else at_origin)
        channel = on.running.journal.wait("dataChannel")
        assert (channel["toClient"], channel["toOrigin"], channel["outcome"]) == (4, 2, outcome)


SECRET = "Tr0ub4dor&3"


@pytest.mark.parametrize(
    "line",
    [
        f"PASS {SECRET}",
        f"pass {SECRET}",
        f"  PASS\t{SECRET}",
        f"PASS  {SECRET} ",
        f"ACCT {SECRET}",
        f"PASSWD {SECRET}",
        f"PASS{SECRET}",
        f"{SECRET}",
        f"{SECRET} {SECRET}",
        f"USER user:{SECRET}",
        f"SITE PSWD {SECRET} {SECRET}",
        f"PORT {SECRET}",
        f"AUTH {SECRET}",
        f"PASS {SECRET}\0",
        f"PASS {SECRET}\rX",
        f"PASS {SECRET}" + "x" * 5000,
        f"\xff\xf4PASS {SECRET}",
        f"GET /{SECRET} HTTP/1.1",
    ],
)
def test_a_password_is_never_written_down(line: str, log: list[str]) -> None:
    with stage() as on:
        on.client.send(line.encode("latin-1") + b"\r\nQUIT\r\n")
        while (command := on.control.hear()) not in (b"QUIT", b""):
            on.control.say(b"530 Not with %s." % command)
        on.control.close()
        read_all(on.client.socket)
        on.running.journal.wait("disconnect")
        turn()
        assert any("disconnect" in entry for entry in log)
        assert SECRET.lower() not in f"{on.running.journal._records} {log}".lower()


def test_the_log_has_a_line_for_each_event(log: list[str]) -> None:
    with stage() as on:
        on.client.ask(b"PORT 1")
        on.client.close()
        on.running.journal.wait("disconnect")
        in_reactor(lambda: None)
        assert "[ftp.example.com] connect session=1 client=127.0.0.1" in "\n".join(log)
        assert any(
            '[ftp.example.com] commandRefused session=1 client=127.0.0.1 verb=PORT reply="502 ' in line
            for line in log
        )
        assert any(
            '[ftp.example.com] disconnect session=1 client=127.0.0.1 outcome="client lost"' in line for line in log
        )


def test_what_a_log_line_quotes_cannot_forge_another(log: list[str]) -> None:
    with stage() as on:
        on.client.ask(b"X\x1b[2J{verb}")
        on.control.say(b"XX\x1b[2J\x07 {reason} %s")
        on.running.journal.wait("disconnect")
        in_reactor(lambda: None)
        assert all(line.isprintable() for entry in log for line in entry.splitlines())
