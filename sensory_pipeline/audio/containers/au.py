"""AU (Sun's .snd): a header with the length of the sound that follows it."""

from __future__ import annotations

from typing import BinaryIO

from sensory_pipeline.audio.containers.declared import truncated

MARKER = b".snd"
_UNKNOWN_LENGTHS = frozenset({0, 0xFFFF_FFFF})


def examine(file: BinaryIO) -> None:
    """Raises TruncatedAudio when the file ends before its sound does."""
    header = file.read(12)
    begin, length = int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:12], "big")
    available = file.seek(0, 2) - begin
    if length not in _UNKNOWN_LENGTHS and length > available:
        raise truncated(f"it declares {length} bytes of sound, {available} are there")
