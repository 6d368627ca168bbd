"""The peers between client and origin: the gateway, and the programs that it is compared with."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from benchmarks import setups
from benchmarks.network import CONTROL, ORIGIN, host
from benchmarks.processes import running, tree


@attrs.frozen
class Running:
    """A peer that takes connections.

    :param pid: its first process; None where nothing is between client and origin.
    :param processes: the number of its processes while it has no session.
    :param passive: the command that asks it for a data connection.
    :param forks: whether each session is a process.
    :param tls: the context for TLS from the first byte; None for none.
    """

    name: str
    host: str
    pid: int | None = None
    processes: int = 0
    passive: bytes = b"EPSV"
    forks: bool = False
    tls: ssl.SSLContext | None = None


@attrs.frozen
class Peer:
    """A way from client to origin.

    :param setup: writes its files into an empty directory, and gives its command line; None: no program at all.
    :param program: the file that must exist for it.
    """

    name: str
    address: str
    setup: setups.Setup | None = None
    program: Path | None = None
    passive: bytes = b"EPSV"
    forks: bool = False
    tls: bool = False

    @property
    def missing(self) -> str | None:
        """The reason why it cannot run here; None where it can."""
        return "not installed" if self.program and not self.program.exists() else None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[Running]:
        """Runs it, in front of the origin at `ORIGIN`."""
        if self.setup is None:
            yield Running(self.name, self.address)
            return
        with tempfile.TemporaryDirectory(prefix="ftp-bench-") as scratch:
            directory = Path(scratch)
            directory.chmod(0o755)  # some programs give up root
            with running(self.setup(self.address, directory), (self.address, CONTROL), directory) as pid:
                yield Running(
                    self.name,
                    self.address,
                    pid,
                    len(tree(pid)),
                    self.passive,
                    self.forks,
                    _tls() if self.tls else None,
                )


def _tls() -> ssl.SSLContext:
    """The context of a client that accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


DIRECT = Peer("direct", ORIGIN)
GATEWAY = Peer("gateway", host(0), setups.gateway)
HAPROXY = Peer("HAProxy", host(1), setups.haproxy, setups.HAPROXY)
NGINX = Peer("nginx stream", host(2), setups.nginx, setups.NGINX)
MOD_PROXY = Peer("mod_proxy", host(3), setups.mod_proxy, setups.MOD_PROXY, forks=True)
# SUSE's ftp-proxy knows no EPSV.
SUSE = Peer("ftp-proxy", host(4), setups.suse, setups.SUSE, passive=b"PASV", forks=True)
SPLICE = Peer("splice loop", host(5), setups.splice_loop)
HAPROXY_TUNED = Peer("HAProxy, tuned", host(6), setups.haproxy_tuned, setups.HAPROXY)
NGINX_TUNED = Peer("nginx, tuned", host(7), setups.nginx_tuned, setups.NGINX)

PLAIN = (DIRECT, GATEWAY, HAPROXY, NGINX, MOD_PROXY, SUSE, SPLICE)
TUNED = (HAPROXY_TUNED, NGINX_TUNED)
"""The peers tuned by hand for large files, beyond their usual setup; nothing else in them differs."""
TLS = (
    attrs.evolve(GATEWAY, setup=setups.gateway_tls, tls=True),
    attrs.evolve(HAPROXY, setup=setups.haproxy_tls, tls=True),
)
