"""The endings of a session: a last reply, and the reason."""

from __future__ import annotations

from gateway.ftp.replies import Reply
from gateway.observe.records import OriginError, TLSFailed, TLSSide
from gateway.session import actions as do
from gateway.session.actions import Actions, Outcome

NOT_FTP = Reply.of(421, "This is an FTP server; closing control connection.")
TOO_MUCH_TELNET = Reply.of(421, "Too many Telnet commands; closing control connection.")
UNAVAILABLE = Reply.of(421, "Service not available; closing control connection.")
LOGIN_TIMEOUT = Reply.of(421, "Login timeout; closing control connection.")
IDLE_TIMEOUT = Reply.of(421, "Idle timeout; closing control connection.")
STOPPING = Reply.of(421, "Service is shutting down; closing control connection.")
TOO_MANY_LOGINS = Reply.of(421, "Too many failed logins; closing control connection.")


def send(reply: Reply) -> do.SendToClient:
    """The action that sends a reply."""
    return do.SendToClient(reply.render())


def end(outcome: Outcome, last: Reply | None = None) -> Actions:
    """Closes the session.

    :param last: the last reply to the client; None for none.
    """
    said: Actions = [] if last is None else [send(last)]
    return [*said, do.Close(outcome)]


def origin_error(reason: str) -> do.Note:
    """The event of an origin that does something forbidden."""
    return do.Note(OriginError(reason))


def origin_insecure(reason: str) -> Actions:
    """Ends the session of an origin that has no TLS, or not the right one; it never goes on in the clear."""
    return [do.Note(TLSFailed(TLSSide.ORIGIN, reason)), *end(Outcome.ORIGIN_TLS, UNAVAILABLE)]


def injected(last: Reply | None = None) -> Actions:
    """Ends a session in which bytes came in the clear where TLS was to begin (CVE-2011-0411 and its kin)."""
    return [do.Note(TLSFailed(TLSSide.CONTROL, Outcome.INJECTED.value)), *end(Outcome.INJECTED, last)]
