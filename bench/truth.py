"""What is really in a recording: one JSON file beside each sample, `samples/truth/<file>.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Condition = Literal["two speakers", "three speakers", "monologue", "stereo", "telephone", "silence"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrueWord(_Value):
    """A word as written, without punctuation, in seconds from the start of the recording."""

    text: str
    start_s: float
    end_s: float


class TrueTurn(_Value):
    """One speaker, speaking: from the first to the last audible 10 ms; breaths between sentences included.

    text: with punctuation.
    """

    speaker: str
    start_s: float
    end_s: float
    text: str
    words: tuple[TrueWord, ...]


class TrueSpeaker(_Value):
    """voice: of flite; channel: where it is heard, from 0; level_db: against the usual level."""

    voice: str
    channel: int
    level_db: float


class Truth(_Value):
    """All that is known of one sample.

    file: beside the folder `truth`; snr_db: level of speech over the noise around it, None where
    there is neither; turns: in order of time, never overlapping.
    """

    file: str
    condition: Condition
    seed: int
    codec: str
    sample_rate_hz: int
    channels: int
    duration_s: float
    snr_db: float | None
    speakers: dict[str, TrueSpeaker]
    turns: tuple[TrueTurn, ...]


def read_truths(samples: Path) -> list[Truth]:
    """Of every good recording in the folder, by name. Raises FileNotFoundError when there is none."""
    files = sorted((samples / "truth").glob("*.json"))
    if not files:
        raise FileNotFoundError(f"no truth in {samples}: make it with `python -m scripts.make_samples`")
    return [Truth.model_validate_json(file.read_bytes()) for file in files]
