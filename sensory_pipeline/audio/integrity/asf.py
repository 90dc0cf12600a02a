"""ASF and WMA (Microsoft's Advanced Systems Format, 3.2): the header declares the file's length."""

from __future__ import annotations

from typing import BinaryIO

from sensory_pipeline.audio.integrity.declared import Damage, Declared

_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_SEARCHED_BYTES = 1 << 16
_BROADCAST = 0x01


def examine(file: BinaryIO) -> Declared:
    """The declared length, and whether the file is shorter. A live stream declares nothing."""
    size = file.seek(0, 2)
    file.seek(0)
    header = file.read(_SEARCHED_BYTES)
    found = header.find(_FILE_PROPERTIES)
    if found < 0 or len(header) < found + 92 or header[found + 88] & _BROADCAST:
        return Declared()
    declared = int.from_bytes(header[found + 40 : found + 48], "little")
    if declared > size:
        what = f"it declares {declared} bytes, {size} are there"
        played, preroll = (int.from_bytes(header[found + at : found + at + 8], "little") for at in (64, 80))
        duration_s = played / 1e7 - preroll / 1e3
        return Declared(
            duration_s=duration_s if duration_s > 0 else None,
            damage=(Damage(begin=size, end=size, what=what),),
            share=size / declared,
        )
    return Declared(end=declared if declared > found else None)
