"""What a container declares about its sound, and what its structure shows of its condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from sensory_pipeline.core.errors import TruncatedAudio

CONVERT = "convert it to wav, flac, mp3, ogg, m4a or webm"
"""What to do about a recording that cannot be decoded."""

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A place where sound is missing or damaged.

    Attributes:
        begin: Its first byte.
        end: The byte after it.
        what: The fault, in words.
        lost_s: Seconds of sound lost; None if only the timestamps around it can show that.
    """

    begin: int
    end: int
    what: str
    lost_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a container declares. Each field is empty if the container does not say.

    Attributes:
        duration_s: Length in seconds, known without decoding.
        bits: Bits of a sample, for `md5`.
        md5: Digest of the samples as integers of `bits` bits, interleaved, little-endian.
        gaps: Bytes between or after frames that are no sound, and must not be decoded.
        damage: In order of bytes.
        share: Share of the declared sound that is in the file, 0 to 1.
        sound_end: The byte at which its sound ends; None for the end of the container.
        end: The byte at which the container ends; None for the end of the file.
        is_followed: Whether another container is known to begin there.
        is_chain: Whether it is a chain of frames, whose damage says how much is lost.
        played_s: Seconds that its edit lists play; 0 if it has none.
    """

    duration_s: float | None = None
    bits: int | None = None
    md5: bytes | None = None
    gaps: tuple[range, ...] = ()
    damage: tuple[Damage, ...] = ()
    share: float = 1.0
    sound_end: int | None = None
    end: int | None = None
    is_followed: bool = False
    is_chain: bool = False
    played_s: float = 0.0


def next_marker(file: BinaryIO, marker: bytes) -> int | None:
    """Where a marker occurs next; None if it does not. The marker must be too long to occur by chance."""
    position, kept = file.tell(), b""
    while block := file.read(_BLOCK_BYTES):
        searched = kept + block
        if (found := searched.find(marker)) >= 0:
            return position - len(kept) + found
        position += len(block)
        kept = searched[1 - len(marker) :]
    return None


def truncated(what: str) -> TruncatedAudio:
    """The error for a cut file, with what to do about it."""
    return TruncatedAudio(f"{what}; get the whole file from where it came from")
