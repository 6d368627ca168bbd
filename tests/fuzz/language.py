"""Random bytes, guided by coverage, for all code that reads a stranger's bytes: FTP's language and the PROXY header.

By hand, with ``pip install atheris`` (docs/architecture.rst)::

    python -m tests.fuzz.language -dict=tests/fuzz/ftp.dict -max_total_time=300
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

import atheris

with atheris.instrument_imports(include=["gateway", "proxyprotocol"]):
    from gateway.ftp.addresses import parse_227, parse_229, render_227, render_229
    from gateway.ftp.commands import Command
    from gateway.ftp.lines import LineReader, Unclean
    from gateway.ftp.replies import NotFTP, Reply, features
    from gateway.ftp.scrub import Scrubber
    from gateway.ftp.streams import CommandStream, Foreign, ReplyStream
    from gateway.ftp.telnet import TelnetFilter
    from gateway.net import proxy_header as proxy

LIMIT = 64  # short, so that a few bytes are past it
ORIGINS = [ip_address("198.51.100.1"), ip_address("2001:db8::1")]
SCRUBBERS = [Scrubber(origin, "192.0.2.1", "origin.internal", "ftp.example.com") for origin in ORIGINS]


def halves(data: bytes) -> tuple[bytes, bytes]:
    """Two pieces of it; the first byte says where the cut is."""
    cut = data[0] % len(data)
    return data[1 : 1 + cut], data[1 + cut :]


def lines(*pieces: bytes) -> list[bytes | Unclean]:
    """What a reader makes of them."""
    reader, found = LineReader(LIMIT), list[bytes | Unclean]()
    for piece in pieces:
        reader.feed(piece)
        while (line := reader.next_line()) is not None:
            found.append(line)
        assert len(reader._buffer) <= LIMIT + 1, "memory is bounded"
    return found


def replies(*pieces: bytes) -> list[Reply]:
    """What a stream makes of them, up to the first that is no reply."""
    stream, found = ReplyStream(LIMIT, 8, 256), list[Reply]()
    for piece in pieces:
        stream.feed(piece)
        try:
            while (reply := stream.next()) is not None:
                found.append(reply)
        except NotFTP:
            break
    return found


def commands(*pieces: bytes) -> list[Command | Unclean | Foreign]:
    """What a stream makes of them."""
    stream, found = CommandStream(LIMIT), list[Command | Unclean | Foreign]()
    for piece in filter(None, pieces):
        stream.feed(piece)
        while (one := stream.next()) is not None:
            found.append(one)
    return found


def strip(*pieces: bytes) -> tuple[bytes, bool]:
    """What a Telnet filter leaves of them, and whether text is the last of it."""
    telnet = TelnetFilter()
    return b"".join(map(telnet.strip, pieces)), telnet.ends_in_text


def try_lines(data: bytes) -> None:
    """Pieces do not matter; a line holds nothing that another reader takes for an end."""
    first, second = halves(data)
    whole = lines(first + second)
    assert whole == lines(first, second)
    for line in whole:
        assert isinstance(line, Unclean) or (len(line) <= LIMIT and not set(b"\r\n\0") & set(line))


def try_telnet(data: bytes) -> None:
    """Pieces do not matter; what is escaped comes out."""
    first, second = halves(data)
    text, ends_in_text = strip(first + second)
    assert text == strip(first, second)[0]
    assert not first or not second or ends_in_text == strip(first, second)[1]
    assert strip(data.replace(b"\xff", b"\xff\xff"))[0] == data


def try_commands(data: bytes) -> None:
    """Pieces do not matter, but where another protocol may begin; what is sent on reads as what was read."""
    first, second = halves(data)
    whole, parts = commands(first + second), commands(first, second)
    assert whole == parts or any(isinstance(one, Foreign) for one in (*whole, *parts))
    for command in whole:
        if isinstance(command, Command):
            again = commands(command.render().replace(b"\xff", b"\xff\xff"))
            assert again in ([command], [Unclean.TOO_LONG]) or command.verb[:1] == b"\x16"
            assert command.verb == command.verb.upper() and not set(b" \t") & set(command.verb)


def try_replies(data: bytes) -> None:
    """Pieces do not matter; what is sent on reads as what was read, scrubbed or not."""
    first, second = halves(data)
    whole = replies(first + second)
    assert whole == replies(first, second)
    for reply in whole:
        assert 100 <= reply.code < 700 and replies(reply.render()) == [reply]
        features(reply, frozenset({b"EPRT"}), (b"EPSV",))
        for scrubber in SCRUBBERS:
            clean = scrubber.scrub(reply)
            assert (clean.code, len(clean.lines)) == (reply.code, len(reply.lines))
            assert not any(b"198.51.100.1" in line.split() for line in clean.lines) or scrubber is SCRUBBERS[1]


def try_addresses(data: bytes) -> None:
    """A port is one, and is read again from what is rendered."""
    for code, parse in ((227, parse_227), (229, parse_229)):
        port = parse(Reply(code, (b"%d %s" % (code, data),)))
        if port is not None:
            assert 0 <= port < 65536
            assert parse_227(render_227(IPv4Address("192.0.2.1"), port)) == port == parse_229(render_229(port))


def try_scrubbing(data: bytes) -> None:
    """No form of the address is left that stands by itself."""
    for text, scrubber in (
        (b"198.51.100.1", SCRUBBERS[0]),
        (b"198,51,100,1", SCRUBBERS[0]),
        (b"2001:db8::1", SCRUBBERS[1]),
    ):
        clean = scrubber.scrub(Reply(200, (b"200 %s %s %s" % (data[:9], text, data[9:]),)))
        assert b" %s " % text not in clean.lines[0]


def try_proxy(data: bytes) -> None:
    """A header is read, awaited or refused; what is written again says the same."""
    for start in (b"", b"PROXY TCP4 ", b"PROXY TCP6 ", proxy.SIGNATURE, proxy.SIGNATURE + b"\x21\x11\0"):
        try:
            header = proxy.read(start + data)
        except proxy.BadHeader as error:
            assert str(error)
            continue
        if header is not None and header.ends is not None:
            assert header.size <= len(start + data)
            for written in (proxy.version_1(header.ends), proxy.version_2(header.ends)):
                assert proxy.read(written) is not None


TARGETS: list[Callable[[bytes], None]] = [
    try_lines,
    try_telnet,
    try_commands,
    try_replies,
    try_addresses,
    try_scrubbing,
    try_proxy,
]


def try_one(data: bytes) -> None:
    """The first byte says what is tried."""
    if len(data) > 1:
        TARGETS[data[0] % len(TARGETS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
