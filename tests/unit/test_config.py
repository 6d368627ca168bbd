"""The configuration: the forms that it reads, and every mistake word for word."""

import datetime
import ipaddress
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.addresses import PortMap
from gateway.config import (
    AccessDenied,
    Application,
    Config,
    ConfigError,
    DataPeer,
    DataSessionReuse,
    Events,
    GatewayLimits,
    Geo,
    HostPort,
    Limits,
    ProxyHeader,
    ProxyProtocol,
    Timeouts,
    Tls,
    TlsMode,
    TlsRequirement,
    TlsVersion,
    from_flags,
    load,
    parse,
    warnings,
)
from gateway.config.reference import Entry, reference
from gateway.config.values import Listening, address, meet, quoted
from gateway.guard import lists
from gateway.guard.lists import LISTS
from tests.kit.certificates import certificates
from tests.kit.databases import asn_database, country_database

DIRECTORY = Path("/etc/ftp-gateway")

REQUIRED = {"name": "ftp", "listen": "tcp:21", "origin": "198.51.100.1:21", "data_ports": "20000-20020"}

EXAMPLE = """
[[application]]
name = "ftp.example.com"
listen = "tcp:21"
origin = "198.51.100.1:21"
data_ports = "20000-20020"
access_denied = "reply"
public_address = "ftp.example.com"
banner = "ready"
data_peer = "address"
data_interface = "0.0.0.0"

[application.timeouts]
origin_connect = 10
login = 60
idle = 300
data_accept = 30
data_stall = 300
drain = 30

[application.tls]
mode = "off"
implicit = false
require = "none"
data_session_reuse = "required"
minimum_version = "1.2"
origin_implicit = false

[application.limits]
sessions = 0
sessions_per_client = 0
connects_per_minute_per_client = 600
login_failures = 5
login_failure_window = 300
ban = 600
bandwidth_per_session = 0
bandwidth = 0

[application.commands]
allow = []
deny = []
read_only = false

[application.proxy_protocol]
accept_from = []
send_control = "off"
send_data = "off"

[events]
path = "events.jsonl"
"""


def toml(value: object) -> str:
    """A value as inline TOML."""
    match value:
        case dict():
            return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return str(value).lower()
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return str(value)


def document(**keys: object) -> str:
    return "".join(f"{key} = {toml(value)}\n" for key, value in keys.items())


def read(**keys: object) -> Application:
    """An application with these keys and the required ones."""
    (application,) = parse(document(application=[REQUIRED | keys]), DIRECTORY).applications
    return application


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        parse(text, DIRECTORY)
    assert str(raised.value) == "\n".join(raised.value.mistakes)
    return raised.value.mistakes


def mistakes_of(*applications: object) -> list[str]:
    """Those of applications that have the required keys besides."""
    whole = [REQUIRED | one if isinstance(one, dict) else one for one in applications]
    return [text.removeprefix("application[0].") for text in mistakes(document(application=whole))]


# What is right


def test_example() -> None:
    assert parse(EXAMPLE, DIRECTORY) == Config(
        applications=(
            Application(
                name="ftp.example.com",
                listen=("tcp:21",),
                origin=HostPort("198.51.100.1", 21),
                data_ports=PortMap(range(20000, 20021), range(20000, 20021)),
                public_address="ftp.example.com",
                banner="ready",
                data_interface="0.0.0.0",
            ),
        ),
        events=Events("/etc/ftp-gateway/events.jsonl"),
    )


def test_required_keys_are_enough() -> None:
    application = read()
    assert application == Application(
        "ftp",
        ("tcp:21",),
        HostPort("198.51.100.1", 21),
        PortMap(range(20000, 20021), range(20000, 20021)),
    )
    assert application.public_address is None
    assert application.data_peer is DataPeer.ADDRESS
    assert application.timeouts == Timeouts(10.0, 60.0, 300.0, 30.0, 300.0, 30.0)
    assert parse(document(application=[REQUIRED]), DIRECTORY).events.path is None


def test_values_of_the_right_class() -> None:
    application = read(
        data_peer="network",
        timeouts={"idle": 5, "login": 0.5, "drain": 0},
        commands={"allow": ["xfoo"], "deny": ["Site", "PORT"], "read_only": True},
        data_interface="2001:DB8::1",
    )
    assert application.data_peer is DataPeer.NETWORK
    assert application.timeouts == Timeouts(idle=5.0, login=0.5, drain=0.0)
    assert isinstance(application.timeouts.idle, float)
    assert application.commands.allow == ("XFOO",)
    assert application.commands.deny == ("SITE", "PORT")
    assert application.commands.read_only is True
    assert application.data_interface == "2001:db8::1"


@pytest.mark.parametrize(
    "listen",
    [
        "tcp:21",
        "tcp:0:interface=127.0.0.1",
        "tcp:port=21:interface=192.0.2.1:backlog=100",
        r"tcp:21:interface=\:\:1",
        "tcp6:21",
        r"tcp6:21:interface=2001\:db8\:\:1",
        "systemd:domain=INET:index=0",
        "systemd:domain=INET6:name=ftp",
    ],
)
def test_listen(listen: str) -> None:
    assert read(listen=listen).listen == (listen,)
    assert read(listen=[listen]).listen == (listen,)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("198.51.100.1:21", "198.51.100.1", 21),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("ftp-1.internal:2121", "ftp-1.internal", 2121),
        ("ftp_origin:1", "ftp_origin", 1),
        ("3com.example:21", "3com.example", 21),
        ("[2001:DB8::1]:21", "2001:db8::1", 21),
        ("[::1]:21", "::1", 21),
        ("[fe80::1%eth0]:21", "fe80::1%eth0", 21),
    ],
)
def test_origin(text: str, host: str, port: int) -> None:
    origin = read(origin=text).origin
    assert origin == HostPort(host, port)
    assert HostPort.parse(str(origin)) == origin


def test_data_ports_mirrored() -> None:
    ports = read(data_ports="20000-20020").data_ports
    assert ports.mirrored
    assert str(ports) == "20000-20020"
    assert [ports.public_port(port) for port in (19999, 20000, 20020, 20021)] == [None, 20000, 20020, None]


@pytest.mark.parametrize("text", ["20000", "20000-20000"])
def test_data_ports_single(text: str) -> None:
    ports = read(data_ports=text).data_ports
    assert ports == PortMap(range(20000, 20001), range(20000, 20001))
    assert str(ports) == "20000"


def test_data_ports_mapped() -> None:
    ports = read(data_ports={"origin": "1024-1034", "public": "65525-65535"}).data_ports
    assert not ports.mirrored
    assert str(ports) == "1024-1034"
    assert [ports.public_port(port) for port in (1023, 1024, 1030, 1034, 1035)] == [None, 65525, 65531, 65535, None]


