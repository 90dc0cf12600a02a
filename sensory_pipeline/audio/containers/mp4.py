"""MP4, M4A, 3GP and QuickTime (ISO/IEC 14496-12): boxes, whose lengths must fit into the file."""

from __future__ import annotations

from typing import BinaryIO

from sensory_pipeline.audio.containers.declared import truncated

FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip"})
_BOXES = FIRST_BOXES | {
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


def examine(file: BinaryIO) -> None:
    """Raises TruncatedAudio when a box goes on after the end of the file, or no index was written."""
    size = file.seek(0, 2)
    position = 0
    boxes = set()
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, box = int.from_bytes(header[:4], "big"), header[4:8]
        if box not in _BOXES:
            break  # what follows the last box, players ignore
        if length == 0:
            length = size - position
        elif length == 1:
            length = int.from_bytes(header[8:16], "big")
        if not 8 <= length <= size - position:
            raise truncated(f"its part '{box.decode()}' goes on after the end of the file")
        boxes.add(box)
        position += length
    if not boxes & _INDEXES:
        raise truncated("it was never finished: it has no index of its sound (moov)")
