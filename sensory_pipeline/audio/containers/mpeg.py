"""MPEG audio, layers 1 to 3 (ISO/IEC 11172-3 and 13818-3; MP3): frames, one after the other.

A frame's header tells its length, so an undamaged file is an unbroken chain of frames, with tags
around it. FFmpeg skips what is between frames and completes a last one that was cut. The first
frame of layer 3 may be no sound but declare the number of those that follow (Xing, Info, VBRI).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from sensory_pipeline.audio.containers import tags
from sensory_pipeline.audio.containers.declared import Declared, truncated

MISSING_FRAMES_ALLOWED = 1
"""Writers disagree on whether the declaring frame counts itself; a frame is at most 72 ms."""

UNKNOWN_TAIL_ALLOWED_BYTES = 1 << 16
"""Some programs append what is neither a frame nor a tag we know; more than this is lost sound, such
as the zeros of a download that was given its room beforehand and broke off."""

_CHAIN = 4  # frames in a row that noise does not produce
_BLOCK_BYTES = 1 << 16
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
    """length: in bytes; samples: a channel; rate: Hz; side_bytes: between header and Xing's place."""

    length: int
    samples: int
    rate: int
    layer: int
    side_bytes: int

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate

    def goes_with(self, other: Frame) -> bool:
        """Whether both can be of one stream."""
        return (self.rate, self.layer) == (other.rate, other.layer)


@lru_cache(maxsize=1024)
def parse(header: bytes) -> Frame | None:
    """The frame that begins with these four bytes; None when none can, or its length is not told.

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


def examine(file: BinaryIO) -> Declared:
    """Raises TruncatedAudio when frames are missing, are damaged, or the last one is cut."""
    size = file.seek(0, 2)
    start = _first_frame(file, size)
    if start is None:
        return Declared()
    announced, position = _announced(file, start)
    frames, duration_s = 0, 0.0
    last: Frame | None = None
    gaps: list[range] = []
    while position < size:
        head = _read(file, position, tags.HEADER_BYTES)
        frame = parse(head[:_HEADER_BYTES])
        if frame and (last is None or frame.goes_with(last) or _is_chain(file, position, size)):
            if position + frame.length > size:
                raise truncated(f"damaged at {duration_s:.1f} s: its last frame of {frame.length} bytes is cut")
            frames, duration_s, last = frames + 1, duration_s + frame.duration_s, frame
            position += frame.length
        elif tag_length := tags.length(head):
            gaps.append(range(position, position + tag_length))
            position += tag_length
        elif _is_cut_header(head):
            raise truncated(f"damaged at {duration_s:.1f} s: its last frame is cut")
        elif size - position > UNKNOWN_TAIL_ALLOWED_BYTES or _next_chain(file, position, size) is not None:
            raise truncated(f"damaged at {duration_s:.1f} s: what begins at byte {position} of {size} is no frame")
        else:
            gaps.append(range(position, size))
            position = size
    if frames < announced - MISSING_FRAMES_ALLOWED:
        raise truncated(f"damaged at {duration_s:.1f} s: {announced} frames are declared, {frames} are there")
    return Declared(duration_s=duration_s, gaps=tuple(gaps))


def _first_frame(file: BinaryIO, size: int) -> int | None:
    position = 0
    while tag_length := tags.length(_read(file, position, tags.HEADER_BYTES)):
        position += tag_length
    if parse(_read(file, position, _HEADER_BYTES)):
        return position
    return _next_chain(file, position, size)


def _announced(file: BinaryIO, start: int) -> tuple[int, int]:
    """Frames declared by a first frame that is no sound, 0 when it is; and where the sound begins."""
    frame = parse(_read(file, start, _HEADER_BYTES))
    assert frame is not None
    body = _read(file, start, frame.length)
    xing = body[_HEADER_BYTES + frame.side_bytes :]
    if xing.startswith((b"Xing", b"Info")):
        has_count = len(xing) >= 12 and xing[7] & 1
        return int.from_bytes(xing[8:12], "big") if has_count else 0, start + frame.length
    vbri = body[_HEADER_BYTES + 32 :]
    if vbri.startswith(b"VBRI"):
        return int.from_bytes(vbri[14:18], "big"), start + frame.length
    return 0, start


def _next_chain(file: BinaryIO, position: int, size: int) -> int | None:
    """Where the first frames in a row begin, at `position` or after it; None when nowhere."""
    for candidate in _candidates(file, position):
        if _is_chain(file, candidate, size):
            return candidate
    return None


def _candidates(file: BinaryIO, position: int) -> Iterator[int]:
    while len(block := _read(file, position, _BLOCK_BYTES)) >= _HEADER_BYTES:
        for match in _SYNC.finditer(block, 0, len(block) - _HEADER_BYTES + 1):
            yield position + match.start()
        position += len(block) - _HEADER_BYTES + 1


def _is_chain(file: BinaryIO, position: int, size: int) -> bool:
    """Whether frames follow each other from here, as many as noise does not produce or to the end."""
    first = parse(_read(file, position, _HEADER_BYTES))
    frame = first
    for _ in range(_CHAIN):
        if frame is None or first is None or not frame.goes_with(first):
            return False
        position += frame.length
        if position == size:
            return True
        frame = parse(_read(file, position, _HEADER_BYTES))
    return frame is not None and position < size


def _is_cut_header(tail: bytes) -> bool:
    """Whether a frame's first bytes are all that is left of the file."""
    return len(tail) < _HEADER_BYTES and tail[0] == 0xFF and (len(tail) == 1 or tail[1] >= 0xE2)


def _read(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)
