"""Clients that speak TLS, each of which verifies the gateway's certificate and carries files by it."""

from __future__ import annotations

import contextlib
import ftplib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import attrs

from tests.clients import FTP, run
from tests.tls import Pair, certificates

NAME = "localhost"
"""What every client connects to: a name in `tests.tls.NAMES` that resolves on every machine."""


def table(mode: str, pair: Pair | None = None, **more: str | bool | Path) -> str:
    """The TOML of an application's TLS.

    :param pair: what the gateway shows its clients; without it the good one, where the mode has any.
    """
    shown = pair or certificates().server
    keys = {} if mode == "passthrough" else {"certificate": str(shown.certificate), "key": str(shown.key)}
    keys |= {"mode": mode, **{key: value if isinstance(value, bool) else str(value) for key, value in more.items()}}
    return "\n".join(["[application.tls]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())])


class FTPS(FTP, ftplib.FTP_TLS):
    """ftplib with verification, a choice of the version, implicit TLS, and data connections that resume a session.

    `resumes` says whose; by default, its own control connection's.

    :param version: the only one that it speaks.
    """

    def __init__(
        self,
        ca: Path,
        passive: str = "EPSV",
        *,
        implicit: bool = False,
        version: ssl.TLSVersion | None = None,
    ) -> None:
        super().__init__(passive)
        self.context = ssl.create_default_context(cafile=str(ca))
        if version is not None:
            self.context.minimum_version = self.context.maximum_version = version
        self.implicit = implicit
        self.resumes: FTPS | None = self

    @property
    def sock(self) -> Any:
        """The control connection; ftplib sets it."""
        return self._sock

    @sock.setter
    def sock(self, connection: Any) -> None:
        secures = self.__dict__.get("implicit") and connection and not isinstance(connection, ssl.SSLSocket)
        self._sock = self.context.wrap_socket(connection, server_hostname=self.host) if secures else connection

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[Any, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if not self._prot_p:
            return connection, size
        session = None if self.resumes is None else self.resumes.sock.session
        # Python would take an end without close_notify, and even a reset, for the end of the file.
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            secure = self.context.wrap_socket(
                connection, server_hostname=self.host, session=session, suppress_ragged_eofs=False
            )
            stack.pop_all()
        return secure, size


@attrs.frozen
class Account:
    """Where a client logs in, and as whom.

    :param ca: the authority that it trusts.
    :param implicit: whether the gateway speaks TLS from the first byte.
    """

    port: int
    ca: Path
    user: str = "user"
    password: str = "secret"
    implicit: bool = False
    name: str = NAME


@contextlib.contextmanager
def secured(
    account: Account, passive: str = "EPSV", *, version: ssl.TLSVersion | None = None, private: bool = True
) -> Iterator[FTPS]:
    """A session of ftplib's, that quits in the end.

    :param private: whether its data connections are protected.
    """
    with FTPS(account.ca, passive, implicit=account.implicit, version=version) as ftp:
        ftp.connect(account.name, account.port)
        ftp.login(account.user, account.password)
        ftp.prot_p()  # with PBSZ, without which PROT is refused
        if not private:
            ftp.prot_c()
        yield ftp


class Failed(Exception):
    """A client program did not do what it was to do. The text is what it said."""


class Client(Protocol):
    """One that carries files in a session of its own; it raises what goes wrong."""

    def put(self, account: Account, *files: Path) -> None:
        """Stores the files, by their own names."""

    def get(self, account: Account, *files: Path) -> None:
        """Fetches the files of these names to these places."""


@attrs.frozen
class Ftplib:
    """Python's."""

    passive: str = "EPSV"
    version: ssl.TLSVersion | None = None
    private: bool = True

    def put(self, account: Account, *files: Path) -> None:
        with secured(account, self.passive, version=self.version, private=self.private) as ftp:
            for file in files:
                with file.open("rb") as source:
                    ftp.storbinary(f"STOR {file.name}", source, 1 << 18)

    def get(self, account: Account, *files: Path) -> None:
        with secured(account, self.passive, version=self.version, private=self.private) as ftp:
            for file in files:
                with file.open("wb") as sink:
                    ftp.retrbinary(f"RETR {file.name}", sink.write, 1 << 18)


@attrs.frozen
class Curl:
    """curl; --ssl-reqd is nothing for it to fall back from.

    :param options: more of its own.
    """

    options: tuple[str, ...] = ()

    def put(self, account: Account, *files: Path) -> None:
        self._run(account, *(word for file in files for word in ("-T", str(file), self._url(account, file.name))))

    def get(self, account: Account, *files: Path) -> None:
        self._run(account, *(word for file in files for word in (self._url(account, file.name), "-o", str(file))))

    def _url(self, account: Account, name: str) -> str:
        return f"{'ftps' if account.implicit else 'ftp'}://{account.name}:{account.port}/{name}"

    def _run(self, account: Account, *words: str) -> None:
        _succeed(
            *("curl", "--silent", "--show-error", "--fail-early", "--ssl-reqd", "--cacert", account.ca),
            *("--user", f"{account.user}:{account.password}", *self.options, *words),
            directory=account.ca.parent,
        )


@attrs.frozen
class Lftp:
    """lftp.

    :param settings: more of its own, as ``name value``.
    """

    settings: tuple[str, ...] = ()

    def put(self, account: Account, *files: Path) -> None:
        self.do(account, *(f"put {file} -o {file.name}" for file in files))

    def get(self, account: Account, *files: Path) -> None:
        self.do(account, *(f"get {file.name} -o {file}" for file in files))

    def do(self, account: Account, *commands: str) -> None:
        """Runs commands of lftp's in one session."""
        settings = (
            "cmd:fail-exit true",
            "xfer:clobber true",
            "net:max-retries 1",
            "net:timeout 20",
            "ftp:ssl-force true",
            "ftp:ssl-protect-data true",
            "ftp:ssl-protect-list true",
            "ssl:verify-certificate true",
            "ssl:check-hostname true",
            f"ssl:ca-file {account.ca}",
            *self.settings,
        )
        scheme = "ftps" if account.implicit else "ftp"
        script = [
            *(f"set {setting}" for setting in settings),
            f"open -u '{account.user},{account.password}' {scheme}://{account.name}:{account.port}",
            *commands,
            "bye",
        ]
        _succeed("lftp", "--norc", "-f", "/dev/stdin", directory=account.ca.parent, stdin="\n".join(script) + "\n")


def _succeed(*command: str | Path, directory: Path, stdin: str = "") -> None:
    done = run(*command, directory=directory, stdin=stdin)
    if done.returncode:
        raise Failed(done.stderr.decode())
