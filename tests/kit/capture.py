"""The record of the bytes that clients receive, searched for the origin's address.

A recorder stands between clients and the gateway, on the control connection only. Neither of the two sees a
difference: it listens on the gateway's address, dials from the client's, and passes urgent bytes on as urgent.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Protocol, Self

import attrs

from tests.kit import PATIENCE
from tests.kit.gateway import RunningGateway

_SIOCATMARK = 0x8905 if sys.platform == "linux" else 0x40047307
_IPV6_TEXT = re.compile(rb"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


class Protect(Protocol):
    """Runs a gateway until the test ends; then the bytes that its clients received are searched."""

    def __call__(self, *applications: str, also: Iterable[str] = ()) -> RunningGateway:
        """Takes the TOML of each application, and further hosts that no client may learn of."""


@contextlib.contextmanager
def recorded(running: RunningGateway, also: Iterable[str] = ()) -> Iterator[RunningGateway]:
    """The gateway, reached through recorders. At the end no bytes that a client received may name an origin.

    :param also: further hosts that no client may learn of, such as the address of an origin known by its name.
    """
    hosts = {application.origin.host for application in running.service.load().applications}.union(also)
    with contextlib.ExitStack() as stack:
        recorders = {
            name: [stack.enter_context(Recorder(place)) for place in places] for name, places in running.doors.items()
        }
        doors = {name: [recorder.place for recorder in behind] for name, behind in recorders.items()}
        yield attrs.evolve(running, doors=doors)
    for name, behind in recorders.items():
        for recorder in behind:
            for host in hosts - {recorder.target[0]}:  # an IPv6 origin shares its address, ::1, with its gateway
                lines = [line for recording in recorder.recordings for line in naming(host, bytes(recording))]
                assert not lines, f"a client of {name} was told of {host}: {lines}"


def naming(host: str, received: bytes) -> list[bytes]:
    """The lines that name a host: its address, in any spelling, or its name."""
    search = _search(host)
    return [line for line in received.splitlines() if search(line)]


def _search(host: str) -> Callable[[bytes], object]:
    try:
        address = ip_address(host)
    except ValueError:
        return re.compile(rb"(?<![\w-])%s(?![\w-])" % re.escape(host.encode()), re.IGNORECASE).search
    if isinstance(address, IPv6Address):
        return lambda line: any(_reads_as(text, address) for text in _IPV6_TEXT.findall(line))
    return re.compile(rb"(?<![0-9])%s(?![0-9])" % "[.,]".join(str(address).split(".")).encode()).search


def _reads_as(text: bytes, address: IPv6Address) -> bool:
    return any(_is(reading, address) for reading in (text, text.rstrip(b"."), text.rstrip(b":")))


def _is(text: bytes, address: IPv6Address) -> bool:
    try:
        return IPv6Address(text.decode()) == address
    except ValueError:
        return False


@attrs.define(eq=False)
class Recorder:
    """A recorder, which passes control connections on to the gateway, and keeps the bytes for each client."""

    target: tuple[str, int]
    recordings: list[bytearray] = attrs.field(factory=list, init=False)
    _listener: socket.socket = attrs.field(init=False)
    _waker: tuple[socket.socket, socket.socket] = attrs.field(factory=socket.socketpair, init=False)
    _connections: list[_Connection] = attrs.field(factory=list, init=False)
    _thread: threading.Thread = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        host, _ = self.target
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=128)
        self._thread = threading.Thread(target=self._accept)

    @property
    def place(self) -> tuple[str, int]:
        """The address and port at which it stands for the gateway."""
        host, port = self._listener.getsockname()[:2]
        return host, port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waker[0].close()
        self._thread.join()
        self._waker[1].close()
        self._listener.close()
        for connection in self._connections:
            connection.end()

    def _accept(self) -> None:
        while self._waker[1] not in select.select([self._listener, self._waker[1]], [], [])[0]:
            client, (host, *_) = self._listener.accept()
            try:
                gateway = socket.create_connection(self.target, PATIENCE, source_address=(host, 0))
            except OSError:  # no more clients come in
                client.close()
                continue
            recording = bytearray()
            self.recordings.append(recording)
            self._connections.append(_Connection(client, gateway, recording))


@attrs.define(eq=False)
class _Connection:
    client: socket.socket
    gateway: socket.socket
    recording: bytearray
    _thread: threading.Thread = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        for side in (self.client, self.gateway):
            side.settimeout(None)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            side.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        """Ends the recording where the two sides have not."""
        self._cut()
        self._thread.join()

    def _run(self) -> None:
        with self.client, self.gateway:
            to_gateway = threading.Thread(target=self._pass_on, args=(self.client, self.gateway, bytearray()))
            to_gateway.start()
            self._pass_on(self.gateway, self.client, self.recording)
            to_gateway.join()

    def _pass_on(self, source: socket.socket, sink: socket.socket, recording: bytearray) -> None:
        try:
            while source.recv(1, socket.MSG_PEEK):
                urgent = _at_mark(source)  # a read ends in front of the urgent byte
                data = source.recv(1 if urgent else 65536)
                recording += data
                sink.sendall(data, socket.MSG_OOB if urgent else 0)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._cut()

    def _cut(self) -> None:
        for side in (self.client, self.gateway):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


def _at_mark(source: socket.socket) -> bool:
    (mark,) = struct.unpack("i", fcntl.ioctl(source, _SIOCATMARK, struct.pack("i", 0)))
    return bool(mark)
