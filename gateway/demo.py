"""The demo: one process with a gateway and, behind it, an FTP server with sample files."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorCore

from gateway import config
from gateway.config import Config
from gateway.tls.throwaway import write_certificate
from origin import Origin
from origin.samples import write_samples

_HINTS = """
The gateway is at ftp://127.0.0.1:2121/. The FTP server behind it names 198.51.100.1 in its PASV replies.
In another terminal, try:

    curl ftp://127.0.0.1:2121/                                  a listing
    curl --disable-epsv -v ftp://127.0.0.1:2121/welcome.txt     PASV: look at the address in the 227 reply
    curl -T FILE ftp://demo:demo@127.0.0.1:2121/incoming/       an upload
    curl -P - ftp://127.0.0.1:2121/                             active mode: refused
"""

_TLS_HINTS = """
The gateway speaks TLS as well, with a temporary certificate:

    curl --ssl-reqd --cacert {certificate} ftp://localhost:2121/
"""

_END = "\nCtrl-C ends the demo.\n"


@attrs.define(eq=False)
class DemoOrigin:
    """The FTP server of the demo, in a thread of its own.

    :param tls: whether the gateway ends TLS in front of it.
    """

    tls: bool
    _directory: TemporaryDirectory[str] | None = attrs.field(default=None, init=False, repr=False)
    _origin: Origin | None = attrs.field(default=None, init=False)

    def config(self) -> Config:
        """The configuration of a gateway in front of the server; starts the server where it does not run.

        On Linux the server has a loopback address of its own, so the ports are the same on both sides. Other systems
        have only one loopback address, so there the ports are mapped.
        """
        alone = sys.platform == "linux"
        if self._origin is None:
            self._directory = TemporaryDirectory(prefix="ftp-gateway-demo-")
            files = Path(self._directory.name) / "files"
            files.mkdir()
            write_samples(files)
            self._origin = Origin(
                files,
                listen=("127.0.0.2" if alone else "127.0.0.1", 0),
                passive_ports=range(20000, 20021),
                masquerade_address="198.51.100.1",
                users={"demo": "demo"},
                anonymous=True,
                writable=True,
            )
            self._origin.start()
            if self.tls:
                write_certificate(self._certificate)
        host, port = self._origin.address
        ports = '"20000-20020"' if alone else '{ origin = "20000-20020", public = "30000-30020" }'
        text = f"""
            [[application]]
            name = "demo"
            listen = "tcp:2121:interface=127.0.0.1"
            origin = "{host}:{port}"
            data_ports = {ports}
        """
        if self.tls:
            text += f"""
            [application.tls]
            mode = "flexible"
            certificate = "{self._certificate}"
            """
        return config.parse(text, Path.cwd())

    @property
    def hints(self) -> str:
        """The commands to try."""
        tls = _TLS_HINTS.format(certificate=self._certificate) if self.tls else ""
        return _HINTS + tls + _END

    @property
    def _certificate(self) -> Path:
        assert self._directory is not None
        return Path(self._directory.name) / "certificate.pem"

    def stop(self) -> None:
        """Ends the server, and removes its files."""
        if self._origin is not None:
            self._origin.stop()
        if self._directory is not None:
            self._directory.cleanup()


@attrs.define(eq=False)
class DemoHints(Service):
    """The service that prints the hints once everything runs."""

    reactor: IReactorCore
    origin: DemoOrigin

    def startService(self) -> None:
        """Has the hints printed."""
        super().startService()
        # Not through twistd, which would make log lines of them.
        self.reactor.callWhenRunning(print, self.origin.hints, file=sys.__stdout__, flush=True)
