"""The registry: what a change keeps, what it prepares, what is left of those that are gone."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from gateway.applications.building import CannotStart
from gateway.applications.registry import Registry
from gateway.tls import certificates as reading
from gateway.tls.certificates import forget_unused
from tests.kit import PATIENCE
from tests.kit.certificates import certificates
from tests.kit.databases import country_database
from tests.reactor.conftest import HOST, aside, endpoint, greeted, greeting, is_open, parsed, reactor, turn

App = Callable[..., str]
TLS = '[application.tls]\nmode = "{mode}"\ncertificate = "{certificate}"\n{more}\n'


@async_yield_fixture
async def registry() -> Any:
    registry = Registry(reactor, lambda record, **of: None)
    yield registry
    cleared = registry.clear()
    registry.hurry()
    await cleared
    registry.close()
    await turn()


async def apply(registry: Registry, *parts: str) -> None:
    (await registry.prepare(parsed(*parts))).commit()


# A change


@ensureDeferred
async def test_a_client_waits_until_the_change_is_committed(registry: Registry, app: App) -> None:
    change = await registry.prepare(parsed(app(more='banner = "come in"')))
    assert (registry.applications, registry.ports) == ({}, {})
    client = await aside(socket.create_connection, (HOST, 2121), PATIENCE)
    for _ in range(3):
        await turn()
    assert registry.sessions == 0
    change.commit()
    assert (await aside(client.recv, 100)) == b"220 come in\r\n"
    assert list(registry.applications) == ["ftp.example.com"]
    client.close()


@ensureDeferred
async def test_an_abandoned_change_leaves_nothing(registry: Registry, app: App) -> None:
    await apply(registry, app())
    before = registry.applications
    change = await registry.prepare(parsed(app(2122, more='banner = "other"')))
    waiting = await aside(socket.create_connection, (HOST, 2122), PATIENCE)
    change.abandon()
    await turn()
    assert registry.applications is before
    assert not await aside(is_open, 2122)
    with waiting, contextlib.suppress(ConnectionResetError):
        assert await aside(waiting.recv, 1) == b""
    assert b"other" not in await aside(greeting)
    await apply(registry, app(2122))  # nothing is in its way


@ensureDeferred
async def test_a_port_that_is_taken_refuses_all(registry: Registry, app: App) -> None:
    await apply(registry, app())
    before, known = registry.applications, registry.known
    with socket.create_server((HOST, 2123)), pytest.raises(CannotStart, match=r"last cannot listen on .* in use$"):
        await registry.prepare(parsed(app(more='banner = "x"'), app(2122, "other"), app(2123, "last")))
    await turn()
    assert registry.applications is before
    assert registry.known == known
    assert not await aside(is_open, 2122)
    assert await aside(greeting) != b"220 x"


@ensureDeferred
async def test_a_certificate_that_goes_bad_behind_the_check_refuses_all(
    registry: Registry, app: App, tmp_path: Path
) -> None:
    await apply(registry, app())
    file = pem(tmp_path / "pair.pem")
    wanted = parsed(app(more='banner = "x"'), app(2122, "other", TLS.format(mode="full", certificate=file, more="")))
    file.write_text("no PEM at all")
    before = registry.applications
    with pytest.raises(CannotStart, match="holds no PEM certificate"):
        await registry.prepare(wanted)
    assert registry.applications is before
    assert not await aside(is_open, 2122)


@ensureDeferred
async def test_a_change_that_another_one_overtook_is_not_committed(registry: Registry, app: App) -> None:
    change = await registry.prepare(parsed(app()))
    await apply(registry, app(2122))
    with pytest.raises(AssertionError):
        change.commit()
    change.abandon()


@ensureDeferred
async def test_no_change_once_it_is_over(registry: Registry, app: App) -> None:
    wanted = parsed(app())
    preparing = registry.prepare(wanted)
    step = preparing.send(None)  # its files are being read
    await registry.clear()
    await turn()
    with pytest.raises(CannotStart, match="stopping"):
        await registry.prepare(wanted)
    result = await step.addBoth(lambda found: found)
    with pytest.raises(CannotStart, match="stopping"):
        preparing.send(result)
    assert not await aside(is_open, 2121)


@ensureDeferred
async def test_a_change_that_is_committed_after_the_end_holds_no_port(registry: Registry, app: App) -> None:
    change = await registry.prepare(parsed(app()))
    await registry.clear()
    change.commit()
    await turn()
    assert not await aside(is_open, 2121)


# What is kept


@ensureDeferred
async def test_what_is_equal_is_not_touched(registry: Registry, app: App) -> None:
    await apply(registry, app(), app(2122, "other"))
    kept, changed = registry.applications.values()
    ports = dict(registry.ports)
    await apply(registry, app(), app(2122, "other", 'banner = "changed"'))
    assert registry.applications["ftp.example.com"] is kept
    assert registry.applications["other"] is not changed
    assert registry.ports == ports
    assert await aside(greeting, 2122) == b"220 changed"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Every file of a certificate or a key that is read."""
    found: list[Path] = []
    read = reading._read

    def noted(path: Path) -> bytes:
        found.append(path)
        return read(path)

    monkeypatch.setattr(reading, "_read", noted)
    forget_unused()
    yield found
    forget_unused()


