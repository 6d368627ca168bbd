"""The table of commands in the configuration guide names every verb that the gateway knows, in its place."""

from __future__ import annotations

import re

from gateway.ftp.commands import VERBS, Kind, Verb
from tests.docs.blocks import ROOT, table

NEVER = {Kind.ACTIVE: "never relays", Kind.HIDING: "never relays", Kind.TLS: "answers according to the TLS mode"}


def place(verb: Verb) -> str:
    """The row that a verb belongs to."""
    return NEVER.get(verb.kind, "relays, unless ``read_only`` is set" if verb.writes else "relays")


def test_the_table_of_commands() -> None:
    told = {
        verb: row
        for row, verbs in table(ROOT / "docs" / "configuration.rst", "table-of-commands")
        for verb in re.findall(r"``([A-Z0-9]+)``", verbs.partition(";")[0])
    }
    assert told == {verb.decode(): place(row) for verb, row in VERBS.items()}
