"""vsftpd, ProFTPD and Pure-FTPd, each with writing allowed and its check of the data connection's address left on."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from tests.kit.servers.sandbox import EXAMPLE_NAME, sandbox

TREE = Path(os.environ.get("FTP_SERVERS") or Path(__file__).parents[3] / ".tox" / "ftp-servers").absolute()
"""The directory in which `.ci/fetch-servers` unpacked the servers."""

SPECTRUM_RECIPE: Mapping[str, str] = MappingProxyType(
    {
        "pasv_enable": "YES",
        "pasv_address": EXAMPLE_NAME,
        "pasv_addr_resolve": "YES",
        "pasv_promiscuous": "YES",
    }
)
"""vsftpd as Cloudflare's Spectrum guide configures it: it names the public address, and takes data from any peer."""


@attrs.frozen
class Server:
    """A running FTP server."""

    name: str
    address: tuple[str, int]
    user: str
    password: str
    root: Path
    """The user's home directory, and all that the user can see."""
    passive_ports: range
    pid: int
    """The process that listens; its children are the sessions."""


@attrs.frozen
class Plan:
    """The values from which a daemon's configuration is made."""

    host: str
    port: int
    passive_ports: range
    settings: Mapping[str, str]
    state: Path
    """An empty directory for the daemon's files."""


@attrs.frozen
class Daemon:
    """A server program; called, a context manager that runs it."""

    name: str
    path: Path
    _command: Callable[[Path, Plan], list[str]]

    @contextlib.contextmanager
    def __call__(
        self,
        root: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        passive_ports: range = range(20000, 20021),
        user: str = "tester",
        password: str = "correct horse",
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Server]:
        """Run the server, with `root` as the user's home, on the loopback address `host`, IPv4 or IPv6.

        Port 0 takes a free one. `settings` are the program's own: they add to ours or replace them, for vsftpd and
        ProFTPD by the names in their configuration files, for Pure-FTPd by its long options.
        """
        address = (host, port or _free_port(host))

        def command(state: Path) -> list[str]:
            return self._command(self.path, Plan(*address, passive_ports, settings, state))

        with sandbox(command, address, user, password, root) as pid:
            yield Server(self.name, address, user, password, root, passive_ports, pid)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0), family=_family(host)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _vsftpd(program: Path, plan: Plan) -> list[str]:
    v6 = _family(plan.host) is socket.AF_INET6
    chroot = plan.state / "empty"
    chroot.mkdir()
    settings = {
        "background": "NO",
        "listen": "NO" if v6 else "YES",
        "listen_ipv6": "YES" if v6 else "NO",
        "listen_address6" if v6 else "listen_address": plan.host,
        "listen_port": plan.port,
        "anonymous_enable": "NO",
        "local_enable": "YES",
        "write_enable": "YES",
        "chroot_local_user": "YES",
        "allow_writeable_chroot": "YES",
        "secure_chroot_dir": chroot,
        "pam_service_name": "ftp",
        "delay_failed_login": 0,
        "pasv_min_port": plan.passive_ports[0],
        "pasv_max_port": plan.passive_ports[-1],
        **plan.settings,
    }
    configuration = plan.state / "vsftpd.conf"
    configuration.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return [str(program), str(configuration)]


def _proftpd(program: Path, plan: Plan) -> list[str]:
    directives = {
        "ModulePath": program.parents[1] / "lib" / "proftpd",
        "ServerType": "standalone",
        "UseIPv6": "on" if _family(plan.host) is socket.AF_INET6 else "off",
        "DefaultAddress": plan.host,
        "Port": plan.port,
        "SocketBindTight": "on",  # on that address only
        "UseReverseDNS": "off",
        "User": "nobody",
        "Group": "nogroup",
        "AuthOrder": "mod_auth_unix.c",
        "RootLogin": "on",  # the account's numeric id
        "DefaultRoot": "~",
        "AllowOverwrite": "on",
        "AllowStoreRestart": "on",
        # The default, off, seems the same, but then 1.3.8 checks only PORT and lets anyone take a passive connection.
        "AllowForeignAddress": "off",
        "PassivePorts": f"{plan.passive_ports[0]} {plan.passive_ports[-1]}",
        "PidFile": plan.state / "pid",
        "ScoreboardFile": "none",
        "ControlsEngine": "off",
        "DelayEngine": "off",
        "WtmpLog": "off",
        "TransferLog": "none",
        **plan.settings,
    }
    configuration = plan.state / "proftpd.conf"
    configuration.write_text("".join(f"{name} {value}\n" for name, value in directives.items()))
    return [str(program), "--nodaemon", "--config", str(configuration)]


def _pure_ftpd(program: Path, plan: Plan) -> list[str]:
    options = {
        "bind": f"{plan.host},{plan.port}",
        "login": "unix",
        "passiveportrange": f"{plan.passive_ports[0]}:{plan.passive_ports[-1]}",
        "pidfile": plan.state / "pid",
        **plan.settings,
    }
    return [
        str(program),
        "--noanonymous",
        "--dontresolve",
        *(f"--{name}={value}" for name, value in options.items()),
    ]


vsftpd = Daemon("vsftpd", TREE / "usr/sbin/vsftpd", _vsftpd)
proftpd = Daemon("proftpd", TREE / "usr/sbin/proftpd", _proftpd)
pure_ftpd = Daemon("pure-ftpd", TREE / "usr/sbin/pure-ftpd", _pure_ftpd)
"""Pure-FTPd; it serves half as many clients as it has passive ports."""

DAEMONS = (vsftpd, proftpd, pure_ftpd)
