"""What a container says of the sound it holds, and what its structure shows of its state."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.errors import TruncatedAudio


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
    gaps: bytes between or after frames that are no sound; damage: in order of their bytes; share: how
    much of its sound is in the file, 0 to 1; end: the byte at which the container ends, None at the
    end of the file; sound_end: the byte before which all of its sound is, None at its end.
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


def truncated(what: str) -> TruncatedAudio:
    """The error, with what to do about it."""
    return TruncatedAudio(f"{what}; get the whole file from where it came from")
