"""FTP servers that require TLS on both channels, to stand behind the gateway: the real ones, and the embedded one."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import MappingProxyType

from origin import Origin
from tests.kit.certificates import Pair
from tests.kit.servers import DAEMONS, Daemon, Server, proftpd, pure_ftpd, vsftpd
from tests.kit.servers.requirements import require

_LEAF = re.compile(rb".*?-----END CERTIFICATE-----\n", re.DOTALL)


def _vsftpd(pair: Pair) -> dict[str, str]:
    return {
        "ssl_enable": "YES",
        "rsa_cert_file": str(pair.certificate),
        "rsa_private_key_file": str(pair.key),
        "require_ssl_reuse": "YES",
        "force_local_logins_ssl": "YES",
        "force_local_data_ssl": "YES",
    }


def _proftpd(pair: Pair) -> dict[str, str]:
    intermediates = pair.certificate.with_suffix(".intermediates")
    intermediates.write_bytes(_LEAF.sub(b"", pair.certificate.read_bytes(), count=1))
    # The option NoSessionReuseRequired is not set: data connections have to resume the session.
    settings = {
        "LoadModule": "mod_tls.c",
        "TLSEngine": "on",
        "TLSRequired": "on",
        "TLSProtocol": "TLSv1.2 TLSv1.3",
        "TLSRSACertificateFile": str(pair.certificate),
        "TLSRSACertificateKeyFile": str(pair.key),
    }
    if intermediates.stat().st_size:
        settings["TLSCertificateChainFile"] = str(intermediates)
    return settings


def _pure_ftpd(pair: Pair) -> dict[str, str]:
    both = pair.certificate.with_suffix(".both")
    both.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
    return {"tls": "2", "certfile": str(both)}


_SETTINGS: Mapping[str, Callable[[Pair], dict[str, str]]] = {
    vsftpd.name: _vsftpd,
    proftpd.name: _proftpd,
    pure_ftpd.name: _pure_ftpd,
}


@contextlib.contextmanager
def secure(
    daemon: Daemon,
    root: Path,
    host: str,
    ports: range,
    pair: Pair,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Server]:
    """Runs a real server with this certificate.

    :param more: further settings of its own.
    """
    require(daemon.name)
    with daemon(root, host, passive_ports=ports, settings={**_SETTINGS[daemon.name](pair), **more}) as server:
        yield server


@contextlib.contextmanager
def embedded(root: Path, host: str, ports: range, pair: Pair, *, implicit: bool = False) -> Iterator[Server]:
    """Runs the embedded server with this certificate."""
    users = {"tester": "correct horse"}
    with Origin(
        root,
        listen=(host, 0),
        passive_ports=ports,
        users=users,
        writable=True,
        certificate=pair.certificate,
        key=pair.key,
        tls_required=True,
        implicit_tls=implicit,
    ) as origin:
        [(user, password)] = users.items()
        yield Server("pyftpdlib", origin.address, user, password, root, ports, os.getpid())


ORIGINS: Mapping[str, Callable[[Path, str, range, Pair], AbstractContextManager[Server]]] = {
    **{daemon.name: partial(secure, daemon) for daemon in DAEMONS},
    "pyftpdlib": embedded,
}
"""The origins by name. Each refuses logins and transfers in the clear, and runs at a host with passive ports."""
