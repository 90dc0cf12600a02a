"""Recordings joined from labelled utterances: of many speakers, of two languages, with a partner who is hard to hear.

The truth of each utterance is known, so the words found in the whole can be compared with those found in each utterance
by itself. Orders and pauses are random, from a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.labelled import Recording, Said
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.pcm_file import write_pcm
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform, frames_of
from sensory_pipeline.core.spans import Span

LONG, MIXED, QUIET = "joined, 25 min and more", "two languages", "partner 20 dB down"
_QUIET_GAIN = np.float32(0.1)
_SEED = 14
_PAUSE_S = (0.2, 1.2)
_LONG_RECORDINGS = 2
_TIMES = 2  # each utterance stands in a long recording
_EACH_WAY = 2  # recordings of English and another language
_QUIET_RECORDINGS = 12
_EXCHANGES = 4  # utterances of a recording with a quiet partner
_LONGEST_S = 12 * 3600

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One labelled utterance.

    Attributes:
        text: What is said.
        speaker: Who says it.
        language: ISO 639-1 code.
        samples: 16 kHz mono, full scale 1, shape (samples,).
    """

    text: str
    speaker: str
    language: str
    samples: Samples


def joined(folder: Path, labelled: Sequence[Recording]) -> list[Recording]:
    """Write the recordings into a folder as 16-bit WAV at 16 kHz; the language of each is that of its first utterance.

    Args:
        folder: The folder.
        labelled: Recordings to take utterances from.
    """
    random = np.random.default_rng(_SEED)
    spoken: dict[str, list[Utterance]] = {}
    for recording in labelled:
        for utterance in _alone(recording):
            spoken.setdefault(utterance.language, []).append(utterance)
    english = spoken.pop("en")
    sets: dict[str, list[list[Utterance]]] = {LONG: [], MIXED: [], QUIET: []}
    for _ in range(_LONG_RECORDINGS):
        sets[LONG].append([english[i % len(english)] for i in random.permutation(len(english) * _TIMES)])
    for others in spoken.values():
        for number, other in enumerate(others[:_EACH_WAY]):
            pair = [english[random.integers(len(english))], other]
            sets[MIXED].append(pair if number % 2 == 0 else pair[::-1])
    order = random.permutation(len(english))
    for first in range(0, _QUIET_RECORDINGS * _EXCHANGES, _EXCHANGES):
        loud = [english[i] for i in order[first : first + _EXCHANGES]]
        sets[QUIET].append([_quiet(said) if place % 2 else said for place, said in enumerate(loud)])
    return [
        _written(folder / f"{group}_{number}.wav", group, said, random)
        for group, recordings in sets.items()
        for number, said in enumerate(recordings)
    ]


def utterances(folder: Path, recording: Recording) -> Iterator[Recording]:
    """Write each utterance of a recording into its own file; equal utterances have the same name."""
    samples = decode(recording.file, max_duration_s=_LONGEST_S).pcm.mono()
    for said in recording.utterances:
        heard = f"{said.speaker} {said.text} {round(said.span.duration_s, 2)}"
        name = f"{recording.group}/{sha256(heard.encode()).hexdigest()[:16]}"
        file = folder / f"{name.replace('/', '_')}.wav"
        _write(file, samples[frames_of(said.span)])
        yield Recording(
            name=name,
            file=file,
            group=recording.group,
            duration_s=said.span.duration_s,
            channels=1,
            language=recording.language,
            text=said.text,
        )


def _alone(recording: Recording) -> Iterator[Utterance]:
    """Yield utterances without overlapped speech: recordings of a single utterance, and the sides of calls."""
    if not recording.utterances:
        samples = decode(recording.file, max_duration_s=_LONGEST_S).pcm.mono()
        yield Utterance(text=recording.text, speaker=recording.name, language=recording.language, samples=samples)
    elif recording.channels > 1:
        pcm = decode(recording.file, max_duration_s=_LONGEST_S).pcm
        sides = [pcm.channel(side).mono() for side in range(pcm.channels)]
        for said in recording.utterances:
            heard = (side[frames_of(said.span)] for side in sides)
            samples = max(heard, key=lambda piece: float(np.square(piece).sum()))
            yield Utterance(text=said.text, speaker=said.speaker, language=recording.language, samples=samples)


def _quiet(said: Utterance) -> Utterance:
    return replace(said, samples=said.samples * _QUIET_GAIN)


def _written(file: Path, group: str, said: Sequence[Utterance], random: np.random.Generator) -> Recording:
    pieces: list[Samples] = []
    placed: list[Said] = []
    at = 0
    for utterance in said:
        pause = np.zeros(int(random.uniform(*_PAUSE_S) * SAMPLE_RATE), np.float32)
        pieces += [pause, utterance.samples]
        start = at + pause.size
        at = start + utterance.samples.size
        span = Span.from_seconds(start / SAMPLE_RATE, at / SAMPLE_RATE)
        placed.append(Said(text=utterance.text, span=span, speaker=utterance.speaker))
    _write(file, np.concatenate(pieces))
    return Recording(
        name=f"{group}/{file.stem}",
        file=file,
        group=group,
        duration_s=at / SAMPLE_RATE,
        channels=1,
        language=said[0].language,
        text=" ".join(utterance.text for utterance in said),
        utterances=tuple(placed),
    )


def _write(file: Path, samples: Samples) -> None:
    write_pcm(file, Waveform(samples=(samples.clip(-1, 1) * 32767).astype(np.int16)[None]))
