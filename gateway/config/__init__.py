"""The configuration: its keys, its reading, and every mistake in it reported with its path.

`values` holds the forms of single values, `keys` the tables and their keys, `structure` the strict typing of the
TOML, `checks` the conflicts between keys; `reading` puts them together. `reference` lists the same keys for the
documentation.
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
    Geo,
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
    "Geo",
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
