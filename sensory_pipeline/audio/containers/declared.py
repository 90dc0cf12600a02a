"""What a container says of the sound it holds."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.errors import TruncatedAudio


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Each field is empty where the container does not say.

    duration_s: how long it is, without having decoded it; samples: exact number, a channel, at the
    source's rate; md5: of those samples, as integers of `bits` bits, interleaved, little-endian;
    numbered: whether each frame says at which sample it begins, so that a missing one shows;
    gaps: bytes between or after frames that are no sound.
    """

    duration_s: float | None = None
    samples: int | None = None
    bits: int | None = None
    md5: bytes | None = None
    numbered: bool = False
    gaps: tuple[range, ...] = ()


def truncated(what: str) -> TruncatedAudio:
    """The error, with what to do about it."""
    return TruncatedAudio(f"{what}; get the whole file from where it came from")
