"""Files of access rules: read once while they do not change."""

from pathlib import Path

import pytest

from gateway.guard.access_files import AccessFile, AccessFileError, FileKind


def words(path: str) -> AccessFile[str]:
    text = Path(path).read_text()
    if not text:
        raise AccessFileError(f"{path} is empty")
    return AccessFile(path, text)


def test_a_file_is_read_once_while_it_does_not_change(tmp_path: Path) -> None:
    kind, file = FileKind(words), tmp_path / "file"
    file.write_text("one")
    first = kind.read(str(file))
    assert kind.read(str(file)) is first
    file.write_text("other")
    second = kind.read(str(file))
    assert (second.path, second.content) == (str(file), "other")
    kind.forget_unused()
    assert kind.read(str(file)) is second  # it is used


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    kind, file = FileKind(words), tmp_path / "file"
    with pytest.raises(AccessFileError, match=r"^/.*/file: No such file or directory$"):
        kind.read(str(file))
    file.write_text("")
    with pytest.raises(AccessFileError, match=r"^/.*/file is empty$"):
        kind.read(str(file))
