"""Edit lists of MP4 (ISO/IEC 14496-12, 8.6.6): what of its sound a track plays, and in which order.

FFmpeg keeps every packet that any of them plays in memory, as often as they play it, from the moment a file
is opened: 2,000 edits of a minute each, 50 kB, took 968 MB. So their length is known before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_ENTRY_BYTES = {0: 12, 1: 20}
"""By version: duration, place and rate."""


def played_s(file: BinaryIO, moov: range) -> float:
    """Seconds that the longest edit list of an index plays; 0 where there is none. moov: its bytes behind its head."""
    scale = 0
    longest = 0
    for box, body in _boxes(file, moov):
        if box == b"mvhd":
            scale = _timescale(file, body)
        elif box == b"trak":
            longest = max(longest, *(_ticks(file, elst) for elst in _edit_lists(file, body)), 0)
    return longest / scale if scale else 0.0


def _edit_lists(file: BinaryIO, trak: range) -> Iterator[range]:
    for box, body in _boxes(file, trak):
        if box == b"edts":
            yield from (inner for name, inner in _boxes(file, body) if name == b"elst")


def _boxes(file: BinaryIO, within: range) -> Iterator[tuple[bytes, range]]:
    position = within.start
    while position + 8 <= within.stop:
        file.seek(position)
        header = file.read(16)
        length, head = int.from_bytes(header[:4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(header[8:16], "big"), 16
        if length == 0:
            length = within.stop - position
        if length < head:
            return
        yield header[4:8], range(position + head, min(position + length, within.stop))
        position += length


def _timescale(file: BinaryIO, mvhd: range) -> int:
    """Ticks a second, of the durations in edit lists."""
    file.seek(mvhd.start)
    body = file.read(24)
    return int.from_bytes(body[20:24] if body[:1] == b"\1" else body[12:16], "big")


def _ticks(file: BinaryIO, elst: range) -> int:
    file.seek(elst.start)
    head = file.read(8)
    size = _ENTRY_BYTES.get(head[0] if head else 0, 12)
    count = min(int.from_bytes(head[4:8], "big"), max(0, len(elst) - 8) // size)
    entries = file.read(count * size)
    width = 8 if size == 20 else 4
    return sum(int.from_bytes(entries[at : at + width], "big") for at in range(0, len(entries), size))
