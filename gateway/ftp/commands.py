"""Commands: their syntax (RFC 959 section 5.3) and the table of the known verbs.

The table is RFC 5797's registry and the extensions in common use. A verb that it does not hold is not relayed.
"""

from __future__ import annotations

import enum
import re

import attrs

# The origin must read a line exactly as we do: white space before the verb and a tab behind it are normalised, and
# everything behind one separator belongs to the argument (RFC 2640 section 3.2).
_COMMAND = re.compile(rb"[ \t]*(?P<verb>[^ \t]+)(?:[ \t](?P<argument>.*))?", re.DOTALL)

# The first words of a client that takes this port for another protocol's (ALPACA, CVE-2021-3618).
_FOREIGN_VERBS = frozenset(b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI HOST: HELO EHLO LHLO".split())
# A date, or a date and a time, before the path of MDTM: vsftpd and Serv-U set the file's time to that. vsftpd takes
# these forms for one, whatever characters follow the first.
_TIME_AND_PATH = re.compile(rb" *[0-9][^ ]{7}(?:[^ ]{6}(?:[.+-][^ ]*)?)? ")
TLS_ALERT, TLS_HANDSHAKE = 0x15, 0x16  # the record types that TLS begins with; a ClientHello is of the second


@attrs.frozen
class Command:
    """One command: its verb in upper case, and its argument, or None where no space followed the verb."""

    verb: bytes
    argument: bytes | None = attrs.field(default=None, repr=False)  # it may be a password

    @classmethod
    def parse(cls, line: bytes) -> Command:
        """Reads a line without its end. An empty line is a command without a verb."""
        match = _COMMAND.fullmatch(line)
        if match is None:
            return cls(b"")
        return cls(match["verb"].upper(), match["argument"])

    def render(self) -> bytes:
        """The line that is sent, CRLF included."""
        if self.argument is None:
            return self.verb + b"\r\n"
        return self.verb + b" " + self.argument + b"\r\n"

    @property
    def writes(self) -> bool:
        """Whether the command changes what the origin stores, as far as the gateway knows its verb."""
        if self.verb == b"MDTM":
            return _TIME_AND_PATH.match(self.argument or b"") is not None
        return self.verb in VERBS and VERBS[self.verb].writes

    @property
    def transfers(self) -> bool:
        """Whether the command moves bytes over a data connection, as far as the gateway knows its verb."""
        return self.verb in VERBS and VERBS[self.verb].transfers

    @property
    def foreign(self) -> bool:
        """Whether another protocol's client (HTTP, SMTP) begins like this."""
        return self.verb in _FOREIGN_VERBS


class Kind(enum.Enum):
    """The kind of a verb: all that the gateway must know of it."""

    PLAIN = enum.auto()
    ACTIVE = enum.auto()  # names an address for the origin to dial
    HIDING = enum.auto()  # could carry an address past the gateway
    PASSIVE = enum.auto()
    TLS = enum.auto()
    TO_CLIENT = enum.auto()  # a transfer, by the direction of its bytes
    TO_ORIGIN = enum.auto()


@attrs.frozen
class Verb:
    """One verb's row in the table.

    :param writes: whether the verb changes what the origin stores.
    """

    kind: Kind = Kind.PLAIN
    writes: bool = False

    @property
    def transfers(self) -> bool:
        """Whether the verb moves bytes over a data connection."""
        return self.kind in (Kind.TO_CLIENT, Kind.TO_ORIGIN)


def _rows(words: bytes, verb: Verb) -> dict[bytes, Verb]:
    return dict.fromkeys(words.split(), verb)


VERBS: dict[bytes, Verb] = {
    **_rows(b"USER PASS ACCT REIN QUIT HOST LANG CLNT CSID", Verb()),
    **_rows(b"CWD XCWD CDUP XCUP PWD XPWD", Verb()),
    **_rows(b"TYPE STRU MODE REST ALLO OPTS ABOR NOOP", Verb()),
    **_rows(b"FEAT HELP SYST STAT SIZE MDTM MLST ALGS AVBL DSIZ", Verb()),
    **_rows(b"HASH RANG XCRC XMD5 XSHA XSHA1 XSHA256 XSHA512 MD5 MMD5", Verb()),
    **_rows(b"RETR LIST NLST MLSD THMB", Verb(Kind.TO_CLIENT)),
    **_rows(b"STOR STOU APPE", Verb(Kind.TO_ORIGIN, writes=True)),
    **_rows(b"DELE RMD XRMD MKD XMKD RNFR RNTO SMNT", Verb(writes=True)),
    **_rows(b"MFMT MFCT MFF COMB SITE", Verb(writes=True)),
    **_rows(b"PASV EPSV", Verb(Kind.PASSIVE)),
    **_rows(b"PORT EPRT LPRT", Verb(Kind.ACTIVE)),
    **_rows(b"LPSV MIC CONF ENC ADAT", Verb(Kind.HIDING)),
    **_rows(b"AUTH PBSZ PROT CCC", Verb(Kind.TLS)),
}
