"""An origin: one FTP server, and the way to speak to it."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway.addresses import PortMap, is_address
from gateway.net.proxy_header import ProxyInfo
from gateway.tls.to_origin import OriginTLS


@attrs.frozen
class Origin:
    """One FTP server.

    :param host: its address or host name.
    :param port: the port of its control connection.
    :param ports: its passive ports, and the public ports that stand for them.
    :param tls: the TLS that is spoken to it; None for none.
    :param control_header: makes the PROXY header before a control connection to it; b"" for none.
    :param data_header: makes the PROXY header before a data connection to it; b"" for none.
    :param connect_timeout: seconds that the look-up of its name and its connection may take together.
    :param name: its host name, which is resolved for new sessions; None where the host is an address.
    """

    host: str
    port: int
    ports: PortMap
    tls: OriginTLS | None
    control_header: Callable[[ProxyInfo], bytes]
    data_header: Callable[[ProxyInfo], bytes]
    connect_timeout: float

    name: str | None = attrs.field(init=False)

    @name.default
    def _host_name(self) -> str | None:
        return None if is_address(self.host) else self.host
