"""The allocator of ports: no two tests of a run get the same ones, nor do two runs that share a loopback interface.

All ports are below those that Linux gives to outgoing connections. A run claims a block of them with a socket bound
to the block's first port. A worker with a network namespace of its own (see ``parallel``) finds every block free.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from functools import cache

_BLOCKS = tuple(range(start, start + 5000) for start in (10000, 15000, 21000, 26000))  # not 20000-20999, the guides'
_SCRIPTED = 1000
_claims: list[socket.socket] = []


def scripted() -> range:
    """The data ports of scripted origins: the same in every run that has the machine to itself."""
    return _block()[:_SCRIPTED]


def take(count: int) -> range:
    """Takes so many ports in a row, which no other caller gets."""
    ports = list(itertools.islice(_rest(), count))
    assert len(ports) == count, "this run has used up its block of ports"
    return range(ports[0], ports[-1] + 1)


@cache
def _rest() -> Iterator[int]:
    return iter(_block()[_SCRIPTED:])


@cache
def _block() -> range:
    # Not when this module is imported: a worker moves to its namespace after pytest has read conftest.py.
    for block in _BLOCKS:
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", block[0]))
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            return block[1:]
    raise OSError("other runs on this machine have claimed all ports")
