"""Clients that speak TLS; each verifies the gateway's certificate and carries files."""

from __future__ import annotations

import contextlib
import ftplib
import shutil
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest

from tests.kit.clients import FTP, run
from tests.kit.content import content, contents, tree
from tests.kit.servers.requirements import require

NAME = "localhost"
"""The name that every client connects to: one of `tests.kit.certificates.NAMES` that resolves on every machine."""


class FTPS(FTP, ftplib.FTP_TLS):
    """ftplib with verification, a choice of the version, implicit TLS, and data connections that resume a session.

    `resumes` is the connection whose session they resume; by default, its own control connection.

    :param version: the only version that it speaks.
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
    """The place where a client logs in, and its user.

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
    """A session of ftplib's that quits in the end.

    :param private: whether its data connections are protected.
    """
    with FTPS(account.ca, passive, implicit=account.implicit, version=version) as ftp:
        ftp.connect(account.name, account.port)
        ftp.login(account.user, account.password)
        ftp.prot_p()  # sends PBSZ first: without it PROT is refused
        if not private:
            ftp.prot_c()
        yield ftp


class Failed(Exception):
    """The failure of a client program. The text is its output."""


class Client(Protocol):
    """A client that carries files in a session of its own; it raises an exception for any failure."""

    def put(self, account: Account, *files: Path) -> None:
        """Stores the files under their own names."""

    def get(self, account: Account, *files: Path) -> None:
        """Fetches the files of these names to these places."""


@attrs.frozen
class Ftplib:
    """Python's ftplib."""

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
    """curl; --ssl-reqd leaves it nothing to fall back to.

    It runs once for each file: it uses each ticket of TLS 1.3 once, and closes a data connection without waiting for
    the next ticket, so its second one may have nothing to resume with. (That is curl's own: vsftpd refuses it as
    well.)

    :param options: further options of curl's.
    """

    options: tuple[str, ...] = ()

    def put(self, account: Account, *files: Path) -> None:
        for file in files:
            self._run(account, "-T", file, self._url(account, file.name))

    def get(self, account: Account, *files: Path) -> None:
        for file in files:
            self._run(account, "-o", file, self._url(account, file.name))

    def _url(self, account: Account, name: str) -> str:
        return f"{'ftps' if account.implicit else 'ftp'}://{account.name}:{account.port}/{name}"

    def _run(self, account: Account, *words: str | Path) -> None:
        require("curl")
        _succeed(
            *("curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", account.ca),
            *("--user", f"{account.user}:{account.password}", *self.options, *words),
            directory=account.ca.parent,
        )


@attrs.frozen
class Lftp:
    """lftp.

    :param settings: further settings of lftp's, as ``name value``.
    """

    settings: tuple[str, ...] = ()

    def put(self, account: Account, *files: Path) -> None:
        self.do(account, *(f"put {file} -o {file.name}" for file in files))

    def get(self, account: Account, *files: Path) -> None:
        self.do(account, *(f"get {file.name} -o {file}" for file in files))

    def do(self, account: Account, *commands: str) -> None:
        """Runs commands of lftp's in one session."""
        require("lftp")
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


TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

CLIENTS: Mapping[str, Client] = {
    "ftplib": Ftplib(version=TLS_1_3),
    "ftplib-1.2": Ftplib(version=TLS_1_2),
    "ftplib-pasv": Ftplib("PASV"),
    "curl": Curl(),
    "curl-1.2": Curl(("--tls-max", "1.2")),
    "curl-pasv": Curl(("--disable-epsv", "--no-ftp-skip-pasv-ip")),
    "lftp": Lftp(("ftp:prefer-epsv true",)),
    "lftp-1.2": Lftp(("ftp:prefer-epsv true", "ssl:priority NORMAL:-VERS-ALL:+VERS-TLS1.2")),
    "lftp-pasv": Lftp(("ftp:prefer-epsv false",)),
}
"""The clients by name. All of them speak TLS 1.3 and send EPSV, except where the name says otherwise."""


def tried_with(*names: str) -> pytest.MarkDecorator:
    """Tries a test with the clients of these names."""
    return pytest.mark.parametrize("client", [CLIENTS[name] for name in names], ids=names)


def carry(client: Client, account: Account, root: Path, local: Path) -> None:
    """Stores files, an empty one first, and fetches them again.

    :param root: the origin's directory; empty, like ``local``.
    """
    files = [local / "empty", local / "64-KiB"]
    files[0].touch()
    files[1].write_bytes(content(65536))
    client.put(account, *files)
    assert contents(root) == contents(local)
    for file in files:
        file.unlink()
    client.get(account, *files)
    assert contents(local) == contents(root)


def carry_at_once(client: Client, sessions: int, account: Account, root: Path, local: Path) -> None:
    """Does the same with so many sessions at once, each with a file of its own."""
    files = [local / f"number-{number}" for number in range(sessions)]
    for number, file in enumerate(files):
        file.write_bytes(content(65536, number))
    sent = contents(local)
    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(lambda file: client.put(account, file), files))
        assert contents(root) == sent
        for file in files:
            file.unlink()
        list(pool.map(lambda file: client.get(account, file), files))
    assert contents(local) == sent


def mirror(account: Account, root: Path, local: Path, *, leading_spaces: bool = True) -> None:
    """Stores a tree with lftp, and fetches it again.

    :param leading_spaces: whether some of its names begin with a space.
    """
    tree(local / "there", 40, leading_spaces=leading_spaces)
    lftp = Lftp()
    lftp.do(account, f"mirror --reverse {local}/there copy")
    assert contents(root / "copy") == contents(local / "there")
    lftp.do(account, f"mirror --parallel=4 copy {local}/back")
    assert contents(local / "back") == contents(local / "there")


def empty(root: Path) -> None:
    """Removes everything in a directory."""
    for path in root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