def test_event_file() -> None:
    def path(text: str) -> str | None:
        return parse(document(application=[REQUIRED], events={"path": text}), DIRECTORY).events.path

    assert path("log/events") == "/etc/ftp-gateway/log/events"
    assert path("/var/log/events") == "/var/log/events"
    assert path("-") == "-"


# Single keys that are wrong


@pytest.mark.parametrize(
    ("key", "value", "mistake"),
    [
        ("name", "", '"" must be 1 to 253 printable ASCII characters without white space'),
        ("name", "my ftp", '"my ftp" must be 1 to 253 printable ASCII characters without white space'),
        ("name", "a\nb", r'"a\nb" must be 1 to 253 printable ASCII characters without white space'),
        ("name", 5, "must be a string, not an integer"),
        ("listen", [], "must not be empty"),
        ("listen", 21, "must be a string, not an integer"),
        ("listen", "", '"" is not an endpoint of the kind tcp, tcp6 or systemd'),
        ("listen", "21", '"21" is not an endpoint of the kind tcp, tcp6 or systemd'),
        ("listen", "unix:/run/ftp", '"unix:/run/ftp" is not an endpoint of the kind tcp, tcp6 or systemd'),
        ("listen", "ssl:990", '"ssl:990" would hide FTP\'s TLS from the gateway; use tcp with tls.implicit'),
        ("listen", "tcp:ftp", '"tcp:ftp" must look like tcp:21, tcp:21:interface=192.0.2.1 or tcp6:21'),
        ("listen", "tcp:21:host=a", '"tcp:21:host=a" must look like tcp:21, tcp:21:interface=192.0.2.1 or tcp6:21'),
        ("listen", "tcp:21\\", r'"tcp:21\\" must look like tcp:21, tcp:21:interface=192.0.2.1 or tcp6:21'),
        ("listen", "tcp:65536", '"tcp:65536" has a port or a backlog that is not between 0 and 65535'),
        ("listen", "tcp:1:backlog=-1", '"tcp:1:backlog=-1" has a port or a backlog that is not between 0 and 65535'),
        ("listen", "tcp:21:interface=eth0", '"tcp:21:interface=eth0" has an interface that is not an IP address'),
        (
            "listen",
            "systemd:0",
            '"systemd:0" must look like systemd:domain=INET:index=0 or systemd:domain=INET:name=ftp',
        ),
        ("origin", "ftp.internal", '"ftp.internal" is not host:port or [v6]:port'),
        ("origin", "2001:db8::1", '"2001:db8::1" is not host:port or [v6]:port'),
        ("origin", "[ftp.internal]:21", '"[ftp.internal]:21" is not host:port or [v6]:port'),
        ("origin", "[192.0.2.1]:21", '"[192.0.2.1]:21" is not host:port or [v6]:port'),
        ("origin", "a:0", '"a:0" has a port that is not between 1 and 65535'),
        ("origin", "a:65536", '"a:65536" has a port that is not between 1 and 65535'),
        ("origin", "0.0.0.0:21", '"0.0.0.0" is not the address of a host'),
        ("origin", "[::]:21", '"::" is not the address of a host'),
        ("origin", "224.0.0.1:21", '"224.0.0.1" is not the address of a host'),
        ("origin", "255.255.255.255:21", '"255.255.255.255" is not the address of a host'),
        ("origin", "[ff02::1]:21", '"ff02::1" is not the address of a host'),
        ("origin", "198.51.100.256:21", '"198.51.100.256" is neither a hostname nor an IP address'),
        ("origin", "-a.example:21", '"-a.example" is neither a hostname nor an IP address'),
        ("origin", "a-.example:21", '"a-.example" is neither a hostname nor an IP address'),
        ("origin", "a..example:21", '"a..example" is neither a hostname nor an IP address'),
        ("origin", "a.example.:21", '"a.example." is neither a hostname nor an IP address'),
        ("origin", "a.exa mple:21", '"a.exa mple" is neither a hostname nor an IP address'),
        ("origin", "a.example\n:21", r'"a.example\n" is neither a hostname nor an IP address'),
        ("data_ports", 20000, "must be a string, not an integer"),
        ("data_ports", "20000:20020", '"20000:20020" is not a range of ports like 20000-20020'),
        ("data_ports", "", '"" is not a range of ports like 20000-20020'),
        ("data_ports", "20020-20000", '"20020-20000" ends before it begins'),
        ("data_ports", "1023-1030", '"1023-1030" has ports below 1024, which are not for data connections'),
        ("data_ports", "65535-65536", '"65535-65536" has ports above 65535'),
        ("public_address", "::1", '"::1" is an IPv6 address, and a 227 reply carries IPv4 only'),
        ("public_address", "0.0.0.0", '"0.0.0.0" is not the address of a host'),
        ("public_address", "ftp.example.com:21", '"ftp.example.com:21" is neither a hostname nor an IP address'),
        ("banner", "", '"" must be one line of printable text'),
        ("banner", "a\r\nb", r'"a\r\nb" must be one line of printable text'),
        ("banner", "220 hi", '"220 hi" must not begin with a reply code; the gateway puts 220 before it'),
        ("banner", "220-hi", '"220-hi" must not begin with a reply code; the gateway puts 220 before it'),
        ("banner", "ä" * 251, f'"{"ä" * 79}…" is longer than 500 bytes'),
        ("access_denied", "never", 'must be "reply" or "drop", not "never"'),
        ("data_peer", "nobody", 'must be "address", "network" or "any", not "nobody"'),
        ("data_peer", True, 'must be "address", "network" or "any", not a boolean'),
        ("data_peer", ["any"], 'must be "address", "network" or "any", not an array'),
        ("data_interface", "eth0", '"eth0" is not an IP address of this host'),
        ("data_interface", "224.0.0.1", '"224.0.0.1" is not an IP address of this host'),
        ("timeouts", 5, "must be a table, not an integer"),
        ("access", {}, "must be an array of tables, each under [[ ]], not a table"),
    ],
)
def test_wrong_value(key: str, value: object, mistake: str) -> None:
    (found,) = mistakes_of({key: value})
    assert re.sub(r"^listen\[0\]", "listen", found) == f"{key}: {mistake}"


@pytest.mark.parametrize("key", ["origin_connect", "login", "idle", "data_accept", "data_stall"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), 10**400])
def test_timeout_out_of_range(key: str, value: object) -> None:
    assert mistakes_of({"timeouts": {key: value}}) == [f"timeouts.{key}: must be a number of seconds above 0"]


@pytest.mark.parametrize("value", [-0.5, float("inf"), float("nan")])
def test_drain_out_of_range(value: float) -> None:
    assert mistakes_of({"timeouts": {"drain": value}}) == ["timeouts.drain: must be a number, 0 or more"]


