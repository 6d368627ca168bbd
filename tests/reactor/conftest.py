"""The things that the tests in the reactor share: an origin, and clients, which block in threads of their own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from gateway import config
from gateway.config import Config
from origin import Origin
from tests.kit.conversation import Conversation
from tests.kit.gateway import application
from tests.kit.programs import NET

reactor: Any = _reactor
T = TypeVar("T")
HOST, ORIGIN = f"{NET}.2", f"{NET}.3"
DATA_PORTS = range(27000, 27200)

aside: Callable[..., Deferred[Any]] = deferToThread
"""Calls what blocks, as clients here do."""


def turn() -> Deferred[None]:
    """The reactor has turned."""
    return deferLater(reactor, 0)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """An FTP server."""
    root = tmp_path_factory.mktemp("root")
    with Origin(root, listen=(ORIGIN, 0), passive_ports=DATA_PORTS, users={"user": "secret"}) as running:
        yield running


def endpoint(port: int) -> str:
    """One of ours."""
    return f"tcp:{port}:interface={HOST}"


@pytest.fixture
def app(origin: Origin) -> Callable[..., str]:
    """Writes the TOML of an application in front of the origin, with a data port of its own."""

    def write(port: int = 2121, name: str = "ftp.example.com", more: str = "") -> str:
        ports = range(DATA_PORTS[port % 100], DATA_PORTS[port % 100] + 1)
        return application(origin.address, ports, name=name, listen=endpoint(port), more=more)

    return write


def parsed(*parts: str) -> Config:
    """A configuration of applications, and what stands before them."""
    return config.parse("\n".join(parts), Path.cwd())


def greeted(port: int = 2121) -> tuple[Conversation, bytes]:
    """A client, and what it is told first."""
    client = Conversation.to((HOST, port))
    return client, client.reply()


def greeting(port: int = 2121) -> bytes:
    """What a client is told first; it goes at once."""
    client, words = greeted(port)
    client.close()
    return words


def is_open(port: int) -> bool:
    """Whether anybody listens."""
    try:
        socket.create_connection((HOST, port)).close()
    except ConnectionRefusedError:
        return False
    return True
