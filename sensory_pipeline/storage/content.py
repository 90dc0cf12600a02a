"""Whether a file is a recording, judged by its first bytes: for files whose names do not show it."""

from __future__ import annotations

HEAD_BYTES = 64
"""How many of a file's first bytes are needed."""

_PICTURES = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis", b"crx ", b"jp2 ")
"""Brands of photographs, which use the same container as MP4."""

_STARTS = (
    b"fLaC",
    b"OggS",
    b"caff",
    b".snd",
    b"#!AMR",
    b"ID3",
    bytes.fromhex("1a45dfa3"),  # Matroska, WebM
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),  # ASF
    b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000"),  # Wave64
)


def is_sound(head: bytes) -> bool:
    r"""Return whether these are the first bytes of a container with sound, or of MPEG audio or AAC frames.

    >>> is_sound(b"RIFF\x24\x00\x00\x00WAVEfmt "), is_sound(b"RIFF\x24\x00\x00\x00WEBPVP8 ")
    (True, False)
    """
    return (
        head.startswith(_STARTS)
        or (head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE")
        or (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"))
        or (head[4:8] == b"ftyp" and head[8:12] not in _PICTURES)
        or head[4:8] in (b"moov", b"mdat")
        or _is_mpeg_frame(head)
    )


def _is_mpeg_frame(head: bytes) -> bool:
    """Recognise layers 2 and 3, and ADTS; layer 1 begins like UTF-16 text with a byte order mark."""
    if len(head) < 4 or head[0] != 0xFF:
        return False
    if head[1] in (0xF0, 0xF1, 0xF8, 0xF9):  # ADTS
        return (head[2] >> 2 & 0b1111) < 13
    is_layer_2_or_3 = head[1] >= 0xE0 and (head[1] >> 1 & 0b11) in (1, 2) and (head[1] >> 3 & 0b11) != 1
    return is_layer_2_or_3 and 0 < head[2] >> 4 < 15 and (head[2] >> 2 & 0b11) != 3