@pytest.mark.parametrize(
    ("tables", "mistake"),
    [
        ({"timeouts": {"idle": "5"}}, "timeouts.idle: must be a number, not a string"),
        ({"timeouts": {"idle": True}}, "timeouts.idle: must be a number, not a boolean"),
        ({"limits": {"ban": datetime.date(2000, 1, 1)}}, "limits.ban: must be a number, not a date"),
        ({"limits": {"sessions": 5.0}}, "limits.sessions: must be an integer, not a float"),
        ({"limits": {"sessions": True}}, "limits.sessions: must be an integer, not a boolean"),
        ({"limits": {"sessions": -1}}, "limits.sessions: must be a number, 0 or more"),
        ({"tls": {"implicit": 1}}, "tls.implicit: must be a boolean, not an integer"),
        ({"tls": {"mode": "on"}}, 'tls.mode: must be "off", "passthrough", "flexible", "full" or "strict", not "on"'),
        ({"tls": {"minimum_version": 1.2}}, 'tls.minimum_version: must be "1.2" or "1.3", not a float'),
        ({"tls": {"key": ""}}, 'tls.key: "" is not the name of a file'),
        ({"tls": {"origin_name": "a b"}}, 'tls.origin_name: "a b" is neither a hostname nor an IP address'),
        ({"commands": {"allow": "SITE"}}, "commands.allow: must be an array, not a string"),
        ({"commands": {"allow": ["X"]}}, 'commands.allow[0]: "X" is not an FTP verb'),
        ({"commands": {"deny": ["SITE", 5]}}, "commands.deny[1]: must be a string, not an integer"),
        (
            {"commands": {"allow": ["mlsd", "XSHA3"], "deny": ["XSHA", "MLSD"]}},
            "commands.deny: MLSD is also in allow",
        ),
        (
            {"proxy_protocol": {"accept_from": ["10.0.0.1/8"]}},
            'proxy_protocol.accept_from[0]: "10.0.0.1/8" is not a network like 192.0.2.0/24 or 2001:db8::/32 '
            "(bits after its prefix are set)",
        ),
        (
            {"access": [{"action": "deny", "networks": ["everyone"]}]},
            'access[0].networks[0]: "everyone" is not a network like 192.0.2.0/24 or 2001:db8::/32',
        ),
        ({"access": [{"action": "deny"}]}, "access[0]: must name networks, countries, asns or lists"),
        (
            {"access": [{"action": "deny", "networks": [], "asns": []}]},
            "access[0]: must name networks, countries, asns or lists",
        ),
        ({"access": [{"networks": ["::/0"]}]}, "access[0].action: required key is missing"),
        ({"access": [{"action": "deny", "countries": ["CN", "de"]}]}, "access[0].countries: needs geo.country"),
        ({"access": [{"action": "deny", "asns": [64496]}]}, "access[0].asns: needs geo.asn"),
        (
            {"access": [{"action": "deny", "countries": ["DEU"]}]},
            'access[0].countries[0]: "DEU" is not a country\'s code of two letters, like DE',
        ),
        (
            {"access": [{"action": "deny", "countries": ["ß1"]}]},
            'access[0].countries[0]: "ß1" is not a country\'s code of two letters, like DE',
        ),
        ({"access": [{"action": "deny", "countries": "DE"}]}, "access[0].countries: must be an array, not a string"),
        (
            {"access": [{"action": "deny", "asns": [0]}]},
            "access[0].asns[0]: must be an AS number, from 1 to 4294967295",
        ),
        (
            {"access": [{"action": "deny", "asns": [1 << 32]}]},
            "access[0].asns[0]: must be an AS number, from 1 to 4294967295",
        ),
        ({"access": [{"action": "deny", "asns": ["AS1"]}]}, "access[0].asns[0]: must be an integer, not a string"),
        ({"access": [{"action": "deny", "asns": [True]}]}, "access[0].asns[0]: must be an integer, not a boolean"),
        ({"access": [{"action": "deny", "lists": [""]}]}, 'access[0].lists[0]: "" is not the name of a file'),
        (
            {"access": [{"action": "deny", "lists": ["blocked.txt"]}]},
            "access[0].lists[0]: /etc/ftp-gateway/blocked.txt: No such file or directory",
        ),
        ({"access": ["deny"]}, "access[0]: must be a table, not a string"),
        ({"data_ports": {"origin": "20000"}}, "data_ports.public: required key is missing"),
        (
            {"data_ports": {"origin": "20000-20020", "public": "30000-30010"}},
            "data_ports: origin and public must be equally long, not 21 and 11 ports",
        ),
    ],
)
def test_wrong_value_in_a_table(tables: dict[str, object], mistake: str) -> None:
    assert mistakes_of(tables) == [mistake]


@pytest.mark.parametrize("verb", ["PORT", "eprt", "LPRT", "LPSV", "MIC", "CONF", "ENC", "ADAT", "get"])
def test_verbs_that_are_never_relayed(verb: str) -> None:
    assert mistakes_of({"commands": {"allow": [verb]}}) == [
        f"commands.allow[0]: the gateway never relays {verb.upper()}"
    ]


def test_missing_keys() -> None:
    assert mistakes("[[application]]") == tuple(
        f"application[0].{key}: required key is missing" for key in ("name", "listen", "origin", "data_ports")
    )
    assert mistakes("") == ("application: required key is missing",)
    assert mistakes("application = []") == ("application: must not be empty",)
    assert mistakes("[application]") == ("application: must be an array of tables, each under [[ ]], not a table",)


def test_unknown_keys() -> None:
    assert mistakes_of({"publik_address": "a"}) == ["publik_address: unknown key; did you mean public_address?"]
    assert mistakes_of({"tls": {"modus": "off"}}) == ["tls.modus: unknown key; did you mean mode?"]
    assert mistakes_of({"commands": {"xyz": 1, "a b\n": 1}}) == [
        r'commands."a b\n": unknown key; the keys here are allow, deny, read_only',
        "commands.xyz: unknown key; the keys here are allow, deny, read_only",
    ]
    assert mistakes(document(application=[REQUIRED], applications=[], timeouts={})) == (
        "applications: unknown key; did you mean application?",
        "timeouts: unknown key; the keys here are application, limits, geo, events",
    )


# What cannot be read at all


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[[application]]\nname\n", "gateway.toml:2: Expected '=' after a key in a key/value pair"),
        ("a = [\n", "gateway.toml:2: "),
        ("a = 1\na = 2", "gateway.toml:2: Cannot overwrite a value"),
        ("a = " + "9" * 5000, "gateway.toml: a number has too many digits"),
        ("a = " + "[" * 5000, "gateway.toml: nested too deeply"),
    ],
)
def test_syntax_error(text: str, mistake: str) -> None:
    (found,) = mistakes(text)
    assert found.startswith(mistake)


