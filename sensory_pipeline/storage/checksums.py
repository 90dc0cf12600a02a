"""Checksums, by which damage on a disk is noticed: CRC-32, which finds every single flipped bit.

They protect from accidents, not from people: who may write to the lake can write another checksum too.
"""

from __future__ import annotations

import zlib
from pathlib import Path

_PIECE_BYTES = 1 << 20
_FIRST_LINE = b'{"checksum": "%08x",\n'


def checksum(content: bytes) -> int:
    """CRC-32 of these bytes."""
    return zlib.crc32(content)


def checksum_of(path: Path) -> int:
    """CRC-32 of a file, read in pieces: 5 GB a second where it is in memory already."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            value = zlib.crc32(piece, value)
    return value


def sealed(document: str) -> str:
    """A JSON object with a first line that has the checksum of all that follows. document: of at least one field."""
    rest = document.removeprefix("{").strip() + "\n"
    return (_FIRST_LINE % checksum(rest.encode())).decode() + rest


def unsealed(content: bytes) -> bytes:
    """The JSON object that `sealed` was given, or an older file without a checksum as it is.

    Raises ValueError when it is not what was written.
    """
    first, _, rest = content.partition(b"\n")
    if not first.startswith(b'{"checksum": "'):
        return content
    if first + b"\n" != _FIRST_LINE % checksum(rest):
        raise ValueError("its checksum is another")
    return b"{" + rest
