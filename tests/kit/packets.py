"""Packets on the wire, and the TCP streams in them, seen from outside both ends."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Self

import attrs

_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_BUFFER = 64 << 20  # bytes: the buffer is read only at the end
_MAX_PACKET = 1 << 17

# The instructions of a filter, and the places where it finds the addresses (linux/bpf_common.h, RFC 791 section 3.1).
_LOAD, _AND, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_SOURCE, _DESTINATION = 12, 16

SocketAddress = tuple[str, int]


@attrs.frozen
class Stream:
    """The bytes that one side of a connection sent."""

    source: SocketAddress
    destination: SocketAddress
    content: bytes = attrs.field(repr=False)

    def touches(self, host: str) -> bool:
        """Whether one of its ends is at that host."""
        return host in (self.source[0], self.destination[0])


def obstacle() -> str | None:
    """The reason why nothing can be captured here; None where it can."""
    if sys.platform != "linux":
        return "packet sockets are Linux's"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).close()
    except PermissionError:
        return "packet sockets need root"
    return None


@attrs.define(eq=False)
class Tap:
    """A packet socket that keeps every IPv4 packet of an interface until it is asked for them."""

    _socket: socket.socket

    @classmethod
    def at(cls, device: str, network: IPv4Network | None = None) -> Self:
        """Opens a tap on the host that this thread is on.

        :param network: the only network from or to which packets are kept, even if others are under way.
        """
        # On the loopback interface each packet goes both out and in.
        protocol = _ETH_P_IP if device == "lo" else _ETH_P_ALL
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        if network is not None:
            _filter(tap, network)
        tap.bind((device, protocol))
        tap.setblocking(False)
        return cls(tap)

    def packets(self) -> list[bytes]:
        """The packets since the last call; none of them was lost."""
        packets = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (_, protocol, *_) = self._socket.recvfrom(_MAX_PACKET)
                if protocol == _ETH_P_IP:
                    packets.append(packet)
        seen, lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        assert not lost, f"{lost} of {seen} packets were not captured"
        return packets

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


@contextlib.contextmanager
def captured(network: IPv4Network) -> Iterator[list[Stream]]:
    """The streams of connections made in the block, from or to that network; the list is filled at its end."""
    found: list[Stream] = []
    with Tap.at("lo", network) as tap:
        yield found
        # The tap gets a packet before its receiver does, so none is missing.
        found += streams(tap.packets())


def hosts(packet: bytes) -> tuple[str, str]:
    """Source and destination of an IPv4 packet."""
    return socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])


def streams(packets: list[bytes]) -> list[Stream]:
    """The streams in TCP packets, their payloads put together (RFC 9293 section 3.1)."""
    starts: dict[tuple[SocketAddress, SocketAddress], int] = {}
    contents: defaultdict[tuple[SocketAddress, SocketAddress], bytearray] = defaultdict(bytearray)
    for packet in packets:
        header, total = (packet[0] & 0x0F) * 4, int.from_bytes(packet[2:4], "big")
        if packet[9] != socket.IPPROTO_TCP:
            continue
        segment = packet[header : total or None]  # 0: longer than the field can express
        ports = struct.unpack_from("!HH", segment)
        sequence, flags = struct.unpack_from("!I", segment, 4)[0], segment[13]
        source, destination = hosts(packet)
        ends = (source, ports[0]), (destination, ports[1])
        if flags & 0x02:  # SYN
            starts[ends] = sequence + 1
        payload = segment[(segment[12] >> 4) * 4 :]
        if payload and ends in starts:
            at, content = (sequence - starts[ends]) % 2**32, contents[ends]
            content.extend(bytes(max(0, at - len(content))))
            content[at : at + len(payload)] = payload
    return [Stream(*ends, bytes(content)) for ends, content in contents.items()]


def _filter(tap: socket.socket, network: IPv4Network) -> None:
    """Limits the tap to the packets from or to the network, even if others are under way on the interface."""
    mask, prefix = int(network.netmask), int(network.network_address)
    instructions = [
        (_LOAD, 0, 0, _SOURCE),
        (_AND, 0, 0, mask),
        (_JUMP_IF_EQUAL, 3, 0, prefix),
        (_LOAD, 0, 0, _DESTINATION),
        (_AND, 0, 0, mask),
        (_JUMP_IF_EQUAL, 0, 1, prefix),
        (_RETURN, 0, 0, _MAX_PACKET),
        (_RETURN, 0, 0, 0),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    tap.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(instructions), ctypes.addressof(program))
    )
