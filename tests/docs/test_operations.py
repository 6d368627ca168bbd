"""The tables of the operations guide name every event, field and outcome that the gateway writes, and no other."""

from __future__ import annotations

import inspect
import json
import re
import socket
import ssl
from ftplib import FTP, FTP_TLS, error_perm, error_temp
from pathlib import Path
from typing import Any

import attrs
import pytest

from gateway.applications import watching
from gateway.data.usage import Ending
from gateway.guard.admission import Reason
from gateway.observe.records import RECORDS, Record, Scope, TLSSide, written_as
from gateway.relay import notes, public
from gateway.session.actions import Outcome
from origin import Origin
from tests.docs.blocks import ROOT, blocks, table
from tests.kit.certificates import certificates
from tests.kit.conversation import Conversation
from tests.kit.databases import asn_database, country_database
from tests.kit.gateway import application, gateway, names, tls_table
from tests.kit.passive import passive_port
from tests.kit.ports import take

OPERATIONS = ROOT / "docs" / "operations.rst"
PORTS = take(21)
GUARDED = """
    limits = { login_failures = 1 }
    access = [{ action = "deny", lists = ["blocked.txt"] }]
"""
GEO = '[geo]\ncountry = "country.mmdb"\nasn = "asn.mmdb"\n'
OTHER_PORTS = take(5)
BALANCED = '[application.proxy_protocol]\naccept_from = ["127.0.0.1/32"]'
HEADER = b"PROXY TCP4 203.0.113.9 198.51.100.7 50000 21\r\n"


def first_column(name: str) -> set[str]:
    return {row[0].strip("`") for row in table(OPERATIONS, name)}


ALL = {record.name: record for record in RECORDS}
AROUND = {
    Scope.SESSION: ({"application", "session", "client"}, set()),
    Scope.CLIENT: ({"application", "client"}, set()),
    Scope.APPLICATION: ({"application"}, {"session", "client"}),
    Scope.GATEWAY: (set[str](), set()),
}


def fields_of(event: str) -> tuple[set[str], set[str]]:
    """The fields that the guide says an event always has, and those that it may have."""
    record = ALL[event]
    always, possible = AROUND[record.scope]
    always, possible = set(always), set(possible)
    always |= first_column("fields-of-every-event")
    for field, words in re.findall(r":param (\w+): (.*?)(?=:param|$)", inspect.getdoc(record) or "", re.DOTALL):
        (possible if "else missing" in " ".join(words.split()) else always).add(written_as(field))
    return always, always | possible


def test_outcomes() -> None:
    assert first_column("outcomes-of-sessions") == {outcome.value for outcome in Outcome}
    assert first_column("outcomes-of-data-channels") == {ending.value for ending in Ending}
    assert first_column("reasons-of-refusals") == {reason.value for reason in Reason}


def test_sides_of_tls_errors() -> None:
    sides = {row[0].strip("`") for row in table(ROOT / "docs" / "tls.rst", "sides-of-tls-errors")}
    assert sides == {side.value for side in TLSSide}


def test_the_fields_of_a_session_are_told() -> None:
    assert first_column("fields-of-the-events-of-a-session") == AROUND[Scope.SESSION][0]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_field_is_told(record: type[Record]) -> None:
    told = re.findall(r":param (\w+): ", inspect.getdoc(record) or "")
    assert told and sorted(told) == sorted(field.name for field in attrs.fields(record))


