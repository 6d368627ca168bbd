"""The replies of passive mode: the one place where tests and benchmarks write and read a 227 or a 229."""

from __future__ import annotations

import re


def commas(host: str, port: int) -> bytes:
    """An IPv4 address and a port, as in a 227."""
    return b"%s,%d,%d" % (host.replace(".", ",").encode(), port >> 8, port & 0xFF)


def passive_port(reply: bytes | str) -> int:
    """The port that a 227 or a 229 names.

    :raises ValueError: where the reply names none.
    """
    if isinstance(reply, str):
        reply = reply.encode()
    if found := re.fullmatch(rb"229 .*\(\|\|\|(\d+)\|\)\.?", reply.rstrip(b"\r\n")):
        return int(found[1])
    if found := re.match(rb"227 (?:.*\D)?\d+,\d+,\d+,\d+,(\d+),(\d+)", reply):
        return int(found[1]) << 8 | int(found[2])
    raise ValueError(f"{reply!r} names no port")
