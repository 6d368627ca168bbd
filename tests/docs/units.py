"""The package's units of systemd."""

from __future__ import annotations

from tests.docs.blocks import ROOT

SERVICE = ROOT / "docs" / "systemd" / "ftp-gateway.service"
SOCKET = SERVICE.with_suffix(".socket")
