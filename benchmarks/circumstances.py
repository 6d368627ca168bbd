"""The circumstances of a run: the machine and the programs."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from OpenSSL import SSL

from benchmarks import setups
from benchmarks.load import Extent
from tests.kit.servers.daemons import vsftpd


def circumstances(extent: Extent) -> dict[str, str]:
    """The circumstances by their names."""
    return {
        "Date": datetime.now(UTC).date().isoformat(),
        "Processor": _processor(),
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "System": f"Linux {'.'.join(platform.release().split('.')[:2])}",
        "Gateway": ", ".join(
            [
                *(f"{name} {version(name)}" for name in ("protected-ftp-gateway", "Twisted", "pyOpenSSL")),
                SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode().rsplit(maxsplit=3)[0],
                f"Python {platform.python_version()}",
            ]
        ),
        "Peers": ", ".join(_versions()),
        "Large file": f"{extent.size // 2**20:,} MiB",
        "Idle sessions": f"{extent.idle:,}, or {extent.idle_forked:,} where each is a process",
        "Rounds": f"{extent.rounds}, of idle sessions {extent.idle_rounds}",
    }


def stolen() -> tuple[int, int]:
    """The clock ticks so far that the machine's host took for other work, and all clock ticks."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def _processor() -> str:
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", info, re.MULTILINE)
    kind = "of a virtual machine" if " hypervisor" in info else ""
    return f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores {kind}".strip()


def _versions() -> Iterator[str]:
    for name, program, option in (
        ("vsftpd", vsftpd.path, "-v"),
        ("HAProxy", setups.HAPROXY, "-v"),
        ("nginx", setups.NGINX, "-v"),
        ("ProFTPD", setups.PROFTPD, "-v"),
        ("ftp-proxy", setups.SUSE, "-V"),
    ):
        if program.exists():
            # vsftpd prints its version on its standard input.
            said = subprocess.run(
                ["sh", "-c", '"$@" 0>&1 2>&1', "sh", program, option], stdout=subprocess.PIPE, text=True
            ).stdout
            number = re.search(r"\d+(\.\d+)+", said)
            yield f"{name} {number[0]}" if number else name
