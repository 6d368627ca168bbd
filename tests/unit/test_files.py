"""The reading of files: a regular one is read, anything else refused, without waiting for anybody."""

from __future__ import annotations

import os
import pty
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gateway.files import read_regular
from tests.kit import PATIENCE

pytestmark = pytest.mark.timeout(PATIENCE)


def refusal(path: Path) -> str:
    with pytest.raises(OSError) as raised:
        read_regular(path)
    assert str(raised.value.filename) == str(path)
    assert raised.value.strerror is not None
    return raised.value.strerror


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\r\nb\xff")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file") == read_regular(tmp_path / "link") == b"a\r\nb\xff"


def test_one_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(tmp_path / "missing") == "No such file or directory"
    assert refusal(tmp_path) == "Is a directory"


def test_a_fifo_is_refused_though_nobody_writes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert refusal(tmp_path / "fifo") == "not a regular file"


def test_devices_and_terminals_are_refused() -> None:
    ours, theirs = pty.openpty()
    try:
        assert refusal(Path(os.ttyname(theirs))) == "not a regular file"
        assert refusal(Path("/dev/null")) == "not a regular file"
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert refusal(tmp_path / "socket")


@contextmanager
def standard_input(descriptor: int) -> Iterator[None]:
    with ExitStack() as stack:
        before = os.dup(0)
        stack.callback(os.close, before)
        stack.callback(os.dup2, before, 0)
        os.dup2(descriptor, 0)
        yield


@pytest.mark.skipif("sys.platform != 'linux'", reason="elsewhere /dev/stdin is no link to the file")
def test_standard_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    with (tmp_path / "file").open("rb") as file, standard_input(file.fileno()):
        assert read_regular(Path("/dev/stdin")) == read_regular(Path("/dev/stdin")) == b"text"
    reading, writing = os.pipe()
    try:
        with standard_input(reading):
            assert refusal(Path("/dev/stdin")) == "not a regular file"
    finally:
        os.close(reading)
        os.close(writing)


def test_nothing_stays_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"")
    free = next_descriptor()
    for path in (tmp_path, tmp_path / "fifo"):
        refusal(path)
    read_regular(tmp_path / "file")
    assert next_descriptor() == free


def next_descriptor() -> int:
    """The lowest number that no open file has."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor
