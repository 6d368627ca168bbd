"""Sample files for the demo."""

import hashlib
from pathlib import Path

MEBIBYTE = 1 << 20

# Bytes of an extendable-output hash: no compression shrinks them, and they are the same everywhere and for ever.
_RANDOM = hashlib.shake_256(b"sample").digest(MEBIBYTE)

SAMPLES = {
    "welcome.txt": b"""\
Welcome. You reached this file through the gateway.

Try:    ls                          the listing comes over a data connection
        get data/random.bin         1 MiB, to compare with data/SHA256SUMS
        put FILE incoming/FILE      where the origin is writable
""",
    "data/random.bin": _RANDOM,
    "data/SHA256SUMS": f"{hashlib.sha256(_RANDOM).hexdigest()}  random.bin\n".encode(),
    "data/empty": b"",
    "texts/passive mode.txt": b"""\
The client asks on the control connection where to connect for the data:

    > EPSV
    < 229 Entering extended passive mode (|||20000|).

RFC 2428 defines EPSV, RFC 959 its elder PASV, whose 227 reply names an address, too.
""",
    "texts/replies.txt": b"""\
1yz  positive preliminary: begun, another reply will follow
2yz  positive completion
3yz  positive intermediate: the next command is awaited
4yz  transient negative: try again
5yz  permanent negative

RFC 959, section 4.2.1
""",
}
"""The contents of the files, by path below the directory."""


def write_samples(directory: Path) -> None:
    """Put `SAMPLES` and an empty ``incoming/`` below the directory, made where missing; raises OSError.

    Other files there stay as they are.
    """
    (directory / "incoming").mkdir(parents=True, exist_ok=True)
    for name, content in SAMPLES.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