def pem(path: Path, *names: str) -> Path:
    """A new certificate and its key, in one file."""
    pair = certificates().issue("registry", *(names or ("ftp.example.com",)))
    path.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    return path


@ensureDeferred
async def test_check_and_change_read_each_file_once(
    registry: Registry, app: App, tmp_path: Path, reads: list[Path]
) -> None:
    files = [pem(tmp_path / f"{number}.pem") for number in range(3)]
    strict = f'origin_ca = "{certificates().ca}"\norigin_certificate = "{files[2]}"'
    both = (
        app(2121, "one", TLS.format(mode="flexible", certificate=files[0], more="")),
        app(2122, "two", TLS.format(mode="strict", certificate=files[1], more=strict)),
    )
    await apply(registry, *both)
    assert sorted(reads) == sorted([*files, certificates().ca])
    forget_unused()
    reads.clear()
    before = dict(registry.applications)
    await apply(registry, *both)
    assert reads == []
    assert dict(registry.applications) == before


@pytest.mark.parametrize("changed", ["certificate", "origin_ca", "origin_certificate"])
@ensureDeferred
async def test_a_file_that_changed_is_read(
    registry: Registry, app: App, tmp_path: Path, reads: list[Path], changed: str
) -> None:
    files = {key: pem(tmp_path / f"{key}.pem") for key in ("certificate", "origin_certificate")}
    files["origin_ca"] = tmp_path / "ca.pem"
    files["origin_ca"].write_bytes(certificates().ca.read_bytes())
    keys = "\n".join(f'{key} = "{file}"' for key, file in files.items() if key != "certificate")
    wanted = app(more=TLS.format(mode="strict", certificate=files["certificate"], more=keys))
    other = app(2122, "other")
    await apply(registry, wanted, other)
    forget_unused()
    reads.clear()
    before = dict(registry.applications)
    pem(files[changed], "new.example.com")
    await apply(registry, wanted, other)
    assert reads == [files[changed]]
    assert registry.applications["ftp.example.com"] is not before["ftp.example.com"]
    assert registry.applications["other"] is before["other"]


@ensureDeferred
async def test_of_a_hundred_applications_one_certificate_is_read(
    registry: Registry, app: App, tmp_path: Path, reads: list[Path]
) -> None:
    applications = []
    for number in range(100):
        file = tmp_path / f"{number}.pem"
        file.write_bytes(certificates().server.certificate.read_bytes() + certificates().server.key.read_bytes())
        tls = TLS.format(mode="flexible", certificate=file, more="")
        applications.append(app(28000 + number, f"{number}.example.com", tls))
    await apply(registry, *applications)
    assert len(reads) == 100
    forget_unused()
    reads.clear()
    running = dict(registry.applications)
    pem(tmp_path / "7.pem")
    await apply(registry, *applications)
    assert reads == [tmp_path / "7.pem"]
    touched = [name for name, one in registry.applications.items() if one is not running[name]]
    assert touched == ["7.example.com"]


