"""Sphinx builds the documentation with this: ``tox -e docs``."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from gateway.data import pump
from gateway.guard import clients
from gateway.net import proxy_header as proxy
from gateway.net import reception
from gateway.relay import control_port, relay
from gateway.session import judge

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
sys.path.append(str(Path(__file__).parents[1]))  # for the benchmarks, which are not installed; what is goes first

project = "Protected FTP gateway"
author = "The protected FTP gateway developers"
copyright = f"2026, {author}"
version = release = installed_version("protected-ftp-gateway")

extensions = ["configuration", "performance", "states"]
exclude_patterns = ["_build"]
highlight_language = "none"  # what is a program says so
smartquotes = False  # what is typed is shown
nitpicky = True

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_show_sphinx = False

# The limits that the pages name are those of the code.
_limits = {
    "max-queued": judge.MAX_QUEUED,
    "grows-at": pump.BUFFER // 1024,
    "max-unclean": judge.MAX_UNCLEAN,
    "max-unknown": judge.MAX_UNKNOWN,
    "max-events": relay.MAX_EVENTS,
    "max-turned-away": control_port.MAX_TURNED_AWAY,
    "max-clients": clients.MAX_CLIENTS,
    "max-command": relay.MAX_COMMAND,
    "max-reply-line": relay.MAX_REPLY_LINE,
    "max-reply-lines": relay.MAX_REPLY_LINES,
    "max-reply": relay.MAX_REPLY,
    "proxy-deadline": f"{proxy.DEADLINE:g}",
    "max-newcomers": reception.MAX_NEWCOMERS,
    "exposure": 1.6,  # tests/docs/test_units.py holds it to the unit
}
rst_epilog = "\n".join(f".. |{name}| replace:: {limit}" for name, limit in _limits.items())
