"""The scrubber, which takes the origin's address and name out of its replies."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import groupby

import attrs

from gateway.addresses import Address
from gateway.ftp.replies import Reply

# An address has one of these, however it is written; most replies have none.
_LIKELY = re.compile(rb"[.,:_0-9-](?:(?<![0-9])[0-9a-fA-F:-]|[0-9]{6}|[xX])")
_DIGITS = string.hexdigits.encode()
_HEX, _DIGIT = rb"[0-9a-f]", rb"[0-9]"
_ZERO = rb"0{1,4}"  # a group of zeros in an IPv6 address

Rule = tuple[bytes, Callable[[bytes], bytes]]  # a regular expression, and the replacement of a text that matches


@attrs.frozen
class Scrubber:
    """The texts that would tell where the origin is, and their replacements.

    An address is found in every usual way to write it: with zeros in front of its numbers, inside an IPv6 address,
    with hyphens or underscores as in the host names of clouds, as the name of a reverse look-up, and as one number.
    The public address takes its place in the same way of writing; where that cannot be, the public text or the name.

    The work is linear: one regular expression reads a line once, and an address has one way to match it.

    :param address: the origin's address.
    :param public: the text that stands in its place, an address or a name.
    :param host: the origin's host name, or None where it is known by its address alone.
    :param name: the text that stands in the place of that host name.
    """

    address: Address
    public: str
    host: str | None
    name: str
    _pattern: re.Pattern[bytes] = attrs.field(init=False, repr=False)
    _replacements: tuple[Callable[[bytes], bytes], ...] = attrs.field(init=False, repr=False)
    _host: bytes | None = attrs.field(init=False, repr=False)

    @_pattern.default
    def _compile(self) -> re.Pattern[bytes]:
        # The empty group behind an alternative tells that it matched. Around the alternative it would cost more: one
        # that begins with a plain character is passed over quickly.
        return re.compile(b"|".join(pattern + b"()" for pattern, _ in self._rules()), re.IGNORECASE)

    @_replacements.default
    def _replace(self) -> tuple[Callable[[bytes], bytes], ...]:
        return tuple(replacement for _, replacement in self._rules())

    @_host.default
    def _in_lower_case(self) -> bytes | None:
        return None if self.host is None else self.host.lower().encode()

    def _rules(self) -> Iterable[Rule]:
        written = _PublicText.of(self.public, self.name)
        yield _alone(re.escape(self.address.reverse_pointer.encode()), _HEX), written.reversed
        if isinstance(self.address, IPv4Address):
            for pattern in _with_marks(self.address):
                yield pattern, written.with_marks
            # The end of an IPv4-mapped address, or of one by NAT64, or 6to4: two groups of an IPv6 address.
            end = b":".join(map(_group, _numbers(self.address)))
            yield rb":%b(?!%b)" % (end, _HEX), lambda _: b":" + self.public.encode()
            for number in (b"0x%08x", b"%d"):
                yield rb"%b(?!%b)" % (_alone(number % int(self.address), _DIGIT), _HEX), written.plain
        else:
            for pattern in _in_groups(self.address):
                yield pattern, written.with_marks
        if self.host is not None:
            first, rest = re.escape(self.host[:1].encode()), re.escape(self.host[1:].encode())
            # The hyphen of a multi-line reply's mark is no part of a name.
            pattern = rb"%b(?:(?<![\w-]%b)|(?<=^[0-9]{3}-%b))%b(?![\w-])" % (first, first, first, rest)
            yield pattern, lambda _: self.name.encode()

    def scrub(self, reply: Reply) -> Reply:
        """The reply without the origin's address or name in it; its code and marks stay as they are."""
        text = b"\n".join(reply.lines)
        if not (_LIKELY.search(text) or (self._host is not None and self._host in text.lower())):
            return reply
        mark = b"%d-" % reply.code  # it is no part of an address, whatever stands behind it
        lines = tuple(
            mark + self._clean(line[4:]) if line.startswith(mark) else self._clean(line) for line in reply.lines
        )
        return reply if lines == reply.lines else attrs.evolve(reply, lines=lines)

    def _clean(self, text: bytes) -> bytes:
        return self._pattern.sub(self._replacement, text)

    def _replacement(self, match: re.Match[bytes]) -> bytes:
        assert match.lastindex is not None
        return self._replacements[match.lastindex - 1](match[0])


