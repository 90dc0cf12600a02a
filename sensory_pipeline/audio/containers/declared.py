"""What a container says of the sound it holds, and what its structure shows of its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from sensory_pipeline.core.errors import TruncatedAudio

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A place where sound is missing or damaged.

    begin, end: its bytes; what: the fault, in words; lost_s: seconds of sound that were there, None
    where the timestamps around it have to tell.
    """

    begin: int
    end: int
    what: str
    lost_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Each field is empty where the container does not say.

    duration_s: how long it is, without having decoded it; samples: exact number, a channel, at the
    source's rate; md5: of those samples, as integers of `bits` bits, interleaved, little-endian;
    gaps: bytes between or after frames that are no sound, and not to be decoded; damage: in order of
    its bytes; share: how much of its sound is in the file, 0 to 1; sound_end: the byte before which all
    of its sound is, None at its end; end: the byte at which the container ends, None at the end of the
    file; is_followed: whether another is known to begin there; is_chain: whether it is a chain of frames,
    of which the damage tells what is lost; played_s: how long its edit lists play, 0 where it has none.
    """

    duration_s: float | None = None
    samples: int | None = None
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
    """Where the next of a marker is, long enough not to come about by chance; None when there is none."""
    position, kept = file.tell(), b""
    while block := file.read(_BLOCK_BYTES):
        searched = kept + block
        if (found := searched.find(marker)) >= 0:
            return position - len(kept) + found
        position += len(block)
        kept = searched[1 - len(marker) :]
    return None


def truncated(what: str) -> TruncatedAudio:
    """The error, with what to do about it."""
    return TruncatedAudio(f"{what}; get the whole file from where it came from")
