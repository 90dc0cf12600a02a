"""AMR (RFC 4867, 5; .amr): frames of 20 ms, one after the other, each with its length in its first byte."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from sensory_pipeline.audio.integrity import frame_chain, magic
from sensory_pipeline.audio.integrity.declared import Declared, next_marker

_NARROW, _WIDE = b"#!AMR\n", b"#!AMR-WB\n"
_NARROW_BYTES = {0: 12, 1: 13, 2: 15, 3: 17, 4: 19, 5: 20, 6: 26, 7: 31, 8: 5, 15: 0}  # by the frame's type
_WIDE_BYTES = {0: 17, 1: 23, 2: 32, 3: 36, 4: 40, 5: 46, 6: 50, 7: 58, 8: 60, 9: 5, 14: 0, 15: 0}
_SYNC = re.compile(
    rb"[\x00\x04\x08\x0c\x10\x14\x18\x1c\x20\x24\x28\x2c\x30\x34\x38\x3c\x40\x44\x48\x4c\x70\x74\x78\x7c]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of 20 ms.

    Attributes:
        length: Bytes, with the first one.
    """

    length: int

    @property
    def duration_s(self) -> float:
        return 0.02

    @property
    def kind(self) -> tuple[int, ...]:
        return ()


def _parse(lengths: dict[int, int], header: bytes) -> Frame | None:
    if len(header) < 1 or not _SYNC.match(header) or header[0] >> 3 not in lengths:
        return None
    return Frame(length=1 + lengths[header[0] >> 3])


def examine(file: BinaryIO) -> Declared:
    """Where frames are missing or damaged, or the last one is cut; and where another AMR was joined."""
    is_wide = file.read(len(_WIDE)) == _WIDE
    begin = len(_WIDE if is_wide else _NARROW)
    file.seek(begin)
    end = next_marker(file, magic.AMR)
    form = frame_chain.Format(
        header_bytes=1, sync=_SYNC, parse=partial(_parse, _WIDE_BYTES if is_wide else _NARROW_BYTES)
    )
    found = frame_chain.walk(file, form, begin, end)
    return Declared(duration_s=found.duration_s, gaps=found.gaps, damage=found.damage, end=end, is_chain=True)
