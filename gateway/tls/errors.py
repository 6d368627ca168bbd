"""What OpenSSL says of a failure."""

from OpenSSL import SSL


def reason(error: SSL.Error) -> str:
    """OpenSSL's own words for an error."""
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][-1][-1])
    return str(error.args[-1]) if error.args else type(error).__name__
