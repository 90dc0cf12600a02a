"""Ogg (RFC 3533): pages, numbered and with a checksum each; the last of a stream says so.

FFmpeg leaves out a page that is damaged and takes the end of the file for the end of the stream,
both without a word, so every page is checked here.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from sensory_pipeline.audio.containers.declared import truncated

_HEADER = struct.Struct("<4sBBqIIIB")  # marker, version, flags, position, stream, number, CRC, segments
_LAST_PAGE = 0x04
_CHECKSUM = slice(22, 26)
_AUDIO_MARKERS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")
_SEARCHED_BYTES = 1 << 20

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def examine(file: BinaryIO) -> None:
    """Raises TruncatedAudio when a page is missing or damaged, or a stream of sound has no last page."""
    size = file.seek(0, 2)
    file.seek(0)
    position = 0
    numbers: dict[int, int] = {}
    unfinished: set[int] = set()
    while header := file.read(_HEADER.size):
        if len(header) < _HEADER.size or not header.startswith(b"OggS"):
            if unfinished or b"OggS" in file.read(_SEARCHED_BYTES):
                raise truncated(f"damaged or cut at byte {position} of {size}")
            return  # tags after the end
        _, _, flags, _, stream, number, checksum, segments = _HEADER.unpack(header)
        lacing = file.read(segments)
        body = file.read(sum(lacing))
        page = bytearray(header + lacing + body)
        page[_CHECKSUM] = bytes(4)
        if len(body) < sum(lacing) or crc(page) != checksum or number != numbers.get(stream, number):
            raise truncated(f"damaged or cut at byte {position} of {size}")
        numbers[stream] = number + 1
        if body.startswith(_AUDIO_MARKERS):
            unfinished.add(stream)
        if flags & _LAST_PAGE:
            unfinished.discard(stream)
            numbers.pop(stream)
        position += len(page)
    if unfinished:
        raise truncated(
            "its last page is missing, sound goes on after the end of the file; if it is known to be whole, "
            "mark its end with `ffmpeg -i FILE -c copy NEW_FILE`, else"
        )


def crc(page: bytes | bytearray) -> int:
    """Ogg's checksum: zlib's polynomial with the bits the other way round, and no inversion.

    >>> hex(crc(b"123456789"))
    '0x89a1897f'
    """
    reflected = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(reflected.to_bytes(4, "little").translate(_REVERSED_BITS), "big")
