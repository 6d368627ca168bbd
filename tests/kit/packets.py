"""What goes over the wire: the TCP streams of the loopback interface, seen from outside of those who speak."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Network

import attrs

_ETH_P_IP = 0x0800  # what comes in; on this interface that is all that goes out
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_BUFFER = 64 << 20  # bytes: it is read at the end
_MAX_PACKET = 1 << 17

# A filter's instructions, and where it finds the addresses (linux/bpf_common.h, RFC 791 section 3.1).
_LOAD, _AND, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_SOURCE, _DESTINATION = 12, 16

SocketAddress = tuple[str, int]


@attrs.frozen
class Stream:
    """What one side of a connection sent."""

    source: SocketAddress
    destination: SocketAddress
    content: bytes = attrs.field(repr=False)

    def touches(self, host: str) -> bool:
        """Whether one of its ends is there."""
        return host in (self.source[0], self.destination[0])


def obstacle() -> str | None:
    """Why nothing can be captured here, or None."""
    if sys.platform != "linux":
        return "packet sockets are Linux's"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).close()
    except PermissionError:
        return "packet sockets need root"
    return None


@contextlib.contextmanager
def captured(network: IPv4Network) -> Iterator[list[Stream]]:
    """At the end of the block the list holds each stream from or to that network's addresses, of connections made
    in the block.
    """
    streams: list[Stream] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as tap:
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        _filter(tap, network)
        tap.bind(("lo", _ETH_P_IP))
        yield streams
        # Whoever read it read it after the tap.
        streams += _streams(_packets(tap))
        _, dropped = struct.unpack("II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        assert not dropped


def _filter(tap: socket.socket, network: IPv4Network) -> None:
    """Leaves the tap the packets from or to the network, whatever else is under way on the interface."""
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


def _packets(tap: socket.socket) -> Iterator[bytes]:
    tap.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            yield tap.recv(_MAX_PACKET)


def _streams(packets: Iterator[bytes]) -> Iterator[Stream]:
    """Puts the payloads of TCP packets together (RFC 9293 section 3.1)."""
    starts: dict[tuple[SocketAddress, SocketAddress], int] = {}
    contents: defaultdict[tuple[SocketAddress, SocketAddress], bytearray] = defaultdict(bytearray)
    for packet in packets:
        header, total = (packet[0] & 0x0F) * 4, int.from_bytes(packet[2:4], "big")
        if packet[9] != socket.IPPROTO_TCP:
            continue
        segment = packet[header : total or None]  # 0: longer than the field can say
        ports = struct.unpack_from("!HH", segment)
        sequence, flags = struct.unpack_from("!I", segment, 4)[0], segment[13]
        hosts = (socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]))
        ends = (hosts[0], ports[0]), (hosts[1], ports[1])
        if flags & 0x02:  # SYN
            starts[ends] = sequence + 1
        payload = segment[(segment[12] >> 4) * 4 :]
        if payload and ends in starts:
            at, content = (sequence - starts[ends]) % 2**32, contents[ends]
            content.extend(bytes(max(0, at - len(content))))
            content[at : at + len(payload)] = payload
    return (Stream(*ends, bytes(content)) for ends, content in contents.items())
