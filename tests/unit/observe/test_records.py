"""Records: typed in the program, with fields under the names that operators know."""

from __future__ import annotations

import attrs
import pytest

from gateway.observe.records import (
    RECORDS,
    Connected,
    DataChannelEnded,
    Disconnected,
    Record,
    TLSFailed,
    TLSSide,
    written_as,
)


def test_names_are_written_in_camel_case() -> None:
    assert [written_as(name) for name in ("of", "to_client", "origin_tls_version")] == [
        "of",
        "toClient",
        "originTlsVersion",
    ]


def test_what_is_not_known_is_left_out() -> None:
    assert Connected().fields() == {}
    assert Connected("192.0.2.5").fields() == {"proxy": "192.0.2.5"}
    ended = Disconnected("quit", 1.5, 4, 2, 1, user="a")
    assert ended.fields() == {
        "outcome": "quit",
        "duration": 1.5,
        "bytesToClient": 4,
        "bytesToOrigin": 2,
        "transfers": 1,
        "user": "a",
    }


def test_a_client_that_never_came_is_null() -> None:
    fields = DataChannelEnded(None, 20000, 20001, 0, 0, 1.0, "client did not come").fields()
    assert fields["dataClient"] is None
    assert "reason" not in fields


def test_an_enumeration_is_written_as_its_value() -> None:
    assert TLSFailed(TLSSide.ORIGIN_DATA, "why", port=7).fields() == {
        "side": "origin data",
        "reason": "why",
        "port": 7,
    }


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_record_is_frozen_and_has_a_name_of_its_own(record: type[Record]) -> None:
    assert [other for other in RECORDS if other.name == record.name] == [record]
    assert attrs.fields(record) is not None
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        record.__setattr__(object.__new__(record), "name", "x")
