"""The origin as a program, ``python -m origin``: it runs until SIGTERM or SIGINT."""

import argparse
import re
import signal
from collections.abc import Mapping
from typing import NoReturn

from origin.dialects import DIALECTS
from origin.faults import FAULTS
from origin.server import Address, Origin, render_address

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class _OneSentenceParser(argparse.ArgumentParser):
    """The parser of the command line, which reports a mistake without repeating the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _address(text: str) -> Address:
    parts = re.fullmatch(r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:]+)):([0-9]+)", text)
    if parts is None:
        raise argparse.ArgumentTypeError(f"not HOST:PORT or [IPV6]:PORT: {text!r}")
    ipv6, host, port = parts.groups()
    return ipv6 or host, int(port)


def _ports(text: str) -> range:
    parts = re.fullmatch(r"([0-9]+)-([0-9]+)", text)
    if parts is None:
        raise argparse.ArgumentTypeError(f"not LO-HI: {text!r}")
    low, high = map(int, parts.groups())
    if low > high:
        raise argparse.ArgumentTypeError(f"{low} is greater than {high}")
    return range(low, high + 1)


def _user(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not (name and colon):
        raise argparse.ArgumentTypeError(f"not NAME:PASSWORD: {text!r}")
    return name, password


def _names(title: str, descriptions: Mapping[str, str]) -> str:
    return "\n".join([title, *(f"  {name:22}{description}" for name, description in descriptions.items())])


def _parser() -> argparse.ArgumentParser:
    dialects = _names("dialects:", {name: dialect.about for name, dialect in DIALECTS.items()})
    faults = _names("faults:", {name: fault.__doc__ or "" for name, fault in FAULTS.items()})
    parser = _OneSentenceParser(
        prog="python -m origin",
        description="An FTP server for one directory, to put behind the gateway. It runs until SIGTERM or SIGINT.",
        epilog=f"{dialects}\n\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--listen",
        type=_address,
        default=("127.0.0.2", 2121),
        metavar="HOST:PORT",
        help="where it listens, also [IPV6]:PORT; port 0 takes a free one (default: 127.0.0.2:2121)",
    )
    parser.add_argument("--root", required=True, metavar="DIR", help="the directory that every user sees as /")
    parser.add_argument(
        "--passive-ports",
        type=_ports,
        metavar="LO-HI",
        help="ports for data connections, both included (default: any)",
    )
    parser.add_argument(
        "--masquerade-address",
        metavar="IP",
        help="the address in 227 replies (default: the address that the client connected to)",
    )
    parser.add_argument(
        "--user",
        type=_user,
        action="append",
        default=[],
        metavar="NAME:PASSWORD",
        help="let in this user; may be repeated",
    )
    parser.add_argument("--anonymous", action="store_true", help="let in 'anonymous' with any password")
    parser.add_argument("--writable", action="store_true", help="let users change files (default: read only)")
    parser.add_argument(
        "--certificate",
        metavar="FILE",
        help="offer TLS (AUTH) with this certificate, in PEM; its chain may follow it",
    )
    parser.add_argument("--key", metavar="FILE", help="the certificate's private key, in PEM, without a passphrase")
    parser.add_argument("--tls-required", action="store_true", help="refuse login and transfers without TLS")
    parser.add_argument("--implicit-tls", action="store_true", help="start TLS at the first byte, as on port 990")
    parser.add_argument(
        "--dialect", choices=DIALECTS, metavar="NAME", help="word replies like another server; see below"
    )
    parser.add_argument("--fault", choices=FAULTS, metavar="NAME", help="misbehave; see below")
    return parser


def main() -> None:
    """Run an origin from the command line; exit 0 when stopped by a signal, 2 on a mistake."""
    parser = _parser()
    options = parser.parse_args()
    if not (options.user or options.anonymous):
        parser.error("nobody could log in: give --user or --anonymous")
    # Blocked before any thread starts: every thread inherits the mask, and only sigwait() takes the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        origin = Origin(
            options.root,
            listen=options.listen,
            passive_ports=options.passive_ports,
            masquerade_address=options.masquerade_address,
            users=dict(options.user),
            anonymous=options.anonymous,
            writable=options.writable,
            certificate=options.certificate,
            key=options.key,
            tls_required=options.tls_required,
            implicit_tls=options.implicit_tls,
            dialect=options.dialect,
            fault=options.fault,
        )
        origin.start()
    except ValueError as mistake:
        parser.error(str(mistake))
    except OSError as failure:
        parser.error(failure.strerror or str(failure))
    print(f"origin ready: {render_address(origin.address)}", flush=True)
    signal.sigwait(STOP_SIGNALS)
    origin.stop()


if __name__ == "__main__":
    main()
