"""ADTS (ISO/IEC 13818-7; .aac): frames of AAC, one after the other, each with its length."""

from __future__ import annotations

from typing import BinaryIO

from sensory_pipeline.audio.containers import tags
from sensory_pipeline.audio.containers.declared import truncated

_HEADER_BYTES = 7


def examine(file: BinaryIO) -> None:
    """Raises TruncatedAudio when the last frame is cut. What is between frames, FFmpeg reports."""
    size = file.seek(0, 2)
    file.seek(0)
    position = tags.length(file.read(tags.HEADER_BYTES))
    file.seek(position)
    while (header := file.read(_HEADER_BYTES)).startswith(b"\xff"):
        length = max(_HEADER_BYTES, int.from_bytes(header[3:6], "big") >> 5 & 0x1FFF)
        if position + length > size:
            raise truncated(f"cut inside the frame that begins at byte {position} of {size}")
        position += length
        file.seek(position)
