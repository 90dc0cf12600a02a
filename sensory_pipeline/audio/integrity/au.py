"""AU (Sun's .snd): a header with the length of the sound that follows it."""

from __future__ import annotations

from typing import BinaryIO

from sensory_pipeline.audio.integrity.declared import Damage, Declared

_UNKNOWN_LENGTHS = frozenset({0, 0xFFFF_FFFF})


def examine(file: BinaryIO) -> Declared:
    """Where the sound ends, and whether the file ends before it."""
    header = file.read(12)
    begin, length = int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:12], "big")
    size = file.seek(0, 2)
    if length in _UNKNOWN_LENGTHS:
        return Declared()
    if begin + length > size:
        what = f"it declares {length} bytes of sound, {size - begin} are there"
        share = max(0, size - begin) / length
        return Declared(damage=(Damage(begin=size, end=size, what=what),), share=share)
    return Declared(end=begin + length)
