"""Commands: parsed, rendered, known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ftp.commands import VERBS, Command, Kind, Verb

# https://www.iana.org/assignments/ftp-commands-extensions (RFC 5797), but for its one entry that is no verb, "feat".
REGISTRY = (
    b"ABOR ACCT ADAT ALGS ALLO APPE AUTH CCC CDUP CONF CWD DELE ENC EPRT EPSV FEAT HELP HOST LANG LIST LPRT LPSV "
    b"MDTM MIC MKD MLSD MLST MODE NLST NOOP OPTS PASS PASV PBSZ PORT PROT PWD QUIT REIN REST RETR RMD RNFR RNTO SITE "
    b"SIZE SMNT STAT STOR STOU STRU SYST TYPE USER XCUP XCWD XMKD XPWD XRMD"
).split()


@pytest.mark.parametrize(
    ("line", "command", "rendered"),
    [
        (b"NOOP", Command(b"NOOP"), b"NOOP\r\n"),
        (b"noop", Command(b"NOOP"), b"NOOP\r\n"),
        (b"CWD dir", Command(b"CWD", b"dir"), b"CWD dir\r\n"),
        (b"CWD ", Command(b"CWD", b""), b"CWD \r\n"),
        (b"CWD  two spaces ", Command(b"CWD", b" two spaces "), b"CWD  two spaces \r\n"),
        (b"CWD\tdir\tx", Command(b"CWD", b"dir\tx"), b"CWD dir\tx\r\n"),
        (b" \t CWD dir", Command(b"CWD", b"dir"), b"CWD dir\r\n"),
        (b"cWd \xff\xe4\x80", Command(b"CWD", b"\xff\xe4\x80"), b"CWD \xff\xe4\x80\r\n"),
        (b"CWD a\x0bb\x0c\x85", Command(b"CWD", b"a\x0bb\x0c\x85"), b"CWD a\x0bb\x0c\x85\r\n"),
        (b"PORT\x0b1,2", Command(b"PORT\x0b1,2"), b"PORT\x0b1,2\r\n"),
        (b"\xe4bor", Command(b"\xe4BOR"), b"\xe4BOR\r\n"),
        (b"", Command(b""), b"\r\n"),
        (b" \t ", Command(b""), b"\r\n"),
    ],
)
def test_parse_and_render(line: bytes, command: Command, rendered: bytes) -> None:
    assert Command.parse(line) == command
    assert command.render() == rendered


@given(st.binary().filter(lambda line: b"\n" not in line))
def test_what_is_rendered_reads_the_same(line: bytes) -> None:
    command = Command.parse(line)
    rendered = command.render()
    assert rendered.endswith(b"\r\n") and b"\n" not in rendered[:-1]
    assert Command.parse(rendered[:-2]) == command
    assert command.verb.strip(b" \t") == command.verb


@pytest.mark.parametrize("word", [b"port", b"PORT", b"PoRt"])
@pytest.mark.parametrize("before", [b"", b" ", b"\t", b"  \t"])
@pytest.mark.parametrize("behind", [b"", b" ", b"\t", b" 1,2,3,4,5,6", b"\t1,2,3,4,5,6"])
def test_port_is_known_in_any_case_and_spacing(word: bytes, before: bytes, behind: bytes) -> None:
    assert Command.parse(before + word + behind).verb == b"PORT"


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1", b"post /", b"EHLO mail", b"HELO x", b"Host: a", b"PRI * HTTP/2.0"]
)
def test_other_protocols_are_foreign(line: bytes) -> None:
    assert Command.parse(line).foreign


def test_no_verb_of_ftp_is_foreign() -> None:
    assert not any(Command(verb).foreign for verb in (*VERBS, *REGISTRY, b""))


def test_the_whole_registry_is_known() -> None:
    assert [verb for verb in REGISTRY if verb not in VERBS] == []


def verbs(kind: Kind) -> set[bytes]:
    """The verbs of that kind."""
    return {verb for verb, row in VERBS.items() if row.kind is kind}


def test_kinds() -> None:
    assert verbs(Kind.ACTIVE) == {b"PORT", b"EPRT", b"LPRT"}
    assert verbs(Kind.HIDING) == {b"LPSV", b"MIC", b"CONF", b"ENC", b"ADAT"}
    assert verbs(Kind.PASSIVE) == {b"PASV", b"EPSV"}
    assert verbs(Kind.TLS) == {b"AUTH", b"PBSZ", b"PROT", b"CCC"}
    assert verbs(Kind.TO_CLIENT) == {b"RETR", b"LIST", b"NLST", b"MLSD", b"THMB"}
    assert verbs(Kind.TO_ORIGIN) == {b"STOR", b"STOU", b"APPE"}


def test_transfers_are_those_with_a_direction() -> None:
    assert {kind for kind in Kind if Verb(kind).transfers} == {Kind.TO_CLIENT, Kind.TO_ORIGIN}


def test_what_writes() -> None:
    writing = {*b"STOR STOU APPE DELE RMD XRMD MKD XMKD RNFR RNTO SMNT MFMT MFCT MFF COMB SITE".split()}
    assert {verb for verb in (*VERBS, b"XYZZY") if Command(verb, b"a b").writes} == writing


@pytest.mark.parametrize(
    ("argument", "writes"),
    [
        (b"20201231235959 file", True),
        (b"20201231235959.123 file", True),
        (b"20201231235959+60 two words", True),
        (b"20201231 file", True),
        (b"2020xxxx file", True),
        (b"  20201231235959 file", True),
        (b"20201231235959", False),
        (b"20201231235959.tar", False),
        (b"2020 file", False),
        (b"holidays 2020", False),
        (b"file", False),
        (b"", False),
        (None, False),
    ],
)
def test_mdtm_with_a_time_sets_it(argument: bytes | None, writes: bool) -> None:
    assert Command(b"MDTM", argument).writes is writes
