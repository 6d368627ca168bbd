"""What stands between client and origin: the gateway, and what it is compared with."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from benchmarks.network import CONTROL, DATA, ORIGIN, host
from benchmarks.processes import running, tree

TREE = Path(os.environ.get("BENCH_PEERS") or Path(__file__).parents[1] / ".tox" / "ftp-peers").absolute()
"""Where `fetch-peers` unpacked them."""
BIN = Path(sys.executable).parent
PYTHON = ("env", f"PYTHONPATH={Path(__file__).parents[1]}", sys.executable, "-m")
"""Runs a module of ours, wherever that is."""
RANGE = f"{DATA[0]}-{DATA[-1]}"


@attrs.frozen
class Running:
    """A peer that takes connections.

    :param pid: of its first process; None where there is nothing between client and origin.
    :param processes: how many it has while it has no session.
    """

    name: str
    host: str
    pid: int | None = None
    passive: bytes = b"EPSV"
    tls: bool = False
    processes: int = 0


@attrs.frozen
class Peer:
    """A way from client to origin.

    :param command: writes what it needs into an empty directory, and gives its command line; None: no program at all.
    :param program: what has to be there for it.
    :param passive: the command for a data connection; SUSE's ftp-proxy knows no EPSV.
    :param forks: whether it has a process for each session.
    """

    name: str
    address: str
    command: Callable[[str, Path], list[str | Path]] | None = None
    program: Path | None = None
    passive: bytes = b"EPSV"
    tls: bool = False
    forks: bool = False

    @property
    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        return f"{self.program} is not there" if self.program and not self.program.exists() else None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[Running]:
        """Runs it, in front of what listens at `ORIGIN`."""
        if self.command is None:
            yield Running(self.name, ORIGIN)
            return
        with tempfile.TemporaryDirectory(prefix="ftp-bench-") as scratch:
            directory = Path(scratch)
            directory.chmod(0o755)  # some give up root
            command = self.command(self.address, directory)
            with running(command, (self.address, CONTROL), directory) as pid:
                yield Running(self.name, self.address, pid, self.passive, self.tls, len(tree(pid)))


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def gateway_config(own: str, directory: Path, tls: str = "") -> Path:
    """The gateway's configuration; how the others are set up has to be as near to it as they can come."""
    return _written(
        directory / "gateway.toml",
        f"""
[[application]]
name = "bench"
listen = "tcp:{CONTROL}:interface={own}:backlog=1024"
origin = "{ORIGIN}:{CONTROL}"
data_ports = "{RANGE}"
timeouts.idle = 3600
{tls}""",
    )


def gateway_command(config: Path) -> list[str | Path]:
    """As a user starts it."""
    return [BIN / "twistd", "-n", "--pidfile=", "ftp-gateway", "--config", config]


def _gateway(own: str, directory: Path) -> list[str | Path]:
    return gateway_command(gateway_config(own, directory))


def _haproxy(own: str, directory: Path) -> list[str | Path]:
    config = f"""
global
    nbthread 1
    maxconn 5500
defaults
    mode tcp
    option splice-auto
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    maxconn 5500
listen control
    bind {own}:{CONTROL}
    server origin {ORIGIN}:{CONTROL}
listen data
    bind {own}:{RANGE}
    server origin {ORIGIN}
"""
    return [TREE / "usr/sbin/haproxy", "-db", "-f", _written(directory / "haproxy.cfg", config)]


def _nginx(own: str, directory: Path) -> list[str | Path]:
    config = f"""
load_module {TREE}/usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 19000; }}
stream {{
    proxy_timeout 1h;
    server {{ listen {own}:{CONTROL} backlog=1024; proxy_pass {ORIGIN}:{CONTROL}; }}
    server {{ listen {own}:{RANGE}; proxy_pass {ORIGIN}:$server_port; }}
}}
"""
    return [
        TREE / "usr/sbin/nginx",
        "-e",
        "stderr",
        "-p",
        directory,
        "-c",
        _written(directory / "nginx.conf", config),
    ]


def _mod_proxy(own: str, directory: Path) -> list[str | Path]:
    tables = directory / "proxy"
    tables.mkdir()
    config = f"""
ModulePath {TREE}/usr/lib/proftpd
LoadModule mod_tls.c
LoadModule mod_proxy.c
ServerType standalone
UseIPv6 off
DefaultAddress {own}
Port {CONTROL}
SocketBindTight on
UseReverseDNS off
User root
Group root
MaxInstances none
PassivePorts {DATA[0]} {DATA[-1]}
PidFile {directory}/pid
ScoreboardFile none
ControlsEngine off
DelayEngine off
WtmpLog off
TransferLog none
TimeoutIdle 3600
TimeoutNoTransfer 3600
ProxyEngine on
ProxyRole reverse
ProxyTables {tables}
ProxyReverseServers ftp://{ORIGIN}:{CONTROL}
ProxyDataTransferPolicy EPSV
"""
    return [
        TREE / "usr/sbin/proftpd",
        "--nodaemon",
        "--quiet",
        "--config",
        _written(directory / "proftpd.conf", config),
    ]


def _suse(own: str, directory: Path) -> list[str | Path]:
    config = f"""
[-Global-]
ServerType standalone
Listen {own}
Port {CONTROL}
DestinationAddress {ORIGIN}
DestinationPort {CONTROL}
DestinationTransferMode passive
MaxClients 8000
ForkLimit 8000
PidFile {directory}/pid
"""
    return [TREE / "usr/sbin/ftp-proxy", "-d", "-n", "-f", _written(directory / "ftp-proxy.conf", config)]


def _splice(own: str, _: Path) -> list[str | Path]:
    return [*PYTHON, "benchmarks.splice", own, ORIGIN]


_sbin = TREE / "usr/sbin"
DIRECT = Peer("direct", ORIGIN)
GATEWAY = Peer("gateway", host(0), _gateway)
HAPROXY = Peer("HAProxy", host(1), _haproxy, _sbin / "haproxy")
NGINX = Peer("nginx stream", host(2), _nginx, _sbin / "nginx")
MOD_PROXY = Peer("mod_proxy", host(3), _mod_proxy, TREE / "usr/lib/proftpd/mod_proxy.so", forks=True)
SUSE = Peer("ftp-proxy", host(4), _suse, _sbin / "ftp-proxy", b"PASV", forks=True)
SPLICE = Peer("splice loop", host(5), _splice)

PLAIN = (DIRECT, GATEWAY, HAPROXY, NGINX, MOD_PROXY, SUSE, SPLICE)
