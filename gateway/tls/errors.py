"""What OpenSSL says of a failure."""

from OpenSSL import SSL


def reason(error: SSL.Error) -> str:
    """OpenSSL's own words for an error."""
    words = error.args[-1] if error.args else None
    if isinstance(words, list):
        words = words[-1][-1] if words else None
    return str(words or type(error).__name__)
