"""Hosts on one machine: network namespaces of Linux, joined by links that a test can disturb.

The hosts of a client, a gateway and an origin stand in a row, and none of them forwards: the client cannot reach the
origin. The addresses are from RFC 5737's documentation ranges, and exist only in the namespaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

_NETNS = Path("/run/netns")  # the directory in which ip(8) keeps them
_CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


@attrs.frozen
class Host:
    """A network namespace, by its name."""

    name: str

    def command(self, *command: str | Path) -> tuple[str | Path, ...]:
        """The command, run on this host."""
        return ("nsenter", f"--net={_NETNS / self.name}", "--", *command)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Moves this thread to that host, and with it the sockets, threads and programs that it starts."""
        with Path("/proc/thread-self/ns/net").open() as before, (_NETNS / self.name).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


@attrs.frozen
class End:
    """The end of a link in a host: a device and its address."""

    host: Host
    device: str
    address: str


@attrs.frozen
class Link:
    """A cable between two hosts. Its faults last for a ``with`` block, and work in both directions."""

    ends: tuple[End, End]

    @contextlib.contextmanager
    def lossy(self, percent: int) -> Iterator[None]:
        """Loses so many percent of the packets, each by chance."""
        with self._dropping(f"numgen random mod 100 < {percent}"):
            yield

    @contextlib.contextmanager
    def black_hole(self) -> Iterator[None]:
        """Loses all packets."""
        with self._dropping(""):
            yield

    @contextlib.contextmanager
    def slow(self, rate: str) -> Iterator[None]:
        """Carries no more than the rate, which is written as for tc(8)."""
        with contextlib.ExitStack() as stack:
            for end in self.ends:
                queue = ("dev", end.device, "root")
                shape = ("tbf", "rate", rate, "burst", "16kb", "latency", "100ms")
                _run(*end.host.command("tc", "qdisc", "add", *queue, *shape))
                stack.callback(_run, *end.host.command("tc", "qdisc", "del", *queue))
            yield

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Unplugs the cable."""
        device = ("ip", "link", "set", self.ends[0].device)
        _run(*self.ends[0].host.command(*device, "down"))
        try:
            yield
        finally:
            _run(*self.ends[0].host.command(*device, "up"))

    @contextlib.contextmanager
    def _dropping(self, condition: str) -> Iterator[None]:
        # Dropped on arrival: a sender that could not send would know, and would not behave as if the packet was lost.
        with contextlib.ExitStack() as stack:
            for end in self.ends:
                chain = f"type filter hook input priority 0; iifname {end.device} {condition} drop;"
                _run(*end.host.command("nft", f"table inet {end.device} {{ chain arrival {{ {chain} }}; }}"))
                stack.callback(_run, *end.host.command("nft", "delete", "table", "inet", end.device))
            yield


@attrs.frozen
class Network:
    """A client, a gateway and an origin; each link has the gateway as its first end."""

    client: Host
    gateway: Host
    origin: Host
    outside: Link
    inside: Link


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Makes the three hosts, and removes them without a trace."""
    with contextlib.ExitStack() as stack:
        client, gateway, origin = (stack.enter_context(_host(name)) for name in ("client", "gateway", "origin"))
        outside = _link(End(gateway, "outside", "198.51.100.1"), End(client, "gateway", "198.51.100.2"))
        inside = _link(End(gateway, "inside", "203.0.113.1"), End(origin, "gateway", "203.0.113.2"))
        yield Network(client, gateway, origin, outside, inside)


@contextlib.contextmanager
def _host(name: str) -> Iterator[Host]:
    host = Host(f"ftp-gateway-{os.getpid()}-{name}")
    _run("ip", "netns", "add", host.name)
    try:
        _run("ip", "-n", host.name, "link", "set", "lo", "up")
        yield host
    finally:
        _run("ip", "netns", "del", host.name)


def _link(one: End, other: End) -> Link:
    ends = [("name", end.device, "netns", end.host.name) for end in (one, other)]
    _run("ip", "link", "add", *ends[0], "type", "veth", "peer", *ends[1])
    for end in (one, other):
        _run("ip", "-n", end.host.name, "address", "add", f"{end.address}/24", "dev", end.device)
        _run("ip", "-n", end.host.name, "link", "set", end.device, "up")
    return Link((one, other))


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):  # os.setns() exists since Python 3.12
        raise OSError(ctypes.get_errno(), "setns")


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


@functools.cache
def _obstacle() -> str | None:
    """The reason why there can be no such hosts here; None where there can."""
    for program in ("ip", "nft", "tc", "nsenter"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    try:
        with network() as trial, trial.inside.lossy(1), trial.outside.slow("1mbit"):
            return None
    except (OSError, RuntimeError) as error:
        return f"needs root and network namespaces: {error}"


def require_namespaces() -> None:
    """Skips a test that cannot have hosts; in CI, where it can, fails it."""
    if reason := _obstacle():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
