"""Ogg (RFC 3533): pages, each with a number and a checksum.

FFmpeg leaves out a damaged page without reporting it, so every page is checked here. The last page
should be marked as the last. Many recorders never do that, so a missing mark is no damage.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from sensory_pipeline.audio.integrity import magic, tags
from sensory_pipeline.audio.integrity.declared import Damage, Declared

_HEADER = struct.Struct("<4sBBqIIIB")  # marker, version, flags, position, stream, number, CRC, segments
_FIRST_PAGE, _LAST_PAGE = 0x02, 0x04
_CHECKSUM = slice(22, 26)
_BLOCK_BYTES = 1 << 16

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def examine(file: BinaryIO) -> Declared:
    """Where pages are missing or damaged; and where another stream was chained to it."""
    size = file.seek(0, 2)
    position = 0
    numbers: dict[int, int] = {}
    unfinished: set[int] = set()
    has_begun = False
    damage: list[Damage] = []
    while position < size:
        page = _page(file, position)
        if page is None:
            after = _next_page(file, position + 1, size)
            if after == size and (not unfinished or tags.length(_read(file, position))):
                return Declared(damage=tuple(damage), end=position)  # tags after the end
            what = f"what begins at byte {position} of {size} is no whole page"
            damage.append(Damage(begin=position, end=after, what=what))
            position = after
            continue
        _, _, flags, _, stream, number, *_ = _HEADER.unpack(page[: _HEADER.size])
        is_first = bool(flags & _FIRST_PAGE)
        if is_first and has_begun:
            return Declared(damage=tuple(damage), end=position)
        has_begun |= not is_first
        if number != numbers.get(stream, number) and not (damage and damage[-1].end == position):
            what = f"pages are missing before byte {position} of {size}"
            damage.append(Damage(begin=position, end=position, what=what))
        numbers[stream] = number + 1
        if flags & _LAST_PAGE:
            unfinished.discard(stream)
        else:
            unfinished.add(stream)
        position += len(page)
    return Declared(damage=tuple(damage))


def _page(file: BinaryIO, position: int) -> bytes | None:
    """The page that begins there; None if none does, or it is not complete."""
    file.seek(position)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(magic.OGG):
        return None
    lacing = file.read(header[-1])
    body = file.read(sum(lacing))
    page = bytearray(header + lacing + body)
    page[_CHECKSUM] = bytes(4)
    whole = len(lacing) == header[-1] and len(body) == sum(lacing)
    return bytes(page) if whole and crc(page) == int.from_bytes(header[_CHECKSUM], "little") else None


def _next_page(file: BinaryIO, position: int, size: int) -> int:
    """Where the next complete page begins; else the end."""
    while position < size:
        file.seek(position)
        block = file.read(_BLOCK_BYTES)
        found = block.find(magic.OGG)
        while found >= 0:
            if _page(file, position + found) is not None:
                return position + found
            found = block.find(magic.OGG, found + 1)
        position += max(1, len(block) - len(magic.OGG) + 1)
    return size


def _read(file: BinaryIO, position: int) -> bytes:
    file.seek(position)
    return file.read(tags.HEADER_BYTES)


def crc(page: bytes | bytearray) -> int:
    """Ogg's checksum: zlib's polynomial with the order of bits reversed, and no inversion.

    >>> hex(crc(b"123456789"))
    '0x89a1897f'
    """
    reflected = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(reflected.to_bytes(4, "little").translate(_REVERSED_BITS), "big")
