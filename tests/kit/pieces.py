"""A stream of bytes in pieces, as a network may deliver it."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import strategies as st


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    """The stream, cut before each of these places."""
    edges = sorted({0, *places, len(stream)})
    return [stream[start:end] for start, end in pairwise(edges)]


def pieces(streams: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[bytes, list[bytes]]]:
    """A strategy for a stream, and the same in pieces."""
    return streams.flatmap(
        lambda stream: st.tuples(
            st.just(stream), st.lists(st.integers(0, len(stream))).map(lambda places: cut(stream, places))
        )
    )
