"""Matroska and WebM (RFC 9559 on RFC 8794): nested elements, each with an identifier and a length.

Lengths of segments and clusters may be unknown, as browsers write them. Then only a cut inside
an element can be found.
"""

from __future__ import annotations

from typing import BinaryIO

from sensory_pipeline.audio.integrity import magic
from sensory_pipeline.audio.integrity.declared import Damage, Declared

_EBML = int.from_bytes(magic.MATROSKA, "big")
_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_INFO = 0x1549A966
_TRACKS = 0x1654AE6B
_OF_SEGMENT = {0x114D9B74, _INFO, _TRACKS, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367}
_OF_CLUSTER = {0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0xAF, 0x5854}
_ANYWHERE = {0xEC, 0xBF}  # Void, CRC-32
_UNKNOWN = -1
_KNOWN = {_EBML, _SEGMENT, _CLUSTER} | _OF_SEGMENT | _OF_CLUSTER | _ANYWHERE
_BLOCK_BYTES = 1 << 16


def examine(file: BinaryIO) -> Declared:
    """Where bytes are no element, or an element continues after the end of the file; and where the container ends."""
    size = file.seek(0, 2)
    position = 0
    end_of_segment = size
    damage: list[Damage] = []
    while position < end_of_segment:
        file.seek(position)
        element, length = _number(file, keep_marker=True), _number(file, keep_marker=False)
        body = file.tell()
        has_children = element in (_SEGMENT, _CLUSTER)
        if element == _EBML and position:  # another file was joined to this one
            return Declared(damage=tuple(damage), end=position)
        if element not in _KNOWN or length is None or (length == _UNKNOWN and not has_children):
            # as FFmpeg does, go on with the next cluster
            after = _next_cluster(file, position + 1, end_of_segment)
            what = f"what begins at byte {position} of {size} is no part of it"
            damage.append(Damage(begin=position, end=after, what=what))
            position = after
            continue
        if body + length > size:
            what = f"cut inside the part that begins at byte {position} of {size}"
            damage.append(Damage(begin=position, end=size, what=what))
            if element != _SEGMENT and not has_children:
                break
        if element == _SEGMENT and length != _UNKNOWN:
            end_of_segment = min(size, body + length)
        position = body if has_children else body + length
    return Declared(damage=tuple(damage), end=end_of_segment if end_of_segment < size else None)


def _next_cluster(file: BinaryIO, position: int, end: int) -> int:
    """Where the next cluster begins; else the end."""
    marker = _CLUSTER.to_bytes(4, "big")
    while position < end:
        file.seek(position)
        block = file.read(_BLOCK_BYTES)
        if (found := block.find(marker)) >= 0:
            return min(end, position + found)
        position += max(1, len(block) - len(marker) + 1)
    return end


def _number(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """A variable-length integer (RFC 8794, 4); None if it is not valid."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    if len(rest) < more:
        return None
    number = int.from_bytes(first + rest, "big")
    if keep_marker:
        return number
    unmarked = number - (1 << 7 * (more + 1))
    return _UNKNOWN if unmarked == (1 << 7 * (more + 1)) - 1 else unmarked