def test_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("own.toml")
    with pytest.raises(ConfigError, match=r"^own\.toml: No such file or directory$"):
        load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"^own\.toml: not UTF-8 text$"):
        load(path)
    path.write_text("=")
    with pytest.raises(ConfigError, match=r"^own\.toml:1: "):
        load(path)
    path.write_text(EXAMPLE)
    assert load(path).events.path == str(tmp_path / "events.jsonl")
    with pytest.raises(ConfigError, match=r"Is a directory$"):
        load(tmp_path)
    os.mkfifo("fifo.toml")
    with pytest.raises(ConfigError, match=r"^fifo\.toml: not a regular file$"):
        load(Path("fifo.toml"))


# TLS


CHAIN, KEY = (str(path) for path in attrs.astuple(certificates().server))
OTHER_CHAIN, OTHER_KEY = (str(path) for path in attrs.astuple(certificates().other_name))
SHOWN = {"certificate": CHAIN, "key": KEY}


@pytest.mark.parametrize(
    ("tls", "wanted"),
    [
        ({}, Tls()),
        ({"mode": "passthrough"}, Tls(TlsMode.PASSTHROUGH)),
        ({"mode": "flexible", **SHOWN}, Tls(TlsMode.FLEXIBLE, CHAIN, KEY)),
        (
            {"mode": "full", **SHOWN, "implicit": True, "origin_implicit": True, "require": "control"},
            Tls(TlsMode.FULL, CHAIN, KEY, implicit=True, origin_implicit=True, require=TlsRequirement.CONTROL),
        ),
        (
            {
                "mode": "strict",
                **SHOWN,
                "require": "data",
                "data_session_reuse": "optional",
                "minimum_version": "1.3",
                "origin_ca": str(certificates().ca),
                "origin_name": "ftp.internal",
                "origin_certificate": OTHER_CHAIN,
                "origin_key": OTHER_KEY,
            },
            Tls(
                TlsMode.STRICT,
                CHAIN,
                KEY,
                require=TlsRequirement.DATA,
                data_session_reuse=DataSessionReuse.OPTIONAL,
                minimum_version=TlsVersion.V1_3,
                origin_ca=str(certificates().ca),
                origin_name="ftp.internal",
                origin_certificate=OTHER_CHAIN,
                origin_key=OTHER_KEY,
            ),
        ),
    ],
)
def test_tls(tls: dict[str, object], wanted: Tls) -> None:
    assert read(tls=tls).tls == wanted


def test_files_of_tls_are_looked_for_where_the_configuration_is(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_bytes(Path(CHAIN).read_bytes() + Path(KEY).read_bytes())
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "one.pem").write_bytes(Path(CHAIN).read_bytes() + Path(KEY).read_bytes())
    for name in ("both.pem", "names"):
        text = document(application=[REQUIRED | {"tls": {"mode": "flexible", "certificate": name}}])
        (application,) = parse(text, tmp_path).applications
        assert application.tls.certificate == str(tmp_path / name)


@pytest.mark.parametrize("mode", ["flexible", "full", "strict"])
def test_a_certificate_must_be_given(mode: str) -> None:
    assert mistakes_of({"tls": {"mode": mode}}) == [f'tls.certificate: must be given in mode "{mode}"']
    assert mistakes_of({"tls": {"mode": mode, "certificate": 1}}) == [
        "tls.certificate: must be a string, not an integer"
    ]


@pytest.mark.parametrize(
    ("key", "value", "modes"),
    [
        ("implicit", True, ("flexible", "full", "strict")),
        ("require", "control", ("flexible", "full", "strict")),
        ("origin_ca", str(certificates().ca), ("strict",)),
        ("origin_name", "ftp.internal", ("strict",)),
        ("origin_implicit", True, ("full", "strict")),
        ("origin_certificate", str(Path(CHAIN).with_name("both.pem")), ("full", "strict")),
    ],
    ids=["implicit", "require", "origin_ca", "origin_name", "origin_implicit", "origin_certificate"],
)
def test_keys_that_do_nothing_in_a_mode(key: str, value: object, modes: tuple[str, ...]) -> None:
    Path(CHAIN).with_name("both.pem").write_bytes(Path(CHAIN).read_bytes() + Path(KEY).read_bytes())
    needed = " or ".join(f'"{mode}"' for mode in modes)
    for mode in ("off", "passthrough", "flexible", "full", "strict"):
        shown = SHOWN if mode in ("flexible", "full", "strict") else {}
        tls = {"mode": mode, **shown, key: value}
        if mode in modes:
            read(tls=tls)
        else:
            assert mistakes_of({"tls": tls}) == [f'tls.{key}: does nothing in mode "{mode}"; it needs {needed}']
    assert mistakes_of({"tls": {key: value}}) == [f'tls.{key}: does nothing in mode "off"; it needs {needed}']


def test_a_mode_that_cannot_be_read_is_the_only_mistake_of_its_kind() -> None:
    tls = {"mode": "on", "implicit": True, "require": "data", **SHOWN}
    assert mistakes_of({"tls": tls}) == [
        'tls.mode: must be "off", "passthrough", "flexible", "full" or "strict", not "on"'
    ]


@pytest.mark.parametrize("prefix", ["", "origin_"])
def test_certificates_that_cannot_be_used(tmp_path: Path, prefix: str) -> None:
    missing, text = tmp_path / "missing", tmp_path / "text"
    text.write_text("no PEM at all")

    def found(certificate: object, key: object) -> list[str]:
        wrong = {f"{prefix}certificate": str(certificate)} | ({f"{prefix}key": str(key)} if key else {})
        return [mistake.removeprefix("tls.") for mistake in mistakes_of({"tls": {"mode": "full", **SHOWN, **wrong}})]

    name = f"{prefix}certificate"
    assert found(missing, KEY) == [f"{name}: {missing}: No such file or directory"]
    assert found(CHAIN, missing) == [f"{name}: {missing}: No such file or directory"]
    assert found(text, KEY) == [f"{name}: {text} holds no PEM certificate"]
    assert found(CHAIN, text) == [f"{name}: {text} holds no PEM key without a passphrase"]
    assert found(CHAIN, OTHER_KEY) == [f"{name}: the key in {OTHER_KEY} is not that of the certificate in {CHAIN}"]
    assert found(tmp_path, KEY) == [
        f"{prefix}key: must be left out if {name} is a directory; each file in it holds its key"
    ]
    endless = tmp_path / ("x" * 300)
    assert found(endless, KEY) == [f"{name}: {endless}: File name too long"]
    if prefix:  # without it, the key of the other stands in
        assert found(CHAIN, None) == [f"{name}: {CHAIN} holds no PEM key without a passphrase"]
        assert found(tmp_path, None) == [f"{name}: {tmp_path} holds no *.pem file"]


