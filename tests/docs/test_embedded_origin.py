"""The page about the embedded origin has every dialect and every fault."""

from __future__ import annotations

import re

from origin.dialects import DIALECTS
from origin.faults import FAULTS
from tests.docs.blocks import ROOT


def test_tables() -> None:
    page = (ROOT / "docs" / "embedded-origin.rst").read_text()
    described = re.findall(r"^   \* - ``([^`]+)``$", page, re.MULTILINE)
    assert described == [*DIALECTS, *FAULTS]
