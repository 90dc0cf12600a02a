"""MP4, M4A, 3GP and QuickTime (ISO/IEC 14496-12): boxes, whose lengths must fit into the file."""

from __future__ import annotations

from typing import BinaryIO

from sensory_pipeline.audio.integrity import magic
from sensory_pipeline.audio.integrity.declared import Damage, Declared, truncated
from sensory_pipeline.audio.integrity.edits import played_s

_BOXES = magic.MP4_BOXES | {
    b"moof",
    b"mfra",
    b"sidx",
    b"ssix",
    b"uuid",
    b"udta",
    b"meta",
    b"prft",
    b"emsg",
    b"pdin",
}
_INDEXES = frozenset({b"moov", b"moof", b"meta"})


def examine(file: BinaryIO) -> Declared:
    """Whether a box continues after the end of the file, and where another file was joined.

    Raises:
        TruncatedAudio: It has no index, without which its sound cannot be found.
    """
    size = file.seek(0, 2)
    position = 0
    boxes = set()
    damage: list[Damage] = []
    longest_s = 0.0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, box = int.from_bytes(header[:4], "big"), header[4:8]
        if box not in _BOXES or (box == b"ftyp" and b"moov" in boxes):
            break  # players ignore what follows the last box; here it is another file, or reported
        if length == 0:
            length = size - position
        elif length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8 or (length > size - position and box in _INDEXES):
            damage.append(Damage(begin=position, end=size, what=f"its part '{box.decode()}' is cut"))
            position = size
            break
        if length > size - position:
            what = f"its part '{box.decode()}' continues after the end of the file"
            damage.append(Damage(begin=size, end=size, what=what))
        boxes.add(box)
        if box == b"moov":
            longest_s = max(longest_s, played_s(file, range(position, min(size, position + length))))
        position = min(size, position + length)
    if not boxes & _INDEXES:
        why = damage[0].what if damage else "it was never finished"
        raise truncated(f"{why}: it has no index of its sound (moov)")
    return Declared(damage=tuple(damage), end=position if position < size else None, played_s=longest_s)
