"""Reloads of a running gateway: one after another, in a thread, their end reported by a Deferred."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred

from gateway import config
from gateway.config import Config
from gateway.service import Gateway
from tests.kit import PATIENCE
from tests.kit.threads import no_more_threads
from tests.reactor.conftest import aside, greeted, greeting, is_open, reactor, turn

App = Callable[..., str]


@attrs.define(eq=False)
class File:
    """A configuration that can be changed, and that can take its time to be read.

    :param reads: how often it was read.
    :param free: whether it can be read; else a thread that reads it waits.
    :param begun: whether a thread came to read it.
    """

    text: str
    reads: int = 0
    free: threading.Event = attrs.field(factory=threading.Event)
    begun: threading.Event = attrs.field(factory=threading.Event)

    def load(self) -> Config:
        self.begun.set()
        assert self.free.wait(PATIENCE)
        self.reads += 1
        return config.parse(self.text, Path.cwd())


@pytest.fixture
def file(app: App) -> File:
    file = File(app())
    file.free.set()
    return file


@async_yield_fixture
async def gateway(file: File) -> Any:
    def give_up(sentence: str) -> None:
        raise AssertionError(sentence)

    gateway = Gateway(reactor, file.load, give_up)
    gateway.privilegedStartService()
    gateway.startService()
    file.reads = 0
    file.begun.clear()
    yield gateway
    file.free.set()
    if gateway.running:
        over = gateway.stopService()
        gateway.hurry()
        await over
    await turn()


@ensureDeferred
async def test_it_tells_that_all_is_well(gateway: Gateway, file: File, app: App) -> None:
    file.text = app(more='banner = "changed"')
    assert await gateway.reload() == ()
    assert await aside(greeting) == b"220 changed"


@ensureDeferred
async def test_it_tells_every_mistake(gateway: Gateway, file: File, app: App) -> None:
    file.text = app(more='banner = ""\ndata_interface = "x"')
    banner, interface = await gateway.reload()
    assert banner.startswith("application[0].banner: ")
    assert interface.startswith("application[0].data_interface: ")


@ensureDeferred
async def test_an_event_file_that_cannot_be_written_abandons_the_change(
    gateway: Gateway, file: File, app: App
) -> None:
    file.text = app(2122) + '[events]\npath = "missing/events"'
    [mistake] = await gateway.reload()
    assert mistake.startswith("events.path: cannot write ")
    await turn()
    assert not await aside(is_open, 2122)
    assert (await aside(greeting)).startswith(b"220")


@ensureDeferred
async def test_a_thousand_that_ask_meanwhile_get_one_more(gateway: Gateway, file: File, app: App) -> None:
    file.free.clear()
    first = gateway.reload()
    assert await aside(file.begun.wait, PATIENCE)
    others = [gateway.reload() for _ in range(1000)]
    assert file.reads == 0
    file.text = app(more="banner = 1")
    file.free.set()
    mistakes = await first
    assert len(mistakes) == 1  # its thread saw the change already
    assert [await other for other in others] == [mistakes] * 1000
    assert file.reads == 2
    file.text = app()
    assert await gateway.reload() == ()
    assert file.reads == 3


@ensureDeferred
async def test_sessions_go_on_while_it_is_read(gateway: Gateway, file: File) -> None:
    client, _ = await aside(greeted)
    file.free.clear()
    reload = gateway.reload()
    assert await aside(file.begun.wait, PATIENCE)
    for _ in range(3):
        assert (await aside(client.ask, b"NOOP")).startswith(b"200")
    assert file.reads == 0
    file.free.set()
    assert await reload == ()
    client.close()


@ensureDeferred
async def test_one_that_is_read_when_the_gateway_stops_is_not_applied(gateway: Gateway, file: File, app: App) -> None:
    file.free.clear()
    file.text = app(2122)
    reloads = [gateway.reload(), gateway.reload()]
    assert await aside(file.begun.wait, PATIENCE)
    await gateway.stopService()  # though the thread still reads
    file.free.set()
    assert await reloads[0] == ("the gateway is stopping",)
    assert await reloads[1] == ("the gateway does not run",)
    assert file.reads == 1
    assert not await aside(is_open, 2122)


@ensureDeferred
async def test_a_fault_of_ours_is_told_and_the_next_reload_works(
    gateway: Gateway, file: File, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(config, "parse", None)
        with pytest.raises(TypeError):
            await gateway.reload()
    assert await gateway.reload() == ()


@ensureDeferred
async def test_a_shortage_of_threads_is_told_and_the_next_reload_works(gateway: Gateway) -> None:
    with no_more_threads():
        assert await gateway.reload() == ("the system starts no more threads for this process",)
    assert await gateway.reload() == ()
