"""The cache of values made from files."""

import gc
import os
from pathlib import Path

import attrs
import pytest

from gateway.files import FileCache


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