@attrs.frozen
class _PublicText:
    """The public address, in the ways in which an address of the origin's can be written."""

    _plain: bytes
    _reversed: bytes
    _marked: Mapping[bytes, bytes]

    @classmethod
    def of(cls, public: str, name: str) -> _PublicText:
        """The ways to write that text; with a name where there is none."""
        try:
            address = ip_address(public)
        except ValueError:
            return cls(public.encode(), name.encode(), dict.fromkeys((b",", b"-", b"_"), name.encode()))
        marked = {mark: re.sub("[.:]", mark.decode(), public).encode() for mark in (b",", b"-", b"_")}
        if isinstance(address, IPv6Address):
            marked[b","] = name.encode()  # commas are for the numbers of IPv4
        return cls(public.encode(), address.reverse_pointer.encode(), marked)

    def plain(self, found: bytes) -> bytes:
        """The text itself."""
        return self._plain

    def reversed(self, found: bytes) -> bytes:
        """The name of its reverse look-up."""
        return self._reversed

    def with_marks(self, found: bytes) -> bytes:
        """The text with hyphens, underscores or commas where the found one has them."""
        return self._marked.get(found.lstrip(_DIGITS)[:1], self._plain)


@lru_cache(maxsize=256)
def scrubber(address: Address, public: str, host: str | None, name: str) -> Scrubber:
    """The scrubber for one origin, cached for the sessions to come."""
    return Scrubber(address, public, host, name)


# Each pattern begins with a plain character.


def _alone(pattern: bytes, no: bytes) -> bytes:
    """The pattern, unless such a character stands before it."""
    return rb"%b(?<!%b%b)%b" % (pattern[:1], no, pattern[:1], pattern[1:])


def _padded(digits: bytes, width: int) -> Iterable[bytes]:
    """A number without zeros in front of it, and with some."""
    yield digits
    if (most := width - len(digits)) > 0:
        yield b"00{0,%d}%b" % (most - 1, digits)


def _with_marks(address: IPv4Address) -> Iterable[bytes]:
    """The ways to write an IPv4 address in decimal numbers."""
    first, *others = (b"%d" % number for number in address.packed)
    rest = b"".join(rb"[.,_-]0{0,%d}%b" % (3 - len(number), number) for number in others)
    for number in _padded(first, 3):
        yield rb"%b%b(?!%b)" % (_alone(number, _DIGIT), rest, _DIGIT)


def _numbers(address: Address) -> Iterable[int]:
    """Each two bytes of an address as a number."""
    return (high << 8 | low for high, low in zip(address.packed[::2], address.packed[1::2], strict=True))


def _group(number: int) -> bytes:
    """A group of an IPv6 address, with zeros in front of it or without."""
    digits = b"%x" % number
    return b"0{0,%d}%b" % (4 - len(digits), digits)


def _in_groups(address: IPv6Address) -> Iterable[bytes]:
    """The ways to write an IPv6 address (RFC 4291 section 2.2), also with hyphens, and with a zone behind it."""
    groups = [_group(number) if number else None for number in _numbers(address)]
    dotted = re.escape(str(IPv4Address(address.packed[12:])).encode())
    first = b"%x" % next(iter(_numbers(address)))
    for last in ([dotted], groups[6:]):  # the longer one first
        for pattern in _joined(first, [*groups[:6], *last]):
            yield rb"%b(?!%b)(?:%%[0-9a-z]+)?" % (pattern, _HEX)


def _joined(first: bytes, groups: list[bytes | None]) -> Iterable[bytes]:
    """The ways to write these groups one behind the other; None is a group of zeros.

    :param first: the digits of the first one.
    """
    if groups[0] is not None:
        for digits in _padded(first, 4):
            yield _alone(digits, _HEX) + _behind(groups[1:])
        return
    zeros = next((at for at, group in enumerate(groups) if group is not None), len(groups) - 1)
    end = (groups[zeros] or rb"(?:%b)?" % _ZERO) + _behind(groups[zeros + 1 :])
    yield rb"%b(?:%b[:-]){0,%d}%b" % (_alone(b"::", _HEX), _ZERO, zeros - 1, end)
    yield rb"%b0{0,3}%b[:-]%b" % (_alone(b"0", _HEX), _zeros(zeros - 1), end)


def _behind(groups: list[bytes | None]) -> bytes:
    """The ways to write these groups behind others."""
    pattern, left = b"", len(groups)
    for zero, some in groupby(groups, key=lambda group: group is None):
        run = list(some)
        left -= len(run)
        pattern += _zeros(len(run), last=not left) if zero else b"".join(b"[:-]" + (group or b"") for group in run)
    return pattern


def _zeros(count: int, last: bool = False) -> bytes:
    """The ways to write so many groups of zeros behind others: all of them, or two colons in the place of some.

    :param last: whether nothing follows; else the second colon is that of the group that does.
    """
    group = b"[:-]" + _ZERO
    behind = rb"[:-](?:%b(?:%b){0,%d})?" % (_ZERO, group, count) if last else rb"(?:%b){0,%d}" % (group, count)
    return rb"(?:(?:%b){%d}|(?:%b){0,%d}[:-]%b)" % (group, count, group, max(count - 1, 0), behind)
