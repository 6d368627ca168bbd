"""The terms of sessions: addresses that depend on the one that the client reached."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.data.bandwidth import Bandwidth
from gateway.relay.terms import DataTerms, SessionTerms

V4, V6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
NAMED = SimpleNamespace(host="ftp.example.com", address=ip_address("203.0.113.1"))
UNRESOLVED = SimpleNamespace(host="ftp.example.com", address=None)


def data(interface: str | None) -> DataTerms:
    bound = None if interface is None else ip_address(interface)
    anything: Any = None
    return DataTerms(anything, bound, lambda client: None, True, Bandwidth(0, 0, lambda: 0.0), 30.0, 300.0)


def terms(public: Any = None, proxies: tuple[Any, ...] = ()) -> SessionTerms:
    none: Any = None
    return SessionTerms("ftp", none, data(None), none, None, public, {}, proxies, none, None, none, none)


@pytest.mark.parametrize(
    ("interface", "local", "host"),
    [
        (None, V4, "192.0.2.1"),
        (None, V6, "2001:db8::1"),
        ("192.0.2.9", V4, "192.0.2.9"),
        ("192.0.2.9", V6, "2001:db8::1"),
        ("2001:db8::9", V4, "192.0.2.1"),
        ("2001:db8::9", V6, "2001:db8::9"),
    ],
)
def test_data_ports_are_bound_in_the_family_that_the_client_reached(
    interface: str | None, local: Any, host: str
) -> None:
    assert data(interface).host(local) == host


@pytest.mark.parametrize(
    ("public", "reached", "text", "passive"),
    [
        (None, V4, "192.0.2.1", V4),
        (None, V6, "2001:db8::1", None),
        (NAMED, V4, "ftp.example.com", NAMED.address),
        (NAMED, V6, "ftp.example.com", NAMED.address),
        (UNRESOLVED, V4, "ftp.example.com", None),
    ],
)
def test_the_public_address(public: Any, reached: Any, text: str, passive: Any) -> None:
    assert terms(public).public_text(reached) == text
    assert terms(public).passive_host(reached) == passive


def test_balancers() -> None:
    balanced = terms(proxies=(ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")))
    assert balanced.is_proxy(ip_address("10.1.2.3")) and balanced.is_proxy(ip_address("2001:db8:1::1"))
    assert not balanced.is_proxy(V4) and not terms().is_proxy(V4)
