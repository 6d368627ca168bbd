"""The configuration: its keys, how they are read, and every mistake in it told with its path.

`values` holds how a single value is written, `keys` the tables and their keys, `structure` how strictly the TOML's
types are taken, `checks` what two keys can do to each other; `reading` puts them together. `reference` lists the
same keys for the documentation.
"""

from gateway.config.checks import warnings
from gateway.config.keys import (
    AccessAction,
    AccessDenied,
    AccessRule,
    Application,
    Commands,
    Config,
    DataPeer,
    DataSessionReuse,
    Events,
    GatewayLimits,
    Limits,
    ProxyHeader,
    ProxyProtocol,
    Timeouts,
    Tls,
    TlsMode,
    TlsRequirement,
    TlsVersion,
)
from gateway.config.reading import ConfigError, from_flags, load, parse
from gateway.config.values import HostPort

__all__ = [
    "AccessAction",
    "AccessDenied",
    "AccessRule",
    "Application",
    "Commands",
    "Config",
    "ConfigError",
    "DataPeer",
    "DataSessionReuse",
    "Events",
    "GatewayLimits",
    "HostPort",
    "Limits",
    "ProxyHeader",
    "ProxyProtocol",
    "Timeouts",
    "Tls",
    "TlsMode",
    "TlsRequirement",
    "TlsVersion",
    "from_flags",
    "load",
    "parse",
    "warnings",
]
