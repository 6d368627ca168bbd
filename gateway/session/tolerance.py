"""The tolerance for lines that are not FTP, and for replies that nobody asked for: too many end the session."""

from __future__ import annotations

import attrs

from gateway.ftp.replies import Reply
from gateway.session.actions import Outcome

MAX_UNCLEAN = 3
MAX_UNKNOWN = 10  # commands in a row: another protocol's lines, or a scanner (ALPACA, CVE-2021-3618)
MAX_UNASKED = 64  # replies to no command in a session: an origin may say a few, for example behind an ABOR

UNCLEAN = Reply.of(500, "Line too long or not clean.")
TOO_UNCLEAN = Reply.of(421, "Too many bad lines; closing control connection.")
TOO_MANY_UNKNOWN = Reply.of(421, "Too many unknown commands; closing control connection.")

Last = tuple[Outcome, Reply]


@attrs.define
class Tolerance:
    """The bad lines of a session. A client's bad line is refused; each method gives the end of a session in which
    it was one too many."""

    _unclean: int = attrs.field(default=0, init=False)
    _unknown: int = attrs.field(default=0, init=False)
    _unasked: int = attrs.field(default=0, init=False)

    def unclean(self) -> Last | None:
        """Counts a line that was dropped."""
        self._unclean += 1
        return (Outcome.CLIENT_UNCLEAN, TOO_UNCLEAN) if self._unclean == MAX_UNCLEAN else None

    def unknown(self) -> Last | None:
        """Counts a command whose verb is unknown."""
        self._unknown += 1
        return (Outcome.CLIENT_UNKNOWN, TOO_MANY_UNKNOWN) if self._unknown == MAX_UNKNOWN else None

    def unasked(self) -> bool:
        """Counts a reply to no command; says whether it was one too many."""
        self._unasked += 1
        return self._unasked > MAX_UNASKED

    def known(self) -> None:
        """Ends a row of unknown commands with a known one."""
        self._unknown = 0
