"""The opening of a session: the origin's greeting, and TLS with the origin before the client sees it."""

from __future__ import annotations

import attrs

from gateway.ftp.replies import Reply
from gateway.session import actions as do
from gateway.session.actions import Actions
from gateway.session.client_tls import TLSTerms
from gateway.session.exchanges import Exchanges
from gateway.session.origin_tls import Insecure, OriginTLS


class Refused(Exception):
    """The origin refuses the session.

    :param reply: its reply.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(reply)


@attrs.define
class Opening:
    """The greeting, held back until the origin is as secure as it has to be.

    Methods give the actions that follow.

    :param banner: the text of the greeting; None for the origin's own.
    :param terms: TLS on either side.
    :param exchanges: the exchanges before the origin.
    :param greeting: the greeting, once nothing stands in its way.
    """

    banner: str | None = attrs.field(repr=False)
    terms: TLSTerms = attrs.field(repr=False)
    exchanges: Exchanges = attrs.field(repr=False)
    greeting: Reply | None = attrs.field(default=None, init=False)
    _held: Reply | None = attrs.field(default=None, init=False, repr=False)
    _tls: OriginTLS = attrs.field(init=False)

    @_tls.default
    def _nothing_said(self) -> OriginTLS:
        return OriginTLS(self.terms.origin_implicit)

    def connected(self) -> Actions:
        """Called when the origin is connected."""
        return [do.StartOriginTLS()] if self.terms.origin_implicit else []

    def greeted(self, reply: Reply) -> Actions:
        """Takes the origin's greeting.

        :raises Refused: where the reply is no greeting.
        """
        if not reply.positive:
            raise Refused(reply)
        self._held = reply if self.banner is None else Reply.of(220, self.banner)
        return self.secured()

    def secured(self) -> Actions:
        """Goes on after a step: asks for the next one, or lets the greeting go."""
        exchange = self._tls.next() if self.terms.to_origin else None
        if exchange is None:
            self.greeting, self._held = self._held, None
            return []
        self.exchanges.add(exchange)
        return [do.SendToOrigin(exchange.asked.render())]

    def answered(self, reply: Reply) -> Actions:
        """Takes the origin's answer to one of the gateway's own commands.

        :raises Insecure: where the origin refuses.
        """
        if reply.preliminary:
            return []
        exchange = self.exchanges.answered(reply)
        if exchange is None:
            raise Insecure("reply to no command")
        self.exchanges.remove(exchange)
        handshake = self._tls.answered(exchange, reply)
        return self.secured() if handshake is None else [handshake]
