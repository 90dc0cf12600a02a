"""ADTS (ISO/IEC 13818-7; .aac): frames of AAC, one after the other, each with its length."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from sensory_pipeline.audio.integrity import frame_chain
from sensory_pipeline.audio.integrity.declared import Declared

_HEADER_BYTES = 7
_SYNC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)  # Hz


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame.

    Attributes:
        length: Bytes, with the header.
        samples: Samples per channel.
        rate: Hz.
        profile: Which kind of AAC.
    """

    length: int
    samples: int
    rate: int
    profile: int

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate

    @property
    def kind(self) -> tuple[int, ...]:
        return self.rate, self.profile


@lru_cache(maxsize=1024)
def parse(header: bytes) -> Frame | None:
    """The frame that begins with these seven bytes; None if they are no header.

    >>> parse(bytes.fromhex("fff15080021ffc")).length
    16
    """
    if len(header) < _HEADER_BYTES or not _SYNC.match(header):
        return None
    rate, length = header[2] >> 2 & 0b1111, int.from_bytes(header[3:6], "big") >> 5 & 0x1FFF
    if rate >= len(_RATES) or length < _HEADER_BYTES:
        return None
    return Frame(length=length, samples=1024 * ((header[6] & 0b11) + 1), rate=_RATES[rate], profile=header[2] >> 6)


FORM = frame_chain.Format(header_bytes=_HEADER_BYTES, sync=_SYNC, parse=parse)


def examine(file: BinaryIO) -> Declared:
    """Where frames are missing or damaged, or the last one is cut."""
    start = frame_chain.first_frame(file, FORM)
    if start is None:
        return Declared()
    found = frame_chain.walk(file, FORM, start)
    return Declared(
        duration_s=found.duration_s,
        gaps=frame_chain.hidden_start(file, start) + found.gaps,
        damage=found.damage,
        is_chain=True,
    )
