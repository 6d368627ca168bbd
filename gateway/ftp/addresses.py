"""The addresses inside replies: 227 (RFC 959 section 4.1.2) and 229 (RFC 2428 section 3), parsed and rendered.

A reply is rendered afresh, never patched, and the host in a 227 is not even returned. Only a 229 that can be read in
one way may go on as it came.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from gateway.ftp.replies import Reply

# RFC 1123 section 4.1.2.6: the text may be anything, with parentheses or without; only the six numbers count.
_HOST_PORT = re.compile(
    rb"(?<![0-9,])[0-9]{1,3}(?:,[0-9]{1,3}){3},(?P<high>[0-9]{1,3}),(?P<low>[0-9]{1,3})(?![0-9,])"
)
# RFC 2428 section 3: the same printable delimiter four times, and nothing between the first three.
_EXTENDED = re.compile(rb"\((?P<d>[!-/:-~])(?P=d)(?P=d)(?P<port>[0-9]{1,5})(?P=d)\)")
# Nothing before it or behind it in which some client could find another port, or a host.
_ONE_READING = re.compile(rb"229 [^(|!]*%b[^(|!]*" % _EXTENDED.pattern, re.DOTALL)


def parse_227(reply: Reply) -> int | None:
    """The port of a 227, or None where the reply is malformed or has several lines."""
    if reply.multi_line:
        return None
    match = _HOST_PORT.search(reply.lines[0], 4)
    if match is None:
        return None
    high, low = int(match["high"]), int(match["low"])
    return high << 8 | low if max(high, low) < 256 else None


def render_227(host: IPv4Address, port: int) -> Reply:
    """The 227 that names ``host`` and ``port``."""
    numbers = ",".join(map(str, [*host.packed, port >> 8, port & 0xFF]))
    return Reply.of(227, f"Entering Passive Mode ({numbers}).")


def parse_229(reply: Reply) -> int | None:
    """The port of a 229, or None where the reply is malformed or has several lines."""
    if reply.multi_line:
        return None
    match = _EXTENDED.search(reply.lines[0], 4)
    if match is None:
        return None
    port = int(match["port"])
    return port if port < 65536 else None


def has_one_reading(reply: Reply) -> bool:
    """Whether every client finds the same port in a 229, and no host."""
    return not reply.multi_line and _ONE_READING.fullmatch(reply.lines[0]) is not None


def render_229(port: int) -> Reply:
    """The 229 that names ``port``."""
    return Reply.of(229, f"Entering Extended Passive Mode (|||{port}|)")
