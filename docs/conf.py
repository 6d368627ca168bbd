"""The Sphinx configuration of the documentation: ``tox -e docs``."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from gateway.applications import watching
from gateway.data import candidates, pump
from gateway.ftp import streams
from gateway.guard import admission, clients
from gateway.net import proxy_header as proxy
from gateway.net import reception, tls_leg
from gateway.observe import writer
from gateway.relay import control_port, notes
from gateway.session import conversation, tolerance

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
sys.path.append(str(Path(__file__).parents[1]))  # for the benchmarks, which are not installed; goes last

project = "Protected FTP gateway"
author = "The protected FTP gateway developers"
copyright = f"2026, {author}"
version = release = installed_version("protected-ftp-gateway")

extensions = ["configuration", "events", "performance", "rooms", "states"]
exclude_patterns = ["_build"]
highlight_language = "none"  # blocks of code name their language
smartquotes = False  # characters are shown as typed
nitpicky = True

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["figures.css"]
html_show_sphinx = False

# The limits that the pages name come from the code.
_limits = {
    "max-queued": conversation.MAX_QUEUED,
    "grows-at": pump.BUFFER // 1024,
    "max-unclean": tolerance.MAX_UNCLEAN,
    "max-unknown": tolerance.MAX_UNKNOWN,
    "max-newcomers": reception.MAX_NEWCOMERS,
    "max-records": tls_leg.MAX_RECORDS,
    "max-events": notes.MAX_EVENTS,
    "max-client-events": admission.EVENTS_PER_MINUTE,
    "max-waiting": f"{writer.LIMIT:,}",
    "writing-patience": f"{writer.PATIENCE:g}",
    "max-turned-away": control_port.MAX_TURNED_AWAY,
    "max-clients": clients.MAX_CLIENTS,
    "max-unasked": tolerance.MAX_UNASKED,
    "max-behind": conversation.MAX_BEHIND,
    "max-command": streams.MAX_COMMAND,
    "max-telnet": streams.MAX_TELNET,
    "max-preliminary": streams.MAX_PRELIMINARY,
    "max-reply-line": streams.MAX_REPLY_LINE,
    "max-reply-lines": streams.MAX_REPLY_LINES,
    "max-reply": streams.MAX_REPLY,
    "max-candidates": candidates.MAX_CANDIDATES,
    "silence": f"{candidates.SILENCE:g}",
    "proxy-deadline": f"{proxy.DEADLINE:g}",
    "watch-interval": f"{watching.INTERVAL:g}",
    "exposure": 1.6,  # tests/docs/test_units.py compares it with the unit
}
rst_epilog = "\n".join(f".. |{name}| replace:: {limit}" for name, limit in _limits.items())