def test_certificates_in_modes_without_use_for_them_are_checked_as_well() -> None:
    assert mistakes_of({"tls": {"certificate": CHAIN, "key": OTHER_KEY}}) == [
        f"tls.certificate: the key in {OTHER_KEY} is not that of the certificate in {CHAIN}"
    ]


def test_a_key_without_a_certificate() -> None:
    assert mistakes_of({"tls": {"key": KEY}}) == ["tls.key: needs certificate"]
    assert mistakes_of({"tls": {"mode": "full", **SHOWN, "origin_key": KEY}}) == [
        "tls.origin_key: needs origin_certificate"
    ]
    assert mistakes_of({"tls": {"certificate": 1, "key": KEY}}) == [
        "tls.certificate: must be a string, not an integer"
    ]
    assert mistakes_of({"tls": {"certificate": CHAIN, "key": 1}}) == ["tls.key: must be a string, not an integer"]


def test_authorities_that_cannot_be_used(tmp_path: Path) -> None:
    strict = {"mode": "strict", **SHOWN}
    missing = tmp_path / "two\nlines"
    assert mistakes_of({"tls": {**strict, "origin_ca": str(missing)}}) == [
        f"tls.origin_ca: {tmp_path}/two\\nlines: No such file or directory"
    ]
    assert mistakes_of({"tls": {**strict, "origin_ca": KEY}}) == [f"tls.origin_ca: {KEY} holds no PEM certificate"]


def test_passthrough_rewrites_no_port() -> None:
    mapped = {"origin": "20000-20020", "public": "30000-30020"}
    assert mistakes_of({"tls": {"mode": "passthrough"}, "data_ports": mapped}) == [
        'data_ports: must be one range in mode "passthrough", which rewrites no reply'
    ]
    assert mistakes_of({"tls": {"mode": "passthrough"}, "data_ports": 1}) == [
        "data_ports: must be a string, not an integer"
    ]
    read(tls={"mode": "passthrough"}, data_ports={"origin": "20000-20020", "public": "20000-20020"})


def test_every_mistake_of_tls_in_one_run() -> None:
    assert mistakes_of(
        {"tls": {"mode": "flexible", "key": KEY, "origin_name": "a", "origin_ca": KEY, "minimum_version": "1.1"}}
    ) == [
        'tls.minimum_version: must be "1.2" or "1.3", not "1.1"',
        'tls.certificate: must be given in mode "flexible"',
        'tls.origin_ca: does nothing in mode "flexible"; it needs "strict"',
        'tls.origin_name: does nothing in mode "flexible"; it needs "strict"',
        "tls.key: needs certificate",
        f"tls.origin_ca: {KEY} holds no PEM certificate",
    ]


# The guard


