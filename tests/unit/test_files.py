"""The files that an operator names: a regular one is read, anything else refused, without waiting for anybody; and
the cache of values made from files."""

from __future__ import annotations

import gc
import os
import pty
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import attrs
import pytest

from gateway.files import FileCache, read_regular
from tests.kit import PATIENCE
from tests.kit.programs import until

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


# The cache


@attrs.frozen(eq=False)
class Value:
    text: str


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("one")
    return path


def value(cache: FileCache[Value], file: Path) -> Value:
    return cache.get((file,), lambda: Value(file.read_text()))


def test_one_that_did_not_change_is_read_once(file: Path) -> None:
    cache: FileCache[Value] = FileCache()
    assert value(cache, file) is value(cache, file)


def test_one_that_changed_is_read_again(file: Path) -> None:
    cache: FileCache[Value] = FileCache()
    before = value(cache, file)
    file.write_text("two")
    os.utime(file, ns=(1, 1))
    assert (before.text, value(cache, file).text) == ("one", "two")


def test_one_whose_size_alone_changed_is_read_again(file: Path) -> None:
    cache: FileCache[Value] = FileCache()
    os.utime(file, ns=(1, 1))
    before = value(cache, file)
    file.write_text("three")
    os.utime(file, ns=(1, 1))
    assert (before.text, value(cache, file).text) == ("one", "three")


def test_one_that_was_written_under_its_old_time_is_read_again(file: Path) -> None:
    cache: FileCache[Value] = FileCache()
    os.utime(file, ns=(1, 1))
    before = value(cache, file)
    until(lambda: clock(file.parent) > file.stat().st_ctime_ns)
    file.write_text("two")
    os.utime(file, ns=(1, 1))
    assert (before.text, value(cache, file).text) == ("one", "two")


def clock(directory: Path) -> int:
    """The time of the file system, which goes in steps."""
    with NamedTemporaryFile(dir=directory) as fresh:
        return Path(fresh.name).stat().st_ctime_ns


def test_what_is_used_is_known_and_what_is_not_is_forgotten(file: Path, tmp_path: Path) -> None:
    cache: FileCache[Value] = FileCache()
    (other := tmp_path / "other").write_text("other")
    used = value(cache, file)
    value(cache, other)
    cache.forget_unused()
    gc.collect()
    assert cache.get((file,), lambda: Value("again")) is used
    assert cache.get((other,), lambda: Value("again")).text == "again"


def test_of_a_file_the_last_value_alone_is_held(file: Path) -> None:
    cache: FileCache[Value] = FileCache()
    for text in ("two", "three", "four"):
        file.write_text(text)
        os.utime(file, ns=(len(text), 1))
        value(cache, file)
    gc.collect()
    assert [one.text for one in cache._known.values()] == ["four"]


def test_what_cannot_be_read_is_asked_for_again(file: Path) -> None:
    cache: FileCache[Value] = FileCache()

    def fail() -> Value:
        raise ValueError

    with pytest.raises(ValueError):
        cache.get((file,), fail)
    assert value(cache, file).text == "one"


def test_a_missing_file(tmp_path: Path) -> None:
    cache: FileCache[Value] = FileCache()
    with pytest.raises(FileNotFoundError):
        value(cache, tmp_path / "missing")
