"""The ftp-gateway command."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway import config
from gateway.config import ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of its subcommands; gives the exit code."""
    parser = argparse.ArgumentParser(prog="ftp-gateway", description="A protective gateway in front of FTP servers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="run a gateway, and an FTP server behind it, to try")
    demo.set_defaults(run=_demo)

    check = commands.add_parser("check", help="tell every mistake in a configuration file")
    check.add_argument("file", type=Path)
    check.set_defaults(run=_check)

    reload = commands.add_parser("reload", help="have the running gateway read its configuration again")
    which = reload.add_mutually_exclusive_group()
    which.add_argument("--pid", type=int, help="the gateway's process id")
    which.add_argument("--pidfile", type=Path, default=Path("twistd.pid"), help="where twistd wrote it (%(default)s)")
    reload.set_defaults(run=_reload)

    chosen = parser.parse_args(arguments)
    code: int = chosen.run(chosen)
    return code


def _demo(_: argparse.Namespace) -> int:
    from twisted.scripts import twistd

    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "ftp-gateway", "--demo"]
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
        pid = chosen.pid if chosen.pid is not None else int(chosen.pidfile.read_text())
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        print(f"ftp-gateway: no running gateway found: {error.strerror}", file=sys.stderr)
        return 1
    except ValueError:
        print(f"ftp-gateway: {chosen.pidfile} holds no process id", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
