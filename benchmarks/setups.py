"""The setup of each peer: the files that it reads, and the command line that starts it.

Each peer gets its own address and an empty directory, and relays to `ORIGIN`, with the same ports at both.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.network import CIPHER, CONTROL, DATA, ORIGIN
from gateway.tls.throwaway import write_certificate

TREE = Path(os.environ.get("BENCH_PEERS") or Path(__file__).parents[1] / ".tox" / "ftp-peers").absolute()
"""The directory in which `fetch-peers` unpacked the peers."""
HAPROXY = TREE / "usr/sbin/haproxy"
NGINX = TREE / "usr/sbin/nginx"
PROFTPD = TREE / "usr/sbin/proftpd"
MOD_PROXY = TREE / "usr/lib/proftpd/mod_proxy.so"
SUSE = TREE / "usr/sbin/ftp-proxy"

PYTHON = ("env", f"PYTHONPATH={Path(__file__).parents[1]}", sys.executable, "-m")
"""The command that runs a module of ours, from any directory."""

Command = list[str | Path]
Setup = Callable[[str, Path], Command]
_RANGE = f"{DATA[0]}-{DATA[-1]}"
_LONG = 3600  # seconds: no idle session should be ended


def gateway(own: str, directory: Path, tls: str = "") -> Command:
    """The gateway, as a user starts it."""
    config = f"""
[[application]]
name = "bench"
listen = "tcp:{CONTROL}:interface={own}:backlog=1024"
origin = "{ORIGIN}:{CONTROL}"
data_ports = "{_RANGE}"
timeouts.idle = {_LONG}
limits.connects_per_minute_per_client = 0  # all clients of the benchmark have one address
limits.data_ports_per_client = 0
{tls}
"""
    return _twistd(directory, config)


LOG = "gateway.log"


def gateway_of_many(own: str, directory: Path, applications: int) -> Command:
    """The gateway with several applications, at ports from `CONTROL` on; each has a certificate of its own.

    It writes its log into `LOG`.
    """
    renew(directory, applications)
    tables = []
    for number in range(applications):
        tables.append(
            f"""
[[application]]
name = "bench-{number}"
listen = "tcp:{CONTROL + number}:interface={own}"
origin = "{ORIGIN}:{CONTROL}"
data_ports = "{DATA[number]}"
limits.connects_per_minute_per_client = 0
tls.mode = "flexible"
tls.certificate = "{number}.pem"
"""
        )
    return _twistd(directory, "".join(tables), f"--logfile={LOG}")


def renew(directory: Path, applications: int) -> None:
    """Writes the certificates of `gateway_of_many`, or others in their place."""
    for number in range(applications):
        write_certificate(directory / f"{number}.pem")


def _twistd(directory: Path, config: str, *options: str) -> Command:
    twistd = Path(sys.executable).with_name("twistd")
    return [
        twistd,
        "-n",
        "--pidfile=",
        *options,
        "ftp-gateway",
        "--config",
        _file(directory / "gateway.toml", config),
    ]


def gateway_tls(own: str, directory: Path) -> Command:
    """The gateway with TLS from the first byte, like HAProxy, which cannot begin TLS at a command."""
    write_certificate(directory / "pair.pem")
    return gateway(
        own,
        directory,
        """
[application.tls]
mode = "flexible"
certificate = "pair.pem"
key = "pair.pem"
implicit = true
data_session_reuse = "optional"
minimum_version = "1.3"
""",
    )


def haproxy(own: str, directory: Path, more: str = "", splice: str = "option splice-auto", bind: str = "") -> Command:
    """HAProxy in TCP mode, which knows ranges of ports."""
    config = f"""
global
    nbthread 1
    maxconn 5500
    {more}
defaults
    mode tcp
    {splice}
    timeout connect 10s
    timeout client {_LONG}s
    timeout server {_LONG}s
    maxconn 5500
listen control
    bind {own}:{CONTROL} {bind}
    server origin {ORIGIN}:{CONTROL}
listen data
    bind {own}:{_RANGE} {bind}
    server origin {ORIGIN}
"""
    return [HAPROXY, "-db", "-f", _file(directory / "haproxy.cfg", config)]


def haproxy_tuned(own: str, directory: Path) -> Command:
    """HAProxy, tuned to splice from the first byte to the last, through the largest possible pipes."""
    return haproxy(own, directory, "tune.pipesize 1048576", "option splice-request\n    option splice-response")


def haproxy_tls(own: str, directory: Path) -> Command:
    """HAProxy with TLS from the first byte."""
    write_certificate(directory / "pair.pem")
    bind = f"ssl crt {directory}/pair.pem ssl-min-ver TLSv1.3 ciphersuites {CIPHER}"
    return haproxy(own, directory, bind=bind)


def nginx(own: str, directory: Path, buffer: str = "16k") -> Command:
    """nginx with its stream module; 16k is the default of its buffers."""
    config = f"""
load_module {TREE}/usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 15000; }}
stream {{
    proxy_timeout {_LONG}s;
    proxy_buffer_size {buffer};
    server {{ listen {own}:{CONTROL} backlog=1024; proxy_pass {ORIGIN}:{CONTROL}; }}
    server {{ listen {own}:{_RANGE}; proxy_pass {ORIGIN}:$server_port; }}
}}
"""
    return [NGINX, "-e", "stderr", "-p", directory, "-c", _file(directory / "nginx.conf", config)]


def nginx_tuned(own: str, directory: Path) -> Command:
    """nginx with the buffer size that serves large files best; each connection has two."""
    return nginx(own, directory, "1m")


def mod_proxy(own: str, directory: Path) -> Command:
    """ProFTPD as a reverse proxy."""
    (directory / "proxy").mkdir()
    config = f"""
ModulePath {MOD_PROXY.parent}
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
TimeoutIdle {_LONG}
TimeoutNoTransfer {_LONG}
ProxyEngine on
ProxyRole reverse
ProxyTables {directory}/proxy
ProxyReverseServers ftp://{ORIGIN}:{CONTROL}
ProxyDataTransferPolicy EPSV
"""
    return [PROFTPD, "--nodaemon", "--quiet", "--config", _file(directory / "proftpd.conf", config)]


def suse(own: str, directory: Path) -> Command:
    """SUSE's ftp-proxy. It runs out of passive ports in a range, as it cannot take a port that was just in use."""
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
TimeOut {_LONG}
PidFile {directory}/pid
"""
    return [SUSE, "-d", "-n", "-f", _file(directory / "ftp-proxy.conf", config)]


def splice_loop(own: str, _: Path) -> Command:
    """The bare splice(2) relay of this package."""
    return [*PYTHON, "benchmarks.splice", own, ORIGIN]


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
