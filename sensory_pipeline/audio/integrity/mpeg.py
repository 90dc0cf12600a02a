"""MPEG audio, layers 1 to 3 (ISO/IEC 11172-3 and 13818-3; MP3): frames, one after the other.

The first frame of layer 3 may hold, instead of sound, the number of frames that follow (Xing, Info, VBRI).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from sensory_pipeline.audio.integrity import frame_chain
from sensory_pipeline.audio.integrity.declared import Damage, Declared

MISSING_FRAMES_ALLOWED = 1
"""Writers disagree on whether the declaring frame counts itself; a frame is at most 72 ms."""

_HEADER_BYTES = 4
_SYNC = re.compile(rb"\xff[\xe2-\xff]")

_KBITS_PER_S = {  # by (is MPEG-1, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)  # Hz, of MPEG-1
_RATE_DIVISORS = {0b11: 1, 0b10: 2, 0b00: 4}  # MPEG-1, MPEG-2, MPEG-2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame.

    Attributes:
        length: Bytes, with the header.
        samples: Samples per channel.
        rate: Hz.
        layer: 1 to 3.
        side_bytes: Bytes between the header and the place of Xing.
    """

    length: int
    samples: int
    rate: int
    layer: int
    side_bytes: int

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate

    @property
    def kind(self) -> tuple[int, ...]:
        return self.rate, self.layer


@lru_cache(maxsize=1024)
def parse(header: bytes) -> Frame | None:
    """The frame that begins with these four bytes; None if they are no header, or do not give its length.

    >>> parse(bytes.fromhex("fffb9064")).length
    417
    """
    if len(header) < _HEADER_BYTES or not _SYNC.match(header):
        return None
    version, layer = header[1] >> 3 & 0b11, 4 - (header[1] >> 1 & 0b11)
    kbits, rate = header[2] >> 4, header[2] >> 2 & 0b11
    padding, is_mono = header[2] >> 1 & 1, header[3] >> 6 == 0b11
    if version not in _RATE_DIVISORS or layer == 4 or not 0 < kbits < 15 or rate == 3:
        return None
    is_mpeg1 = version == 0b11
    hertz = _RATES[rate] // _RATE_DIVISORS[version]
    bits_per_s = 1000 * _KBITS_PER_S[is_mpeg1, layer][kbits - 1]
    samples = 384 if layer == 1 else 1152 if is_mpeg1 or layer == 2 else 576
    slot_bytes = 4 if layer == 1 else 1
    return Frame(
        length=(samples // 8 // slot_bytes * bits_per_s // hertz + padding) * slot_bytes,
        samples=samples,
        rate=hertz,
        layer=layer,
        side_bytes=(17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17),
    )


def _declares(head: bytes) -> bool:
    """Whether a frame with these first bytes holds no sound, but declares the frames after it."""
    frame = parse(head[:_HEADER_BYTES])
    if frame is None:
        return False
    xing = head[_HEADER_BYTES + frame.side_bytes :]
    return xing.startswith((b"Xing", b"Info")) or head[_HEADER_BYTES + 32 :].startswith(b"VBRI")


FORM = frame_chain.Format(header_bytes=_HEADER_BYTES, sync=_SYNC, parse=parse, begins=_declares)


def examine(file: BinaryIO) -> Declared:
    """Where frames are missing or damaged, or the last one is cut."""
    start = frame_chain.first_frame(file, FORM)
    if start is None:
        return Declared()
    announced, begin = _announced(file, start)
    found = frame_chain.walk(file, FORM, begin)
    damage = found.damage
    missing = announced - found.frames
    if missing > MISSING_FRAMES_ALLOWED and found.frames:
        # the damage in between is included in them
        lost_s = missing * found.duration_s / found.frames - sum(each.lost_s or 0 for each in damage)
        size = found.end or file.seek(0, 2)
        what = f"{announced} frames are declared, {found.frames} are there"
        damage = (*damage, Damage(begin=size, end=size, what=what, lost_s=max(0.0, lost_s)))
    return Declared(
        duration_s=found.duration_s,
        gaps=frame_chain.hidden_start(file, start) + found.gaps,
        damage=damage,
        end=found.end,
        is_followed=found.end is not None,
        is_chain=True,
    )


def _announced(file: BinaryIO, start: int) -> tuple[int, int]:
    """The number of frames that the first frame declares, 0 if it is sound; and where the sound begins."""
    frame = parse(frame_chain.read(file, start, _HEADER_BYTES))
    assert frame is not None
    body = frame_chain.read(file, start, frame.length)
    xing = body[_HEADER_BYTES + frame.side_bytes :]
    if xing.startswith((b"Xing", b"Info")):
        has_count = len(xing) >= 12 and xing[7] & 1
        return int.from_bytes(xing[8:12], "big") if has_count else 0, start + frame.length
    vbri = body[_HEADER_BYTES + 32 :]
    if vbri.startswith(b"VBRI"):
        return int.from_bytes(vbri[14:18], "big"), start + frame.length
    return 0, start