def at(host: str, name: str, origin: tuple[str, int], ports: range, more: str = "") -> str:
    return application(origin, ports, name=name, listen=f"tcp:0:interface={host}", more=more)


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """One record at least of each event."""
    monkeypatch.setattr(public, "INTERVAL", 0.05)
    monkeypatch.setattr(watching, "INTERVAL", 0.05)
    monkeypatch.setattr(notes, "MAX_EVENTS", 2)
    country_database(tmp_path / "country.mmdb", {"127.0.0.0/8": "DE"})
    asn_database(tmp_path / "asn.mmdb", {"127.0.0.0/8": 64496})
    (tmp_path / "blocked.txt").write_text("127.0.0.7")
    (tmp_path / "file").write_bytes(b"content")
    addresses = {"ftp.example.com": "203.0.113.1"}
    pair = certificates().server
    with (
        names(addresses),
        Origin(
            tmp_path,
            listen=("127.0.0.2", 0),
            passive_ports=PORTS,
            users={"user": "secret"},
            certificate=pair.certificate,
            key=pair.key,
        ) as origin,
        socket.create_server(("127.0.0.8", PORTS[0])),
        gateway(
            GEO
            + at("127.0.0.1", "right", origin.address, PORTS)
            + at("127.0.0.4", "out-of-range", origin.address, OTHER_PORTS, "limits.data_ports_per_client = 1")
            + at("127.0.0.5", "unreachable", ("127.0.0.3", 1), PORTS)
            + at("127.0.0.11", "guarded", origin.address, PORTS, GUARDED)
            + at("127.0.0.6", "named", origin.address, PORTS, 'public_address = "ftp.example.com"')
            + at("127.0.0.9", "secure", origin.address, PORTS, tls_table("full"))
            + at("127.0.0.10", "balanced", origin.address, PORTS, BALANCED)
            + at("127.0.0.8", "unseen", origin.address, PORTS, tls_table("passthrough")),
            tmp_path,
        ) as running,
    ):
        with FTP() as ftp:
            ftp.connect(*running.places["right"])
            ftp.login("user", "secret")
            port = passive_port(ftp.sendcmd("EPSV"))
            socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.7", 0)).close()
            running.journal.wait("strangerRefused")
            ftp.retrbinary("RETR file", bytes)
            ftp.quit()
        with Conversation.to(running.places["right"]) as client:
            client.login()
            assert client.ask(b"PORT 127,0,0,1,100,0").startswith(b"502")
            assert client.ask(b"STAT \0").startswith(b"500")
        with FTP() as ftp:
            ftp.connect(*running.places["out-of-range"])
            ftp.login("user", "secret")
            with pytest.raises(error_temp):
                ftp.sendcmd("EPSV")
            with Conversation.to(running.places["out-of-range"]) as client:
                client.login()
                assert client.ask(b"EPSV").startswith(b"425 Too many data ports")
        with Conversation.to(running.places["guarded"]) as client:
            assert client.reply().startswith(b"220")
            assert client.ask(b"USER user").startswith(b"331")
            for _ in range(3):
                assert client.ask(b"PORT 1").startswith(b"502")
            assert client.ask(b"PASS wrong").startswith(b"530")
        for source in ("127.0.0.1", "127.0.0.7"):  # banned, and denied
            with socket.create_connection(running.places["guarded"], source_address=(source, 0)) as refused:
                assert refused.recv(3) == b"421"
        with Conversation.to(running.places["unreachable"]) as client:
            assert client.reply().startswith(b"421")
        with FTP_TLS(context=ssl.create_default_context(cafile=certificates().ca)) as ftp:
            ftp.context.check_hostname = False
            ftp.connect(*running.places["secure"])
            ftp.login("user", "secret")
            ftp.prot_p()
            with pytest.raises(OSError):
                ftp.retrbinary("RETR file", bytes)  # ftplib resumes no session
            with pytest.raises(error_perm, match="522"):
                ftp.voidresp()
        with Conversation.to(running.places["balanced"]) as client:
            client.send(b"NOOP\r\n")
            running.journal.wait("proxyHeaderRefused")
        with Conversation.to(running.places["balanced"]) as client:
            client.send(HEADER)
            client.login()
            port = passive_port(client.ask(b"EPSV"))
            with socket.create_connection(("127.0.0.10", port)) as data:
                data.sendall(b"content")
                running.journal.wait("proxyHeaderRefused", 2)
        with Conversation.to(running.places["unseen"]) as client:
            assert client.reply().startswith(b"220")
            assert client.ask(b"AUTH TLS").startswith(b"234")
            running.journal.wait("dataPortsUnavailable")
        country_database(tmp_path / "country.mmdb", {"127.0.0.0/8": "FR", "203.0.113.0/24": "DE"})
        (tmp_path / "blocked.txt").write_text("127.0.0.7\n203.0.113.0/24")
        running.journal.wait("accessFileRead", 2)
        (tmp_path / "blocked.txt").unlink()
        running.journal.wait("accessFileRefused")
        addresses["ftp.example.com"] = "203.0.113.2"
        running.journal.wait("publicAddressChanged")
        addresses["ftp.example.com"] = "::1"  # which no 227 can name
        running.journal.wait("publicAddressUnresolved")
        running.journal.wait("disconnect", 8)
        return [record for event in ALL for record in running.journal.all(event)]


RARE = {"tooManyDataChannels", "descriptorsExhausted", "eventsDropped"}  # take dozens or thousands; shown elsewhere


def test_fields_of_events(records: list[dict[str, Any]]) -> None:
    assert {record["event"] for record in records} == set(ALL) - RARE
    for record in records:
        always, possible = fields_of(record["event"])
        assert always <= set(record) <= possible, record
    seen = {(record["event"], field) for record in records for field in record}
    told = {(event, field) for event in set(ALL) - RARE for field in fields_of(event)[1]}
    # A system's word on a data port that failed is not to be had at will.
    assert told - seen <= {("dataChannel", "reason")}


def test_records_in_the_tutorial() -> None:
    (block,) = (block for block in blocks(ROOT / "docs" / "tutorial.rst") if block.language == "json")
    for line in block.lines:
        record = json.loads(line)
        always, possible = fields_of(record["event"])
        assert always <= set(record) <= possible
