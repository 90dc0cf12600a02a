"""The truth about a sample: one JSON file for each, `samples/truth/<file>.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Condition = Literal["two speakers", "three speakers", "monologue", "stereo", "telephone", "silence"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrueWord(_Value):
    """A word as written, without punctuation; times are seconds from the start of the recording."""

    text: str
    start_s: float
    end_s: float


class TrueTurn(_Value):
    """A turn, from the first to the last audible 10 ms; breaths between sentences are included.

    Attributes:
        speaker: Who speaks.
        start_s: Start in seconds.
        end_s: End in seconds.
        text: With punctuation.
        words: The words.
    """

    speaker: str
    start_s: float
    end_s: float
    text: str
    words: tuple[TrueWord, ...]


class TrueSpeaker(_Value):
    """A speaker.

    Attributes:
        voice: Voice of flite.
        channel: Channel of the speaker, from 0.
        level_db: Level relative to the usual one.
    """

    voice: str
    channel: int
    level_db: float


class Truth(_Value):
    """Everything that is known about a sample.

    Attributes:
        file: Its name, in the folder above `truth`.
        condition: What kind of sample it is.
        seed: Seed it was made from.
        codec: Codec of the file.
        sample_rate_hz: Sample rate of the file.
        channels: Number of channels.
        duration_s: Length in seconds.
        snr_db: Level of speech over the background noise; None if there is neither.
        speakers: By label.
        turns: In order of time, never overlapping.
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
    """Return the truth about every good recording in the folder, by name.

    Raises:
        FileNotFoundError: There is none.
    """
    files = sorted((samples / "truth").glob("*.json"))
    if not files:
        raise FileNotFoundError(f"no truth in {samples}: make it with `python -m scripts.make_samples`")
    return [Truth.model_validate_json(file.read_bytes()) for file in files]
