"""The scrubber, which takes the origin's address and name out of its replies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import attrs

from gateway.addresses import Address
from gateway.ftp.replies import Reply

_IPV6 = re.compile(rb"(?<![0-9A-Fa-f:])[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+(?:%[0-9A-Za-z]+)?")


@attrs.frozen
class Scrubber:
    """The texts that would tell where the origin is, and their replacements.

    :param address: the origin's address.
    :param public: the text that stands in its place, an address or a name.
    :param host: the origin's host name, or None where it is known by its address alone.
    :param name: the text that stands in the place of that host name.
    """

    address: Address
    public: str
    host: str | None
    name: str
    _patterns: tuple[tuple[re.Pattern[bytes], Callable[[re.Match[bytes]], bytes]], ...] = attrs.field(
        init=False, repr=False
    )

    @_patterns.default
    def _compile(self) -> tuple[tuple[re.Pattern[bytes], Callable[[re.Match[bytes]], bytes]], ...]:
        return tuple((pattern, lambda _, text=text: text) for pattern, text in self._rules())

    def _rules(self) -> Iterable[tuple[re.Pattern[bytes], bytes]]:
        if isinstance(self.address, IPv4Address):
            dotted = str(self.address)
            yield _number(dotted), self.public.encode()
            yield _number(dotted.replace(".", ",")), self._in_commas.encode()
        if self.host is not None:
            # The hyphen of a multi-line reply's mark is no part of a name.
            pattern = rb"(?:(?<![\w-])|(?<=^[0-9]{3}-))%s(?![\w-])" % re.escape(self.host.encode())
            yield re.compile(pattern, re.IGNORECASE), self.name.encode()

    @property
    def _in_commas(self) -> str:
        """The replacement for an address that is written as in a 227."""
        try:
            return str(IPv4Address(self.public)).replace(".", ",")
        except ValueError:
            return self.name

    def scrub(self, reply: Reply) -> Reply:
        """The reply without the origin's address or name in it; its code and marks stay as they are."""
        lines = tuple(self._line(line) for line in reply.lines)
        return reply if lines == reply.lines else attrs.evolve(reply, lines=lines)

    def _line(self, line: bytes) -> bytes:
        for pattern, replacement in self._patterns:
            line = pattern.sub(replacement, line)
        if isinstance(self.address, IPv6Address) and b":" in line:
            line = _IPV6.sub(self._ipv6, line)
        return line

    def _ipv6(self, match: re.Match[bytes]) -> bytes:
        """Replaces an IPv6 address by comparing values, since one can be written in many ways (RFC 4291 section 2.2);
        also with a label before it or a port behind it."""
        text = match[0].rstrip(b".")
        if not text.endswith(b"::"):
            text = text.rstrip(b":")
        for start, end in ((0, len(text)), (text.find(b":") + 1, len(text)), (0, text.rfind(b":"))):
            if self._is_origin(text[start:end]):
                return match[0][:start] + self.public.encode() + match[0][end:]
        return match[0]

    def _is_origin(self, text: bytes) -> bool:
        try:
            return IPv6Address(text.partition(b"%")[0].decode()) == self.address
        except ValueError:
            return False


@lru_cache(maxsize=256)
def scrubber(address: Address, public: str, host: str | None, name: str) -> Scrubber:
    """The scrubber for one origin, cached for the sessions to come."""
    return Scrubber(address, public, host, name)


def _number(text: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?<![0-9])%s(?![0-9])" % re.escape(text.encode()))
