"""What containers declare about their sound, and whether they are complete: one module for each format.

FFmpeg passes over most damage in silence: it takes the end of the file for the end of the sound and leaves
out what it cannot decode. So the structure is examined before decoding, and each damaged place is
reported. The checks are strict about loss and lenient about everything else: tags, padding, lengths that
were not known. Some damage cannot be found, because the format has nothing to check it by: wrong values in PCM, or in
a frame of a codec without checksums (MP3, AAC, Opus outside of Ogg); and the missing end of a live stream, or of
frames that nothing counts (MP3 without a header, ADTS, AMR, Ogg), cut exactly between two of its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from sensory_pipeline.audio.integrity import (
    adts,
    amr,
    asf,
    au,
    chunks,
    flac,
    frame_chain,
    magic,
    matroska,
    mp4,
    mpeg,
    ogg,
)
from sensory_pipeline.audio.integrity.declared import Declared


def examine(file: BinaryIO) -> Declared:
    """What the container, recognised by its first bytes, declares; for an unknown format, nothing.

    Raises:
        TruncatedAudio: None of its sound can be in the file.
        EmptyAudio: It declares that it holds no sound.
    """
    file.seek(0)
    start = file.read(magic.BYTES)
    file.seek(0)
    if magic.is_wave(start):
        return chunks.examine(file, chunks.WAVE)
    if magic.is_aiff(start):
        return chunks.examine(file, chunks.AIFF)
    for marker, examined in _EXAMINED.items():
        if start.startswith(marker):
            return examined(file)
    return mp4.examine(file) if start[4:8] in magic.MP4_BOXES else _chain(file)


def _chain(file: BinaryIO) -> Declared:
    begin = frame_chain.read(file, frame_chain.behind_tags(file), 16)
    is_adts = adts.parse(begin[: adts.FORM.header_bytes]) is not None
    for examined in (adts.examine, mpeg.examine) if is_adts else (mpeg.examine, adts.examine):
        declared = examined(file)
        if declared.is_chain:
            return declared
    return Declared()


_EXAMINED: dict[bytes, Callable[[BinaryIO], Declared]] = {
    magic.AMR: amr.examine,
    magic.ASF: asf.examine,
    magic.AU: au.examine,
    magic.CAF: lambda file: chunks.examine(file, chunks.CAF),
    magic.FLAC: flac.examine,
    magic.MATROSKA: matroska.examine,
    magic.OGG: ogg.examine,
    magic.WAVE64: lambda file: chunks.examine(file, chunks.WAVE64),
}