def test_access_rules_in_their_order() -> None:
    rules = [
        {"action": "allow", "networks": ["203.0.113.9", "2001:db8::/32"]},
        {"action": "deny", "networks": ["203.0.113.0/24", "::ffff:192.0.2.0/120", "::/0"]},
    ]
    found = read(access=rules, access_denied="drop")
    assert found.access_denied is AccessDenied.DROP
    assert [(rule.action.value, [str(network) for network in rule.networks]) for rule in found.access] == [
        ("allow", ["203.0.113.9/32", "2001:db8::/32"]),
        ("deny", ["203.0.113.0/24", "192.0.2.0/24", "::/0"]),  # an IPv4 client is one on whatever socket
    ]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a list, and a database of each kind."""
    (tmp_path / "blocked.txt").write_text("203.0.113.0/24\n")
    country_database(tmp_path / "country.mmdb", {"203.0.113.0/24": "DE"})
    asn_database(tmp_path / "asn.mmdb", {"203.0.113.0/24": 64496})
    return tmp_path


GEO = {"country": "country.mmdb", "asn": "asn.mmdb"}


def test_access_rules_of_all_kinds(directory: Path) -> None:
    elsewhere = str((directory / "blocked.txt").resolve())
    rule = {
        "action": "deny",
        "networks": ["203.0.113.9"],
        "countries": ["cn", "De"],
        "asns": [1, 4294967295],
        "lists": ["blocked.txt", elsewhere],
    }
    found = parse(document(application=[REQUIRED | {"access": [rule]}], geo=GEO), directory)
    assert found.geo == Geo(str(directory / "country.mmdb"), str(directory / "asn.mmdb"))
    [read] = found.applications[0].access
    assert (read.countries, read.asns) == (("CN", "DE"), (1, 4294967295))
    assert read.lists == (str(directory / "blocked.txt"), elsewhere)


def test_mistakes_in_the_files_of_access_rules(directory: Path) -> None:
    """Each is told where a file is named, together with those of other keys."""
    (directory / "bad.txt").write_text("\n# x\n203.0.113.0/24\nexample.com\n203.0.113.0/33\n")
    (directory / "bad.mmdb").write_text("x")
    rules: list[dict[str, object]] = [
        {"action": "deny", "lists": ["blocked.txt", "bad.txt"], "networks": ["x"]},
        {"action": "deny", "lists": ["bad.txt"], "countries": ["x"], "asns": [1]},
        {"action": "never", "lists": [5, "bad.txt"]},
    ]
    applications = [REQUIRED | {"access": rules}, {"name": "other", "access": [rules[0] | {"networks": []}]}]
    text = document(application=applications, geo={"country": "bad.mmdb", "asn": "missing.mmdb"})
    with pytest.raises(ConfigError) as raised:
        parse(text, directory)
    line = f'{directory}/bad.txt:4: "example.com" is not a network like 192.0.2.0/24 or 2001:db8::/32'
    assert [one for one in raised.value.mistakes if "required" not in one] == [
        'application[0].access[0].networks[0]: "x" is not a network like 192.0.2.0/24 or 2001:db8::/32',
        'application[0].access[1].countries[0]: "x" is not a country\'s code of two letters, like DE',
        'application[0].access[2].action: must be "allow" or "deny", not "never"',
        "application[0].access[2].lists[0]: must be a string, not an integer",
        f"application[0].access[0].lists[1]: {line}",
        f"application[0].access[1].lists[0]: {line}",
        f"application[1].access[0].lists[1]: {line}",
        f"geo.country: {directory}/bad.mmdb is not a database in MaxMind's format",
        f"geo.asn: {directory}/missing.mmdb: No such file or directory",
    ]


def test_databases_that_are_mixed_up(directory: Path) -> None:
    text = document(application=[REQUIRED], geo={"country": "asn.mmdb", "asn": "country.mmdb"})
    with pytest.raises(ConfigError) as raised:
        parse(text, directory)
    assert raised.value.mistakes == (
        f"geo.country: {directory}/asn.mmdb is a database without countries",
        f"geo.asn: {directory}/country.mmdb is a database without AS numbers",
    )


@pytest.mark.parametrize(
    ("geo", "mistake"),
    [
        (5, "geo: must be a table, not an integer"),
        ({"country": 5}, "geo.country: must be a string, not an integer"),
        ({"countries": "x"}, "geo.countries: unknown key; did you mean country?"),
    ],
)
def test_a_rule_does_not_miss_a_database_that_cannot_be_read(geo: object, mistake: str, directory: Path) -> None:
    rule = {"action": "deny", "countries": ["DE"]}
    found = mistakes(document(application=[REQUIRED | {"access": [rule]}], geo=geo))
    assert found[0] == mistake
    assert found[1:] == (
        ("application[0].access[0].countries: needs geo.country",) if "countries:" in mistake else ()
    )


def test_a_list_is_read_once_however_often_it_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, network = [], lists._network

    def noted(entry: str) -> tuple[int, int, int]:
        reads.append(entry)
        return network(entry)

    monkeypatch.setattr(lists, "_network", noted)
    rule = {"action": "deny", "lists": ["blocked.txt", "./blocked.txt"]}
    text = document(application=[REQUIRED | {"access": [rule] * 9}])
    for _ in range(2):
        parse(text, directory)
    assert reads == ["203.0.113.0/24"]
    (directory / "blocked.txt").write_text("everyone")
    with pytest.raises(ConfigError) as raised:
        parse(text, directory)
    assert len(raised.value.mistakes) == 18
    assert reads == ["203.0.113.0/24", "everyone"]
    LISTS.forget_unused()


def test_limits() -> None:
    assert read(limits={"sessions": 2, "login_failures": 0, "ban": 0.5}).limits == Limits(
        sessions=2, login_failures=0, ban=0.5
    )
    assert parse(EXAMPLE + "[limits]\nsessions = 1000\ndata_ports = 50", DIRECTORY).limits == GatewayLimits(1000, 50)
    assert parse(EXAMPLE, DIRECTORY).limits == GatewayLimits(0, 0)


def test_many_rules_are_read_in_time() -> None:
    networks = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(25_000)]
    begun = time.process_time()
    assert len(read(access=[{"action": "deny", "networks": networks}]).access[0].networks) == len(networks)
    assert time.process_time() - begun < 10  # half a second on a fast machine, and not as the square of their number


def test_bandwidth() -> None:
    limits = {"bandwidth_per_session": 1000, "bandwidth": 100000}
    assert read(limits=limits).limits == Limits(bandwidth_per_session=1000, bandwidth=100000)


def test_proxy_protocol() -> None:
    headers = read(proxy_protocol={"accept_from": ["10.0.0.0/8", "::1/128"], "send_control": "v1", "send_data": "v2"})
    assert headers.proxy_protocol == ProxyProtocol(
        (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")), ProxyHeader.V1, ProxyHeader.V2
    )


# Between keys


OTHER: dict[str, object] = {"name": "other", "listen": "tcp:2121", "data_ports": "30000-30020"}


@pytest.mark.parametrize(
    ("second", "mistake"),
    [
        ({"name": "ftp"}, 'name: "ftp" is already the name of application[0]'),
        ({"listen": "tcp:21"}, 'listen: "tcp:21" collides with "tcp:21" of application[0]'),
        (
            {"listen": ["tcp:2121", "tcp:21:interface=127.0.0.1"]},
            'listen: "tcp:21:interface=127.0.0.1" collides with "tcp:21" of application[0]',
        ),
        ({"listen": ["tcp:0", "tcp:0"]}, 'listen: "tcp:0" collides with "tcp:0"'),
        ({"listen": ["tcp:2121", "tcp:2121"]}, 'listen: "tcp:2121" collides with "tcp:2121"'),
        (
            {"listen": ["systemd:domain=INET:name=ftp", "systemd:domain=INET:name=ftp"]},
            'listen: "systemd:domain=INET:name=ftp" collides with "systemd:domain=INET:name=ftp"',
        ),
        (
            {"data_ports": "20020-20030"},
            "data_ports: the public ports 20020-20030 overlap 20000-20020 of application[0] on the same address",
        ),
        (
            {"data_ports": {"origin": "30000", "public": "20000"}, "data_interface": "192.0.2.1"},
            "data_ports: the public ports 20000 overlap 20000-20020 of application[0] on the same address",
        ),
        ({"listen": "tcp:30010"}, 'data_ports: port 30010 is taken by "tcp:30010"'),
    ],
)
def test_collision(second: dict[str, object], mistake: str) -> None:
    assert mistakes_of({}, OTHER | second) == [f"application[1].{mistake}"]


def test_listening_within_the_data_ports_of_another() -> None:
    assert mistakes_of({}, OTHER | {"listen": "tcp:20010"}) == [
        'data_ports: port 20010 is taken by "tcp:20010" of application[1]'
    ]


def test_data_ports_that_cannot_be_read_collide_with_nothing() -> None:
    mistakes = mistakes_of({"listen": "tcp:0", "data_ports": ""}, OTHER | {"data_ports": ""})
    assert [mistake.partition(": ")[0] for mistake in mistakes] == ["data_ports", "application[1].data_ports"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"listen": "tcp:21:interface=192.0.2.1"}, {"listen": "tcp:21:interface=192.0.2.2"}),
        ({"listen": "tcp:21"}, {"listen": "tcp6:21"}),
        ({"listen": "tcp:0"}, {"listen": "tcp:0:interface=127.0.0.1"}),
        ({"listen": "systemd:domain=INET:index=0"}, {"listen": "systemd:domain=INET:index=1"}),
        (
            {"listen": "tcp:21:interface=192.0.2.1"},
            {"listen": "tcp:21:interface=192.0.2.2", "data_ports": "20000-20020"},
        ),
        ({"data_interface": "192.0.2.1"}, {"data_interface": "192.0.2.2", "data_ports": "20000-20020"}),
        ({"data_ports": "20000-20020"}, {"data_ports": {"origin": "20000-20020", "public": "30000-30020"}}),
        ({"data_interface": "192.0.2.1"}, {"listen": "tcp:20000:interface=192.0.2.2"}),
    ],
)
def test_no_collision(first: dict[str, object], second: dict[str, object]) -> None:
    config = parse(document(application=[REQUIRED | first, REQUIRED | OTHER | second]), DIRECTORY)
    assert len(config.applications) == 2


def test_mistakes_between_keys_are_found_beside_those_in_single_keys() -> None:
    assert mistakes_of(
        {"banner": "220 hi", "commands": {"allow": ["MLSD"], "deny": ["MLSD"], "read_only": 1}},
        {"publik_address": "a", "data_interface": "eth0"},
        "nothing",
    ) == [
        'banner: "220 hi" must not begin with a reply code; the gateway puts 220 before it',
        "commands.read_only: must be a boolean, not an integer",
        'application[1].data_interface: "eth0" is not an IP address of this host',
        "application[1].publik_address: unknown key; did you mean public_address?",
        "application[2]: must be a table, not a string",
        'application[1].name: "ftp" is already the name of application[0]',
        'application[1].listen: "tcp:21" collides with "tcp:21" of application[0]',
        "commands.deny: MLSD is also in allow",
    ]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("0.0.0.0", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::", "2001:db8::1", True),
        ("::", "192.0.2.1", False),
        ("", "0.0.0.0", False),
        ("", "", False),
    ],
)
def test_meet(one: str, other: str, expected: bool) -> None:
    assert meet(address(one), address(other)) is meet(address(other), address(one)) is expected


def test_listening() -> None:
    assert Listening.parse("tcp:21") == Listening("tcp:21", ipaddress.ip_address("0.0.0.0"), 21)
    assert Listening.parse("tcp6:21") == Listening("tcp6:21", ipaddress.ip_address("::"), 21)
    assert Listening.parse("systemd:domain=INET:index=0") == Listening("systemd:domain=INET:index=0")


# Flags


def test_flags() -> None:
    (application,) = from_flags(["tcp:2121", "tcp6:2122"], "198.51.100.1:21", "20000-20020", None).applications
    assert application == read(listen=["tcp:2121", "tcp6:2122"])
    assert application.name == "ftp"
    (application,) = from_flags(["tcp:21"], "198.51.100.1:21", "20000-20020", "192.0.2.1").applications
    assert application == read(name="192.0.2.1", public_address="192.0.2.1")


def test_wrong_flags() -> None:
    with pytest.raises(ConfigError) as raised:
        from_flags(["tcp:21", "tcp"], "origin", "20", "::1")
    assert raised.value.mistakes == (
        '--listen: "tcp" must look like tcp:21, tcp:21:interface=192.0.2.1 or tcp6:21',
        '--origin: "origin" is not host:port or [v6]:port',
        '--data-ports: "20" has ports below 1024, which are not for data connections',
        '--public-address: "::1" is an IPv6 address, and a 227 reply carries IPv4 only',
    )
    with pytest.raises(ConfigError) as raised:
        from_flags(["tcp:2121", "tcp:2121"], "a:21", "2121", None)
    assert set(raised.value.mistakes) == {
        '--listen: "tcp:2121" collides with "tcp:2121"',
        '--data-ports: port 2121 is taken by "tcp:2121"',
    }


# Advice


@pytest.fixture
def ipv4_settings(tmp_path: Path) -> Path:
    (tmp_path / "ip_local_port_range").write_text("32768\t60999\n")
    (tmp_path / "ip_local_reserved_ports").write_text("\n")
    return tmp_path


def advice(ipv4_settings: Path, **keys: object) -> list[str]:
    config = parse(document(application=[REQUIRED | keys]), DIRECTORY)
    return [text.removeprefix("application[0].") for text in warnings(config, ipv4_settings)]


def test_data_ports_where_outgoing_connections_are(ipv4_settings: Path) -> None:
    expected = [
        "data_ports: outgoing connections may take some of the ports 32760-32768, which are in "
        "net.ipv4.ip_local_port_range; add them to net.ipv4.ip_local_reserved_ports"
    ]
    assert advice(ipv4_settings, data_ports="32760-32768") == expected
    assert advice(ipv4_settings, data_ports={"origin": "32760-32768", "public": "20000-20008"}) == []
    assert advice(ipv4_settings, data_ports="32760-32767") == []
    assert advice(ipv4_settings, data_ports="61000-61010") == []
    (ipv4_settings / "ip_local_reserved_ports").write_text("8080,40000-40020\n")
    assert advice(ipv4_settings, data_ports="40000-40020") == []
    assert len(advice(ipv4_settings, data_ports="40000-40021")) == 1
    assert advice(ipv4_settings / "missing", data_ports="32760-32768") == []


def test_certificates_that_expired(ipv4_settings: Path) -> None:
    chain, key = (str(path) for path in attrs.astuple(certificates().expired))
    ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    assert advice(ipv4_settings, tls={"mode": "flexible", "certificate": chain, "key": key}) == [
        f"tls.certificate: a certificate in {chain} expired on {ended:%Y-%m-%d}"
    ]
    tls = {"mode": "full", **SHOWN, "origin_certificate": chain, "origin_key": key}
    assert advice(ipv4_settings, tls=tls) == [
        f"tls.origin_certificate: a certificate in {chain} expired on {ended:%Y-%m-%d}"
    ]
    assert advice(ipv4_settings, tls={"mode": "flexible", **SHOWN}) == []


def test_data_that_only_the_origin_can_protect(ipv4_settings: Path) -> None:
    assert advice(ipv4_settings, tls={"mode": "passthrough"}) == [
        "tls.mode: whoever gets a 234 from the origin, even without a login, can take other clients' data "
        "connections unless the origin checks that each resumes the TLS session of its own control connection; "
        "end TLS at the gateway, or make sure that the origin checks it"
    ]
    assert advice(ipv4_settings, tls={"mode": "off"}) == []


@pytest.mark.parametrize("public", ["10.1.2.3", "172.31.0.1", "192.168.0.1", "127.0.0.1"])
def test_public_address_that_is_not_public(ipv4_settings: Path, public: str) -> None:
    assert advice(ipv4_settings, public_address=public) == [
        f'public_address: "{public}" cannot be reached from the internet'
    ]


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_a_header_from_everyone(ipv4_settings: Path, network: str) -> None:
    headers = {"accept_from": ["10.0.0.0/8", network]}
    anyone = f"every host in {network} can pose as any client; name only the load balancers"
    assert advice(ipv4_settings, proxy_protocol=headers) == [f"proxy_protocol.accept_from: {anyone}"]
    assert advice(ipv4_settings, proxy_protocol={"accept_from": ["10.0.0.0/8"]}) == []


@pytest.mark.parametrize("public", ["192.0.2.1", "172.32.0.1", "ftp.example.com"])
def test_public_address_without_advice(ipv4_settings: Path, public: str) -> None:
    assert advice(ipv4_settings, public_address=public) == []


def test_both_families_on_one_port(ipv4_settings: Path) -> None:
    assert advice(ipv4_settings, listen=["tcp:21", "tcp6:21"]) == [
        'listen: "tcp:21" and "tcp6:21" collide if :: also accepts IPv4 connections, as it usually does'
    ]
    assert advice(ipv4_settings, listen=["tcp:21", "tcp6:2121"]) == []
    assert advice(ipv4_settings, listen=["tcp:0", "tcp6:0"]) == []
    assert advice(ipv4_settings, listen=["tcp:21:interface=192.0.2.1", "tcp6:21"]) == []


def test_the_systems_own_settings_can_be_read() -> None:
    assert isinstance(warnings(parse(EXAMPLE, DIRECTORY)), tuple)


# The reference


def test_reference() -> None:
    sections = {section.path: section for section in reference()}
    assert list(sections) == [
        "",
        "application",
        "application.timeouts",
        "application.tls",
        "application.limits",
        "application.commands",
        "application.proxy_protocol",
        "application.access",
        "limits",
        "geo",
        "events",
    ]
    assert all(entry.doc for section in sections.values() for entry in section.entries)
    application = {entry.key: entry for entry in sections["application"].entries}
    assert list(application)[:5] == ["name", "listen", "origin", "data_ports", "public_address"]
    assert application["name"].default is None
    assert application["banner"].default == "left out"
    timeouts = sections["application.timeouts"].entries
    assert timeouts[0] == Entry(
        "origin_connect",
        "seconds, above 0",
        "10",
        "Time to look the origin's name up and connect to it, control or data.",
    )
    tls = {entry.key: entry for entry in sections["application.tls"].entries}
    assert (tls["require"].form, tls["require"].default) == ('"none" | "control" | "data"', '"none"')
    assert (tls["implicit"].form, tls["implicit"].default) == ("true | false", "false")
    assert tls["key"].form == "file"
    limits = {entry.key: entry for entry in sections["application.limits"].entries}
    assert (limits["sessions"].form, limits["sessions"].default) == ("whole number", "0")
    commands = sections["application.commands"].entries
    assert (commands[0].form, commands[0].default) == ("list: verb", "[]")


# Whatever is written, there is a Config or there are mistakes


SCALARS = (
    st.none().map(lambda _: datetime.date(2000, 2, 29))
    | st.just(datetime.time(1, 2, 3))
    | st.just(datetime.datetime(2000, 2, 29, 1, 2, 3))
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8"))
    | st.sampled_from(
        [
            *REQUIRED.values(),
            "tcp:0:interface=::1",
            "tcp6:21:backlog=x=y",
            "systemd:",
            "[::1]:21",
            "10.0.0.0/8",
            "off",
            "any",
            "deny",
            "MLSD",
            "1.2",
            "-",
        ]
    )
)
KEYS = st.sampled_from([entry.key for section in reference() for entry in section.entries]) | st.text(
    st.characters(codec="utf-8")
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
NAMED_TABLES = st.dictionaries(
    st.sampled_from(["timeouts", "tls", "limits", "commands", "proxy_protocol", "access", "data_ports"]),
    st.dictionaries(KEYS, VALUES, max_size=4) | VALUES,
    max_size=3,
)
APPLICATIONS = st.builds(
    lambda *parts: {key: value for part in parts for key, value in part.items()},
    st.just(REQUIRED) | st.just({}),
    st.dictionaries(KEYS, VALUES, max_size=4),
    NAMED_TABLES,
)


def well_behaved(text: str) -> None:
    """A configuration, or at least one mistake, each of one printable line with a path."""
    try:
        config = parse(text, DIRECTORY)
    except ConfigError as error:
        assert error.mistakes
        for mistake in error.mistakes:
            assert re.fullmatch(r'[^ ."]\S*(?:\."[^\n]*")?: \S.*|".*": \S.*', mistake), mistake
            assert mistake.isprintable()
    else:
        for advice in warnings(config):
            assert re.fullmatch(r"application\[\d+\](\.[a-z_]+)+: \S.*", advice), advice
            assert advice.isprintable()


@given(st.lists(APPLICATIONS, min_size=1, max_size=3))
def test_any_applications(applications: list[dict[str, Any]]) -> None:
    well_behaved(document(application=applications))


ADVISED = {
    "public_address": "10.0.0.1",
    "data_ports": {"origin": "1024-65535", "public": "1024-65535"},
    "listen": ["tcp:21", "tcp6:21"],
    "proxy_protocol": {"accept_from": ["0.0.0.0/0"]},
}
"""The configurations that are right but not wise."""


@given(st.sets(st.sampled_from(sorted(ADVISED)), min_size=1))
def test_any_unwise_application(keys: set[str]) -> None:
    given = REQUIRED | {key: ADVISED[key] for key in keys}
    assert warnings(parse(document(application=[given]), DIRECTORY))
    well_behaved(document(application=[given]))


@given(st.dictionaries(st.just("application") | st.just("events") | KEYS, VALUES, max_size=4))
def test_any_document(keys: dict[str, Any]) -> None:
    well_behaved("".join(f"{toml(key)} = {toml(value)}\n" for key, value in keys.items()))


@given(st.text())
def test_any_text(text: str) -> None:
    well_behaved(text)


FLAGS = {
    "--listen": "tcp:2121",
    "--origin": "198.51.100.1:21",
    "--data-ports": "20000-20020",
    "--public-address": "192.0.2.1",
}
"""The keys, each with a value that is right."""


@given(st.tuples(*(st.just(right) | st.text() for right in FLAGS.values())))
def test_any_flags(texts: tuple[str, str, str, str]) -> None:
    """A mistake names its flag, and a flag that is right is not blamed."""
    given = dict(zip(FLAGS, texts, strict=True))
    listen, *others = texts
    try:
        config = from_flags([listen], *others)
    except ConfigError as error:
        blamed = {re.match(r"(--[a-z-]+)[^:]*: \S", mistake)[1] for mistake in error.mistakes}
        assert blamed and blamed <= {flag for flag, text in given.items() if text != FLAGS[flag]}, error.mistakes
        assert all(mistake.isprintable() for mistake in error.mistakes)
    else:
        (application,) = config.applications
        same = read(listen=listen, origin=others[0], data_ports=others[1], public_address=others[2])
        assert application == attrs.evolve(same, name=others[2])


@given(st.text())
def test_quoted_is_one_short_line(text: str) -> None:
    assert quoted(text).isprintable()
    assert len(text) > 80 or json.loads(quoted(text)) == text


def test_unused_defaults_are_values() -> None:
    """What is left out of the file is structured no differently than what stands there with its default."""
    assert read(tls={}, limits={}, proxy_protocol={}, commands={}, timeouts={}) == read()
    assert read().proxy_protocol == ProxyProtocol()
