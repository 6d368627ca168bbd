"""The setting of a session: everything that it is told when it begins."""

from __future__ import annotations

import attrs

from gateway.addresses import Address
from gateway.session.client_tls import TLSTerms
from gateway.session.policy import Policy


@attrs.frozen
class Setting:
    """The plain values that a session depends on.

    :param name: the application's name.
    :param client: the client's address.
    :param public: the address or name that stands in the place of the origin's address.
    :param policy: the commands that are refused.
    :param banner: the text of the greeting; None for the origin's own.
    :param tls: TLS on either side.
    """

    name: str
    client: Address
    public: str
    policy: Policy
    banner: str | None
    tls: TLSTerms