@ensureDeferred
async def test_a_limit_of_the_gateway_holds_where_no_application_changed(registry: Registry, app: App) -> None:
    await apply(registry, app())
    kept = registry.applications["ftp.example.com"]
    client, _ = await aside(greeted)
    await apply(registry, "[limits]\nsessions = 1", app())
    assert registry.applications["ftp.example.com"] is kept
    assert await aside(greeting) == b"421 Too many users; try again later."
    client.close()


@ensureDeferred
async def test_what_is_known_of_clients_outlives_a_change(registry: Registry, app: App) -> None:
    limit = "limits = { connects_per_minute_per_client = 1 }"
    await apply(registry, app(more=limit))
    assert (await aside(greeting)).startswith(b"220")
    await apply(registry, app(2122, more=f'banner = "changed"\n{limit}'))
    assert await aside(greeting, 2122) == b"421 Too many connections from your address in a minute; try again later."


@ensureDeferred
async def test_a_bandwidth_is_shared_where_a_change_leaves_it(registry: Registry, app: App) -> None:
    def shared() -> object:
        return registry.applications["ftp.example.com"].terms.data.bandwidth

    await apply(registry, app(more="limits = { bandwidth = 1000 }"))
    before = shared()
    await apply(registry, app(more='banner = "changed"\nlimits = { bandwidth = 1000 }'))
    assert shared() is before
    await apply(registry, app(more='banner = "changed"\nlimits = { bandwidth = 2000 }'))
    assert shared() is not before


# What is gone


def left(registry: Registry) -> Deferred[None]:
    """The one control port that listens, or is leaving, has no sessions any more."""
    [port] = registry.leaving or registry.ports.values()
    return port.empty()


@ensureDeferred
async def test_fifty_changes_of_name_and_port_leave_one_of_each(registry: Registry, app: App) -> None:
    for number in range(51):
        port = 2100 + number
        await apply(registry, app(port, f"{number}.example.com", f'banner = "{number}"'))
        client, words = await aside(greeted, port)
        assert words == f"220 {number}".encode()
        gone = left(registry)
        client.close()
        await gone
    await turn()
    assert [(name, one.wanted.name) for name, one in registry.applications.items()] == [("50.example.com",) * 2]
    assert [port.terms.name for port in registry.ports.values()] == ["50.example.com"]
    assert [*registry.known] == ["50.example.com"]
    assert registry.leaving == frozenset()
    assert [port for port in range(2100, 2151) if await aside(is_open, port)] == [2150]


@ensureDeferred
async def test_an_application_that_is_gone_is_forgotten_with_its_last_session(registry: Registry, app: App) -> None:
    await apply(registry, app(), app(2122, "other"))
    client, _ = await aside(greeted)
    await apply(registry, app(2122, "other"))
    await turn()
    assert not await aside(is_open, 2121)
    assert (await aside(client.ask, b"NOOP")).startswith(b"200")
    assert set(registry.known) == {"ftp.example.com", "other"}
    gone = left(registry)
    assert (await aside(client.ask, b"QUIT")).startswith(b"221")
    client.close()
    await gone
    await turn()
    assert registry.leaving == frozenset()
    assert set(registry.known) == {"other"}


@ensureDeferred
async def test_one_that_comes_back_counts_the_sessions_that_it_left(registry: Registry, app: App) -> None:
    limit = "limits = { sessions = 1 }"
    await apply(registry, app(more=limit), app(2122, "other"))
    client, _ = await aside(greeted)
    await apply(registry, app(2122, "other"))
    await apply(registry, app(2123, more=limit), app(2122, "other"))
    assert await aside(greeting, 2123) == b"421 Too many users; try again later."
    gone = left(registry)
    client.close()
    await gone
    assert (await aside(greeting, 2123)).startswith(b"220")


