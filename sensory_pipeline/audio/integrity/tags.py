"""Tags written around, or between, the frames of formats that have no place for them.

ID3v2 (id3.org, 2.4.0 section 3), ID3v1 and its extended form, APEv2.
"""

from __future__ import annotations

_ID3V1_BYTES = 128
_ID3V1_EXTENDED_BYTES = 227
_APE_HEADER_BYTES = 32

HEADER_BYTES = 32
"""Number of first bytes from which a tag's length is known."""


def length(header: bytes) -> int:
    """Length in bytes of the tag that begins with `header`; 0 if it is no tag.

    >>> length(b"ID3" + bytes([4, 0, 0, 0, 0, 1, 2]))
    140
    >>> length(b"RIFF....WAVE")
    0
    """
    if header.startswith(b"ID3") and len(header) >= 10:
        body = sum((byte & 0x7F) << shift for byte, shift in zip(header[6:10], (21, 14, 7, 0), strict=True))
        footer = 10 if header[5] & 0x10 else 0
        return 10 + body + footer
    if header.startswith(b"TAG+"):
        return _ID3V1_EXTENDED_BYTES
    if header.startswith(b"TAG"):
        return _ID3V1_BYTES
    if header.startswith(b"APETAGEX") and len(header) >= 24:
        is_footer = not header[23] & 0x20
        return _APE_HEADER_BYTES + (0 if is_footer else int.from_bytes(header[12:16], "little"))
    return 0
