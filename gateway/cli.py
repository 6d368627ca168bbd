"""The ftp-gateway command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from gateway import config
from gateway.config import ConfigError
from gateway.files import read_regular
from gateway.pids import NotAGateway, hang_up, process_id


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of its subcommands; gives the exit code."""
    parser = argparse.ArgumentParser(prog="ftp-gateway", description="A protective gateway in front of FTP servers.")
    parser.add_argument("--version", action="version", version=f"ftp-gateway {version('protected-ftp-gateway')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="try it: run a gateway with an FTP server behind it")
    demo.add_argument("--tls", action="store_true", help="speak TLS to the clients, with a temporary certificate")
    demo.set_defaults(run=_demo)

    check = commands.add_parser("check", help="report every mistake in a configuration file")
    check.add_argument("file", type=Path)
    check.set_defaults(run=_check)

    reload = commands.add_parser("reload", help="make the running gateway read its configuration again")
    which = reload.add_mutually_exclusive_group()
    which.add_argument("--pid", type=process_id, help="the gateway's process id")
    which.add_argument(
        "--pidfile",
        type=Path,
        default=Path("twistd.pid"),
        help="the file that twistd wrote it to (default: %(default)s)",
    )
    reload.set_defaults(run=_reload)

    chosen = parser.parse_args(arguments)
    code: int = chosen.run(chosen)
    return code


def _demo(chosen: argparse.Namespace) -> int:
    from twisted.scripts import twistd

    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "ftp-gateway", "--demo", *(["--tls"] if chosen.tls else [])]
    twistd.run()
    return 0


def _check(chosen: argparse.Namespace) -> int:
    try:
        read = config.load(chosen.file)
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        return 2
    for advice in config.warnings(read):
        print(f"warning: {advice}", file=sys.stderr)
    return 0


def _reload(chosen: argparse.Namespace) -> int:
    try:
        pid = chosen.pid or process_id(read_regular(chosen.pidfile).decode())
    except OSError as error:
        return _complain(f"no running gateway found: {chosen.pidfile}: {error.strerror}")
    except ValueError:
        return _complain(f"{chosen.pidfile} holds no process id")
    try:
        hang_up(pid)
    except NotAGateway:
        return _complain(f"process {pid} is not an ftp-gateway")
    except (ProcessLookupError, OverflowError):
        return _complain(f"no running gateway found: there is no process {pid}")
    except OSError as error:
        return _complain(f"cannot signal process {pid}: {error.strerror}")
    return 0


def _complain(sentence: str) -> int:
    print(f"ftp-gateway: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
