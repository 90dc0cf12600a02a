"""What containers declare of their sound, and whether they are whole: a module for each.

FFmpeg passes most damage silently: it takes the end of the file for the end of the sound and leaves
out what it cannot decode. So the structure is examined before it decodes, and each damaged place is
told. The checks are strict about loss and lenient about everything else: tags, padding, lengths that
were not known. What a format does not carry cannot be checked: other values inside PCM, or inside a
frame of a codec without checksums (MP3, AAC, Opus outside of Ogg); the end of a live stream, or of
frames that nothing counts (MP3 without a header, ADTS, AMR, Ogg), cut exactly between two of its parts.
"""

from __future__ import annotations

from typing import BinaryIO

from sensory_pipeline.audio.containers import asf, au, chunks, flac, matroska, mp4, ogg
from sensory_pipeline.audio.containers.declared import Declared

MAGIC_BYTES = 16
"""So many of a container's first bytes tell which one it is."""


def is_known(magic: bytes) -> bool:
    """Whether a container that is examined here begins with these bytes.

    >>> is_known(b"fLaC\\x00\\x00\\x00\\x22" + bytes(8)), is_known(b"Dear diary, toda")
    (True, False)
    """
    return (
        magic[:4] in (b"fLaC", b"caff", b"OggS", au.MARKER, matroska.MARKER)
        or (magic[:4] in (b"RIFF", b"RF64", b"BW64") and magic[8:12] == b"WAVE")
        or (magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"))
        or magic[4:8] in mp4.FIRST_BOXES
        or magic in (chunks.WAVE64_MARKER, asf.HEADER)
    )


def examine(file: BinaryIO) -> Declared:
    """What the container recognised by its first bytes says; nothing when there is none (MPEG audio).

    Raises TruncatedAudio when none of its sound can be there, EmptyAudio when it says that it holds nothing.
    """
    file.seek(0)
    magic = file.read(MAGIC_BYTES)
    file.seek(0)
    if not is_known(magic):
        return Declared()
    if magic[:4] == b"fLaC":
        return flac.examine(file)
    if magic[8:12] == b"WAVE":
        return chunks.examine(file, chunks.WAVE)
    if magic[:4] == b"FORM":
        return chunks.examine(file, chunks.AIFF)
    if magic[:4] == b"caff":
        return chunks.examine(file, chunks.CAF)
    if magic == chunks.WAVE64_MARKER:
        return chunks.examine(file, chunks.WAVE64)
    if magic[:4] == b"OggS":
        return ogg.examine(file)
    if magic[:4] == matroska.MARKER:
        return matroska.examine(file)
    if magic[:4] == au.MARKER:
        return au.examine(file)
    if magic == asf.HEADER:
        return asf.examine(file)
    return mp4.examine(file)
