"""The first bytes of the containers that are examined here."""

from __future__ import annotations

BYTES = 16
"""Number of first bytes that identify a container."""

AMR = b"#!AMR"
AU = b".snd"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
CAF = b"caff"
FLAC = b"fLaC"
MATROSKA = bytes.fromhex("1a45dfa3")
MP4_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip"})
OGG = b"OggS"
RIFF = (b"RIFF", b"RF64", b"BW64")
WAVE64 = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")


def is_known(magic: bytes) -> bool:
    """Whether a container begins with these bytes.

    >>> is_known(FLAC + bytes(12)), is_known(b"Dear diary, toda")
    (True, False)
    """
    return (
        magic.startswith((AMR, AU, ASF, CAF, FLAC, MATROSKA, OGG, WAVE64))
        or is_wave(magic)
        or is_aiff(magic)
        or magic[4:8] in MP4_BOXES
    )


def is_wave(magic: bytes) -> bool:
    """Whether it is RIFF, or a 64-bit form of it, that holds WAVE."""
    return magic.startswith(RIFF) and magic[8:12] == b"WAVE"


def is_aiff(magic: bytes) -> bool:
    """Whether it is IFF that holds AIFF."""
    return magic.startswith(b"FORM") and magic[8:12] in (b"AIFF", b"AIFC")
