"""The reasons that OpenSSL gives for a failure."""

from OpenSSL import SSL


def reason(error: SSL.Error) -> str:
    """OpenSSL's own words for the cause of an error."""
    if isinstance(error, SSL.SysCallError):
        return "connection lost"
    words = error.args[0] if error.args else None
    if isinstance(words, list):
        words = words[0][-1] if words else None
    return str(words or type(error).__name__)