@ensureDeferred
async def test_a_port_that_another_application_takes_keeps_its_sessions(registry: Registry, app: App) -> None:
    await apply(registry, app(), app(2122, "other"))
    client, _ = await aside(greeted)
    port = registry.ports[endpoint(2121)]
    await apply(registry, app(2121, "other", 'banner = "other"'))
    assert registry.ports == {endpoint(2121): port}
    assert await aside(greeting) == b"220 other"
    assert (await aside(client.ask, b"USER user")).startswith(b"331")
    assert set(registry.known) == {"ftp.example.com", "other"}
    gone = port.empty()
    client.close()
    await gone
    await turn()
    assert set(registry.known) == {"other"}


@ensureDeferred
async def test_those_that_are_gone_end_with_all_others(registry: Registry, app: App) -> None:
    await apply(registry, app())
    client, _ = await aside(greeted)
    await apply(registry, app(2122, "other"))
    cleared = registry.clear()
    assert (await aside(client.reply)).startswith(b"421")
    await cleared
    assert (registry.sessions, registry.leaving) == (0, frozenset())
    client.close()


# Files of access rules

LISTED = 'access = [{ action = "deny", lists = ["{file}"] }]'


def watches() -> int:
    """The number of files that are watched."""
    return sum(isinstance(call.func, LoopingCall) for call in reactor.getDelayedCalls())


@ensureDeferred
async def test_a_list_is_watched_while_an_application_names_it(registry: Registry, app: App, tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("203.0.113.0/24")
    more = LISTED.replace("{file}", str(file))
    await apply(registry, app(more=more), app(2122, "other", more))
    assert watches() == 1
    await apply(registry, app(2122, "other", more))
    assert watches() == 1
    await apply(registry, app(2122, "other"))
    assert watches() == 0
    change = await registry.prepare(parsed(app(more=more)))
    change.abandon()
    assert watches() == 0


@ensureDeferred
async def test_a_list_that_changes_leaves_its_application_as_it_is(
    registry: Registry, app: App, tmp_path: Path
) -> None:
    file = tmp_path / "list"
    file.write_text("203.0.113.0/24")
    wanted = app(more=LISTED.replace("{file}", str(file)))
    await apply(registry, wanted)
    kept = registry.applications["ftp.example.com"]
    await apply(registry, wanted)
    assert (await aside(greeting)).startswith(b"220")
    file.write_text("0.0.0.0/0\n::/0")
    change = await registry.prepare(parsed(wanted))
    assert (await aside(greeting)).startswith(b"220")
    change.commit()
    assert registry.applications["ftp.example.com"] is kept
    assert await aside(greeting) == b"421 Access from your address is denied."


@ensureDeferred
async def test_a_list_that_goes_bad_behind_the_check_refuses_all(
    registry: Registry, app: App, tmp_path: Path
) -> None:
    await apply(registry, app())
    before, file = registry.applications, tmp_path / "list"
    file.write_text("203.0.113.0/24")
    wanted = parsed(app(more=LISTED.replace("{file}", str(file))))
    file.write_text("everyone")
    with pytest.raises(CannotStart, match=r'list:1: "everyone" is not a network'):
        await registry.prepare(wanted)
    assert registry.applications is before


@ensureDeferred
async def test_another_database_builds_every_application_anew(registry: Registry, app: App, tmp_path: Path) -> None:
    one, other = (country_database(tmp_path / name, {"127.0.0.0/8": name}) for name in ("DE", "FR"))
    rule = 'access = [{ action = "deny", countries = ["FR"] }]'
    await apply(registry, f'[geo]\ncountry = "{one}"', app(more=rule))
    assert (await aside(greeting)).startswith(b"220")
    await apply(registry, f'[geo]\ncountry = "{other}"', app(more=rule))
    assert await aside(greeting) == b"421 Access from your address is denied."
    await apply(registry, app())
    assert (await aside(greeting)).startswith(b"220")
    assert watches() == 0
