"""The reasons that OpenSSL gives for a failure."""

import pytest
from OpenSSL import SSL

from gateway.tls.errors import reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SSL.Error([("SSL routines", "", "wrong version number")]), "wrong version number"),
        (SSL.Error([("a", "", "the cause"), ("b", "", "what came of it")]), "the cause"),
        (SSL.Error([]), "Error"),
        (SSL.Error("the client's ALPN does not offer ftp"), "the client's ALPN does not offer ftp"),
        (SSL.SysCallError(-1, "Unexpected EOF"), "connection lost"),
        (SSL.SysCallError(104, "ECONNRESET"), "connection lost"),
        (SSL.ZeroReturnError(), "ZeroReturnError"),
    ],
)
def test_words(error: SSL.Error, words: str) -> None:
    assert reason(error) == words
