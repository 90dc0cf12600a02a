"""Containers made of chunks, each with an identifier and a length; one of the chunks holds the sound.

RIFF WAVE and its 64-bit forms RF64 and BW64 (EBU Tech 3306), AIFF, Core Audio Format, Sony Wave64.
The length of the sound's chunk is compared with the file. The length of the whole is not: many
writers get it wrong, and it says nothing about the sound. After the sound, only chunks or another
file may follow; anything else is sound too.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from sensory_pipeline.audio.integrity import magic, tags
from sensory_pipeline.audio.integrity.declared import Damage, Declared, truncated
from sensory_pipeline.core.errors import EmptyAudio

_UNKNOWN_LENGTHS = frozenset({0, 0x7F00_0008, 0x8000_0000, 2**64 - 1})
_HEADERS_BYTES = 1 << 16
"""Lengths written to a pipe, where the real one is unknown: these, or the largest number of 31 or 32 bits, sometimes
minus the bytes before the sound. Such sound continues to the end of the file."""

_ENDING_BYTES = 1 << 12
"""Sound with a declared end this near to the end of the file ends there; some program's note follows."""

_FIXED_SIZE_CODECS = frozenset({1, 3, 6, 7})  # integers, floats, A-law, mu-law
_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a format arranges its chunks.

    Attributes:
        first: The byte at which chunks begin.
        header: Identifier and length.
        sound: The identifier of the chunk with the sound.
        align: Chunks begin at multiples of this many bytes.
        inclusive: Whether the length includes the header.
    """

    first: int
    header: struct.Struct
    sound: bytes
    align: int = 2
    inclusive: bool = False


WAVE = Layout(first=12, header=struct.Struct("<4sI"), sound=b"data")
AIFF = Layout(first=12, header=struct.Struct(">4sI"), sound=b"SSND")
CAF = Layout(first=8, header=struct.Struct(">4sQ"), sound=b"data", align=1)
WAVE64 = Layout(
    first=40,
    header=struct.Struct("<16sQ"),
    sound=b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a"),
    align=8,
    inclusive=True,
)


def examine(file: BinaryIO, layout: Layout) -> Declared:
    """Where the sound ends, and whether the file ends before it.

    Raises:
        TruncatedAudio: The file ends before the sound begins.
        EmptyAudio: There is no sound.
    """
    size = file.seek(0, 2)
    position = layout.first
    length_of_rf64 = None
    fmt: _Format | None = None
    while position + layout.header.size <= size:
        file.seek(position)
        identifier, length = layout.header.unpack(file.read(layout.header.size))
        if layout.inclusive and length not in _UNKNOWN_LENGTHS:
            length = max(0, length - layout.header.size)
        body = position + layout.header.size
        if identifier == layout.sound:
            if length == 0xFFFF_FFFF and length_of_rf64 is not None:
                length = length_of_rf64
            if body == size:
                raise EmptyAudio("there is a header and no sound after it; record or export it again")
            return _declared(file, layout, body, length, fmt)
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
    """The format chunk of WAVE. Blocks are bytes decoded together; `bytes_a_second` is 0 if blocks vary in length."""

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


def _is_unknown(length: int) -> bool:
    """Whether a writer puts this length if it cannot know the real one."""
    return length in _UNKNOWN_LENGTHS or any(0 < limit - length <= _HEADERS_BYTES for limit in (1 << 31, 1 << 32))


def _declared(file: BinaryIO, layout: Layout, body: int, length: int, fmt: _Format | None) -> Declared:
    size = file.seek(0, 2)
    if _is_unknown(length):
        length = size - body
    end = _end_of_chunks(file, layout, body + length, size)
    if fmt is not None and end == body + length and _goes_on(file, end, size, fmt):
        # its length was never updated, or does not fit into 32 bits
        length, end = size - body, size
    bytes_a_second = fmt.bytes_a_second if fmt else 0
    duration_s = length / bytes_a_second if bytes_a_second else None
    available = size - body
    if length > available:
        what = f"it declares {length} bytes of sound, {available} are there"
        damage = Damage(begin=size, end=size, what=what)
        return Declared(duration_s=duration_s, damage=(damage,), share=available / length)
    counts_padding = fmt is not None and fmt.block > 1 and length % fmt.block == 1  # as sox does
    return Declared(duration_s=duration_s, sound_end=body + length - counts_padding, end=end)


def _end_of_chunks(file: BinaryIO, layout: Layout, position: int, size: int) -> int:
    """Where the chunks after the sound end: before bytes that are no chunk, or before another file."""
    while True:
        padded = position + -position % layout.align if layout.align == 2 else position
        if padded + layout.header.size > size:  # far behind it if a length is invalid
            return size
        file.seek(padded)
        header = file.read(layout.header.size)
        identifier, length = layout.header.unpack(header)
        follows = padded + layout.header.size + length
        is_another = _is_another(file, padded)
        if is_another or follows > size + 1 or not all(0x20 <= byte <= 0x7E for byte in identifier[:4]):
            return min(position if not is_another else padded, size)
        position = follows


def _goes_on(file: BinaryIO, end: int, size: int, fmt: _Format) -> bool:
    """Whether sound follows after its declared end."""
    return size - end > max(_ENDING_BYTES, fmt.bytes_a_second // 4) and not _is_another(file, end)


def _is_another(file: BinaryIO, position: int) -> bool:
    """Whether another container begins there, or a tag before one."""
    file.seek(position)
    start = file.read(tags.HEADER_BYTES)
    return magic.is_known(start[: magic.BYTES]) or tags.length(start) > 0
