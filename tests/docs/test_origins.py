"""The origins guide: a real server needs no other settings to stand behind the gateway."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks
from tests.kit.gateway import application, gateway
from tests.kit.ports import take
from tests.kit.programs import demo_ports
from tests.kit.servers import DAEMONS, Daemon
from tests.kit.servers.requirements import require

PORTS = range(20000, 20021)  # what the guide says
OTHER_PORTS = take(21)  # what a server has where the guide's words do nothing

_BLOCKS = {block.caption: block for block in blocks(ROOT / "docs" / "origins.rst")}


def _lines(block: Block, separator: str) -> Mapping[str, str]:
    return dict(line.split(separator, 1) for line in block.lines)


SETTINGS: Mapping[str, Mapping[str, str]] = {
    "vsftpd": _lines(_BLOCKS["vsftpd.conf"], "="),
    "proftpd": _lines(_BLOCKS["proftpd.conf"], " "),
    # Debian gives the option of the file's name its content, with a colon for the space.
    "pure-ftpd": {"passiveportrange": _BLOCKS["/etc/pure-ftpd/conf/PassivePortRange"].lines[0].replace(" ", ":")},
}


@pytest.mark.parametrize("way", [[], ["--disable-epsv"]], ids=["EPSV", "PASV"])
@pytest.mark.parametrize("daemon", DAEMONS, ids=lambda daemon: daemon.name)
def test_settings(daemon: Daemon, way: list[str], tmp_path: Path) -> None:
    require(daemon.name)
    require("curl")
    (tmp_path / "file").write_text("content")
    with (
        demo_ports(),
        daemon(
            tmp_path,
            "127.0.0.2",
            passive_ports=OTHER_PORTS,
            user="user",
            password="secret",
            settings=SETTINGS[daemon.name],
        ) as server,
        gateway(application(server.address, PORTS)) as running,
    ):
        host, port = running.address
        command = ["curl", "-sS", *way, f"ftp://user:secret@{host}:{port}/file"]
        assert subprocess.run(command, capture_output=True, text=True, timeout=30).stdout == "content"
        assert running.journal.wait("dataChannel")["originPort"] in PORTS
