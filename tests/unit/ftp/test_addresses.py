"""The addresses in 227 and 229: parsed and rendered."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ftp.addresses import has_one_reading, parse_227, parse_229, render_227, render_229
from gateway.ftp.replies import Reply

PORTS = st.integers(0, 65535)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("Entering Passive Mode (198,51,100,1,78,32).", 20000),
        ("Entering passive mode (198,51,100,1,78,32).", 20000),
        ("Entering Passive Mode (198,51,100,1,78,32)", 20000),
        ("Entering Passive Mode. 198,51,100,1,78,32", 20000),
        ("=198,51,100,1,78,32", 20000),
        ("198,51,100,1,0,21", 21),
        ("(0,0,0,0,255,255)", 65535),
        ("(999,51,100,1,78,32)", 20000),  # nobody looks at the host
        ("3 of 5 (1,2,3,4,78,32).", 20000),
        ("(198,51,100,1,256,0)", None),
        ("(198,51,100,1,0,256)", None),
        ("(198,51,100,1,78)", None),
        ("(198,51,100,1,78,32,7)", None),
        ("(198, 51, 100, 1, 78, 32)", None),
        ("(198,51,100,1,78,1234)", None),
        ("(198,51,100,1,,32)", None),
        ("(|||20000|)", None),
        ("", None),
    ],
)
def test_port_of_a_227(text: str, port: int | None) -> None:
    assert parse_227(Reply.of(227, text)) == port


def test_the_code_is_none_of_the_numbers() -> None:
    assert parse_227(Reply(227, (b"227,1,2,3,4,5,6",))) is None
    assert parse_227(Reply(227, (b"227",))) is None
    assert parse_229(Reply(229, (b"229",))) is None


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("Entering Extended Passive Mode (|||20000|)", 20000),
        ("Entering Extended Passive Mode (|||20000|).", 20000),
        ("ok (!!!1!)", 1),
        ("ok (~~~65535~)", 65535),
        ("(a) ok (|||20000|)", 20000),
        ("(|||65536|)", None),
        ("(|||123456|)", None),
        ("(||20000|)", None),
        ("(|||20000)", None),
        ("(|!|20000|)", None),
        ("(|1|198.51.100.1|20000|)", None),  # RFC 2428 section 3: those two are empty
        ("(11120001)", None),
        ("(   20000 )", None),
        ("(|||-1|)", None),
        ("|||20000|", None),
        ("", None),
    ],
)
def test_port_of_a_229(text: str, port: int | None) -> None:
    assert parse_229(Reply.of(229, text)) == port


@pytest.mark.parametrize(
    ("text", "one"),
    [
        (b"229 Come (|||20000|).", True),
        (b"229 (!!!20000!)", True),
        (b"229 198.51.100.1 listens (|||20000|)", True),
        (b"229 (a) ok (|||20000|)", False),
        (b"229 (|1|192.0.2.1|9|) (|||20000|)", False),
        (b"229 |||9| (|||20000|)", False),
        (b"229 !!!9! (|||20000|)", False),
        (b"229 (|||20000|) (|||9|)", False),
        (b"229 (|||20000|) !!!9!", False),
    ],
)
def test_the_readings_of_a_229(text: bytes, one: bool) -> None:
    assert has_one_reading(Reply(229, (text,))) is one


def test_nothing_in_several_lines_is_an_address() -> None:
    assert parse_227(Reply(227, (b"227-(198,51,100,1,78,32)", b"227 (198,51,100,1,78,32)"))) is None
    lines = Reply(229, (b"229-(|||20000|)", b"229 (|||20000|)"))
    assert parse_229(lines) is None and not has_one_reading(lines)


def test_renderings() -> None:
    assert render_227(IPv4Address("192.0.2.1"), 20001) == Reply.of(227, "Entering Passive Mode (192,0,2,1,78,33).")
    assert render_229(20001) == Reply.of(229, "Entering Extended Passive Mode (|||20001|)")


@given(st.ip_addresses(v=4), PORTS)
def test_what_is_rendered_parses(host: IPv4Address, port: int) -> None:
    assert parse_227(render_227(host, port)) == port
    assert parse_229(render_229(port)) == port


@given(st.binary())
def test_no_text_breaks_the_parsers(text: bytes) -> None:
    for parse, code in ((parse_227, 227), (parse_229, 229)):
        port = parse(Reply(code, (b"%d " % code + text,)))
        assert port is None or 0 <= port <= 65535
