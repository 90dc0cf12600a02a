"""Edit lists of MP4 (ISO/IEC 14496-12, 8.6.6): what of its sound a track plays, and in which order.

As soon as a file is opened, FFmpeg keeps in memory every packet that an edit plays, as often as it is played:
2,000 edits of a minute each, 50 kB, took 968 MB. So their length is computed before. FFmpeg accepts an edit list
anywhere in the index, so lists are searched by name, and not box by box.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from sensory_pipeline.audio.integrity.declared import CONVERT
from sensory_pipeline.core.errors import UnreadableAudio

_NAMES = re.compile(rb"elst|mvhd|cmvd")
_BLOCK_BYTES = 1 << 20
_TRACKS = 8
"""Number of tracks whose lists may each be as long as the longest."""


def played_s(file: BinaryIO, index: range) -> float:
    """Seconds that the longest edit list plays, or an eighth of all lists if that is more; 0 if there is none.

    Args:
        file: The file.
        index: The bytes of the box `moov`.

    Raises:
        UnreadableAudio: The index is compressed, or lists overlap.
    """
    scales: list[int] = []
    lists: list[int] = []
    left = len(index)
    for name, place in _found(file, index):
        file.seek(place - 4)
        length = int.from_bytes(file.read(4), "big")
        if not 16 <= length <= index.stop - place + 4:
            continue
        if name == b"cmvd":
            raise UnreadableAudio(f"its index is compressed; {CONVERT}")
        file.seek(place + 4)
        if name == b"mvhd":
            scales.append(_timescale(file.read(24)))
            continue
        left -= length
        if left < 0:
            raise UnreadableAudio("its edit lists overlap; check what it is")
        lists.append(_ticks(file.read(length - 8)))
    scale = min((max(1, scale) for scale in scales), default=1)  # as FFmpeg takes 0
    return max(max(lists, default=0), sum(lists) / _TRACKS) / scale


def _found(file: BinaryIO, within: range) -> Iterator[tuple[bytes, int]]:
    """Names of boxes, and where they stand."""
    position = within.start + 4
    while position < within.stop:
        file.seek(position)
        block = file.read(min(_BLOCK_BYTES, within.stop - position))
        for match in _NAMES.finditer(block):
            yield match[0], position + match.start()
        if len(block) < _BLOCK_BYTES:
            return
        position += len(block) - 3


def _timescale(mvhd: bytes) -> int:
    """Ticks per second of the durations in edit lists."""
    return int.from_bytes(mvhd[20:24] if mvhd[:1] == b"\1" else mvhd[12:16], "big")


def _ticks(elst: bytes) -> int:
    """The duration of all entries of a list. Each entry has a duration, a position and a rate."""
    width, size = (8, 20) if elst[:1] == b"\1" else (4, 12)
    count = int.from_bytes(elst[4:8], "big")
    entries = elst[8 : 8 + count * size]
    return sum(int.from_bytes(entries[at : at + width], "big") for at in range(0, len(entries), size))
