"""What containers declare of their sound, and whether they are whole: a module for each.

FFmpeg passes most damage silently: it takes the end of the file for the end of the sound and
leaves out what it cannot decode. So the structure is checked before it decodes. The checks are
strict about loss and lenient about everything else: tags, padding, lengths that were not known.
What a format does not carry cannot be checked: other values inside PCM, or inside a frame of a codec
without checksums (MP3, AAC, Opus outside of Ogg); the end of a live stream, or of frames that
nothing counts (MP3 without a header, ADTS, AMR), cut exactly between two of its parts.
"""

from __future__ import annotations

from typing import BinaryIO

from sensory_pipeline.audio.containers import asf, au, chunks, flac, matroska, mp4, ogg, tags
from sensory_pipeline.audio.containers.declared import Declared


def examine(file: BinaryIO) -> Declared:
    """What the container recognised by its first bytes says; nothing when there is none (MPEG audio).

    Raises TruncatedAudio when it is not whole, EmptyAudio when it says that it holds nothing.
    """
    start = tags.length(file.read(tags.HEADER_BYTES))
    file.seek(start)
    magic = file.read(16)
    file.seek(start)
    if magic[:4] == b"fLaC":
        return flac.examine(file)
    if magic[:4] in (b"RIFF", b"RF64", b"BW64") and magic[8:12] == b"WAVE":
        return chunks.examine(file, chunks.WAVE)
    if magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"):
        return chunks.examine(file, chunks.AIFF)
    if magic[:4] == b"caff":
        return chunks.examine(file, chunks.CAF)
    if magic == chunks.WAVE64_MARKER:
        return chunks.examine(file, chunks.WAVE64)
    if magic[:4] == b"OggS":
        ogg.examine(file)
    elif magic[4:8] in mp4.FIRST_BOXES:
        mp4.examine(file)
    elif int.from_bytes(magic[:4], "big") == matroska.EBML:
        matroska.examine(file)
    elif magic[:4] == au.MARKER:
        au.examine(file)
    elif magic == asf.HEADER:
        asf.examine(file)
    return Declared()
