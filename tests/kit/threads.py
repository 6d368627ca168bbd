"""A system that starts no more threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def no_more_threads() -> Iterator[None]:
    """Every start of a thread fails, as it does at the system's limit."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        yield
