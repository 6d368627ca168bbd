"""The refusals that depend on the session's state, besides those of the policy."""

from __future__ import annotations

from ipaddress import IPv6Address

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.session.client_tls import ClientTLS
from gateway.session.setting import Setting

PASV_AFTER_ALL = Reply.of(503, "PASV is not allowed after EPSV ALL.")
REIN_UNDER_TLS = Reply.of(502, "REIN is not supported under TLS.")
PASV_OVER_IPV6 = Reply.of(425, "PASV cannot name an IPv6 address; use EPSV.")


def refusal(command: Command, setting: Setting, client_tls: ClientTLS, extended_only: bool) -> Reply | None:
    """The reply to a command that the origin must not see now; None where it may.

    :param extended_only: whether the origin accepted EPSV ALL.
    """
    reply = setting.policy.refusal(command) or client_tls.refusal(command)
    if reply is not None:
        return reply
    if command.verb == b"REIN" and client_tls.secure:
        return REIN_UNDER_TLS
    if command.verb == b"PASV":
        if extended_only:
            return PASV_AFTER_ALL
        if isinstance(setting.client, IPv6Address):
            return PASV_OVER_IPV6
    return None
