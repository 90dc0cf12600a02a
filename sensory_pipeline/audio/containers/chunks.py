"""Containers made of chunks, an identifier and a length each, one of which holds the sound.

RIFF WAVE and its 64-bit forms RF64 and BW64 (EBU Tech 3306), AIFF, Core Audio Format, Sony Wave64.
The length of the sound's chunk is compared with the file. The length of the whole is not: many
writers get it wrong, and it says nothing of the sound.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from sensory_pipeline.audio.containers.declared import Declared, truncated
from sensory_pipeline.core.errors import EmptyAudio

UNKNOWN_LENGTHS = frozenset({0, 0x7F00_0008, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 2**64 - 1})
"""What FFmpeg, GStreamer, sox, espeak-ng and arecord write into a pipe, where they cannot know. Such
sound goes on to the end of the file."""

_FIXED_SIZE_CODECS = frozenset({1, 3, 6, 7})  # integers, floats, A-law, mu-law
_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """first: where chunks begin; header: identifier and length; sound: the identifier looked for;
    align: chunks begin at multiples of it; inclusive: the length counts the header."""

    first: int
    header: struct.Struct
    sound: bytes
    align: int = 2
    inclusive: bool = False


WAVE = Layout(first=12, header=struct.Struct("<4sI"), sound=b"data")
AIFF = Layout(first=12, header=struct.Struct(">4sI"), sound=b"SSND")
CAF = Layout(first=8, header=struct.Struct(">4sQ"), sound=b"data", align=1)
WAVE64_MARKER = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
WAVE64 = Layout(
    first=40,
    header=struct.Struct("<16sQ"),
    sound=b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a"),
    align=8,
    inclusive=True,
)


def examine(file: BinaryIO, layout: Layout) -> Declared:
    """Raises TruncatedAudio when the file ends inside the sound, or before it; EmptyAudio without any."""
    size = file.seek(0, 2)
    position = layout.first
    length_of_rf64 = None
    fmt: _Format | None = None
    while position + layout.header.size <= size:
        file.seek(position)
        identifier, length = layout.header.unpack(file.read(layout.header.size))
        if layout.inclusive and length not in UNKNOWN_LENGTHS:
            length = max(0, length - layout.header.size)
        body = position + layout.header.size
        if identifier == layout.sound:
            if length == 0xFFFF_FFFF and length_of_rf64 is not None:
                length = length_of_rf64
            return _declared(body, length, size - body, fmt)
        if identifier == b"ds64":
            length_of_rf64 = int.from_bytes(file.read(16)[8:], "little")
        elif identifier == b"fmt ":
            fmt = _Format.parse(file.read(26))
        position = body + length + -length % layout.align
    if position > size:
        raise truncated("the file ends before its sound begins")
    raise EmptyAudio("the file has a header and no sound; record or export it again")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """Of WAVE. block: bytes that are decoded together; bytes_a_second: 0 where blocks vary in length."""

    block: int
    bytes_a_second: int

    @classmethod
    def parse(cls, chunk: bytes) -> _Format | None:
        if len(chunk) < 16:
            return None
        codec, _, rate, _, block = struct.unpack("<HHIIH", chunk[:14])
        if codec == _EXTENSIBLE and len(chunk) == 26:
            codec = int.from_bytes(chunk[24:26], "little")
        return cls(block=block, bytes_a_second=rate * block if codec in _FIXED_SIZE_CODECS else 0)


def _declared(body: int, length: int, available: int, fmt: _Format | None) -> Declared:
    if available == 0:
        raise EmptyAudio("there is a header and no sound after it; record or export it again")
    if length in UNKNOWN_LENGTHS:
        length = available
    if length > available:
        raise truncated(f"it declares {length} bytes of sound, {available} are there")
    if fmt is None:
        return Declared()
    counts_padding = fmt.block > 1 and length % fmt.block == 1  # as sox does
    return Declared(
        duration_s=length / fmt.bytes_a_second if fmt.bytes_a_second else None,
        gaps=(range(body + length - 1, body + length),) if counts_padding else (),
    )
