"""Crosstalk between the lines of a call: errors in words with crosstalk silenced, and without.

Takes labelled calls of two channels without crosstalk (see labelled.py), up to the end of a sentence after 40 s at
most. Adds crosstalk: each channel to the other at some level, partly with a delay of 5 ms and telephone bandwidth, or
with separate noise on each channel (-70 dB of full scale). `at once` removes the pauses between the sentences of each
side, so that both talk all the time. `one sound` has the mean of both channels on each, on the second one inverted and
3 dB weaker, so that all words belong to one speaker.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

import jiwer
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.signal import butter, sosfilt

from bench.comparison import conditions
from bench.json_report import write_json
from bench.labelled import Recording, Said, read_labelled
from bench.normalisation import normalised
from sensory_pipeline.audio.crosstalk import find_crosstalk, silence
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform, frames_of
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import TranscribeJob, Transcriber
from sensory_pipeline.engines.selection import chosen_engines
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.settings import Settings

LEVELS_DB = (-10, -15, -20, -25, -30)
DELAY_MS = 5
BAND_HZ = (300, 3400)
NOISE_DB = -70
PACKAGES = ("faster-whisper", "ctranslate2", "numpy", "scipy", "jiwer", "whisper-normalizer")

Sound = npt.NDArray[np.float64]
"""Shape (2, frames), full scale 32768."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call and what is said on each channel."""

    sound: Sound
    said: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Errors of a transcript.

    Attributes:
        said: Number of words that were said.
        missing: How many of them are missing.
        wrong: How many of them are wrong.
        added: Number of words that were not said.
    """

    said: int
    missing: int
    wrong: int
    added: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The errors of one condition.

    Attributes:
        condition: Name of the condition.
        as_it_came: Without silencing.
        silenced: With crosstalk silenced.
        silenced_s: Seconds that were silenced, on both channels together.
    """

    condition: str
    as_it_came: Words
    silenced: Words
    silenced_s: float


def calls(recordings: Iterable[Recording], longest_s: float) -> Iterator[tuple[Recording, Sound, list[list[Said]]]]:
    """Yield each call with its sound and each channel's utterances; an utterance belongs to its louder channel."""
    for recording in recordings:
        utterances = [said for said in recording.utterances if said.span.end_s <= longest_s]
        sound = decode(recording.file, channels="keep", max_duration_s=recording.duration_s + 1).pcm.samples
        sides: list[list[Said]] = [[], []]
        for said in utterances:
            loudness = np.square(sound[:, frames_of(said.span)].astype(np.float64)).sum(axis=1)
            sides[int(np.argmax(loudness))].append(said)
        end = max(frames_of(said.span).stop for said in utterances) + SAMPLE_RATE // 4
        yield recording, sound[:, :end].astype(np.float64), sides


def plain(sound: Sound, sides: Sequence[Sequence[Said]]) -> Call:
    """Return a call as it is."""
    one, other = (" ".join(said.text for said in side) for side in sides)
    return Call(sound=sound, said=(one, other))


def at_once(sound: Sound, sides: Sequence[Sequence[Said]]) -> Call:
    """Return a call without pauses between the sentences of each side."""
    spoken = [
        np.concatenate([sound[channel, frames_of(said.span)] for said in side])
        for channel, side in zip((0, 1), sides, strict=True)
    ]
    longest = max(map(len, spoken))
    return plain(np.stack([np.pad(one, (0, longest - len(one))) for one in spoken]), sides)


def one_sound(sound: Sound, sides: Sequence[Sequence[Said]]) -> Call:
    """Return a call with the mean of both channels on each."""
    mixed = sound.mean(axis=0)
    everything = " ".join(said.text for said in sorted((*sides[0], *sides[1]), key=lambda said: said.span))
    return Call(sound=np.stack([mixed, -mixed * 10 ** (-3 / 20)]), said=(everything, ""))


def leaking(call: Call, level_db: float, *, delay_ms: int = 0, band: bool = False) -> Call:
    """Add each channel to the other.

    Args:
        call: The call.
        level_db: Level of the crosstalk.
        delay_ms: Its delay.
        band: Whether it has telephone bandwidth only.
    """
    leaks = call.sound[::-1] * 10 ** (level_db / 20)
    if band:
        leaks = sosfilt(butter(4, BAND_HZ, "bandpass", fs=SAMPLE_RATE, output="sos"), leaks)
    delay = delay_ms * SAMPLE_RATE // 1000
    return Call(sound=call.sound + np.pad(leaks, ((0, 0), (delay, 0)))[:, : call.sound.shape[1]], said=call.said)


def noisy(call: Call) -> Call:
    """Add separate noise to each channel."""
    noise = np.random.default_rng(1).normal(0, 32768 * 10 ** (NOISE_DB / 20), call.sound.shape)
    return Call(sound=call.sound + noise, said=call.said)


def variants(sound: Sound, sides: Sequence[Sequence[Said]]) -> dict[str, Call]:
    """Return the call in each condition, by name."""
    call, both = plain(sound, sides), at_once(sound, sides)
    return {
        "none": call,
        **{f"{level_db} dB": leaking(call, level_db) for level_db in LEVELS_DB},
        **{
            f"{db} dB, {DELAY_MS} ms, telephone band": leaking(call, db, delay_ms=DELAY_MS, band=True)
            for db in (-15, -25)
        },
        **{f"{level_db} dB, noise": noisy(leaking(call, level_db)) for level_db in (-15, -25)},
        "none, at once": both,
        "-15 dB, at once": leaking(both, -15),
        "one sound": one_sound(sound, sides),
    }


def words(transcriber: Transcriber, heard: Mapping[str, tuple[Waveform, tuple[str, str]]]) -> dict[str, Words]:
    """Return the errors of each call, both channels together, each compared with what was said on it."""
    jobs = (
        TranscribeJob(key=f"{name}/{channel}", pcm=pcm.channel(channel), settings=TranscriptionSettings(language="en"))
        for name, (pcm, _) in heard.items()
        for channel in range(pcm.channels)
    )
    texts = {key: normalised(_text(answer), "en") for key, answer in transcriber.transcribe(jobs)}
    found = {}
    for name, (_, said) in heard.items():
        sides = [_compared(normalised(text, "en"), texts[f"{name}/{channel}"]) for channel, text in enumerate(said)]
        found[name] = _summed(sides)
    return found


def measured(transcriber: Transcriber, recordings: Iterable[Recording], longest_s: float) -> tuple[list[Row], float]:
    """Return a row for each condition over all calls, and the CPU seconds for an hour of calls."""
    came: dict[str, tuple[Waveform, tuple[str, str]]] = {}
    silenced: dict[str, tuple[Waveform, tuple[str, str]]] = {}
    lengths_s: dict[str, float] = {}
    cost_s = sound_s = 0.0
    for recording, sound, sides in calls(recordings, longest_s):
        for condition, call in variants(sound, sides).items():
            samples = np.clip(np.round(call.sound), -32768, 32767).astype(np.int16)
            pcm = Waveform(samples=samples.copy())
            began = process_time()
            crosstalk = find_crosstalk(pcm)
            silence(pcm, crosstalk)
            cost_s += process_time() - began
            sound_s += pcm.duration_ms / 1000
            name = f"{condition}/{recording.name}"
            came[name], silenced[name] = (Waveform(samples=samples), call.said), (pcm, call.said)
            lengths_s[name] = sum(span.duration_ms for spans in crosstalk.echoes for span in spans) / 1000
    before = words(transcriber, came)
    after = words(transcriber, silenced)
    rows = []
    for condition in dict.fromkeys(name.partition("/")[0] for name in came):
        names = [name for name in came if name.partition("/")[0] == condition]
        rows.append(
            Row(
                condition=condition,
                as_it_came=_summed(before[name] for name in names),
                silenced=_summed(after[name] for name in names),
                silenced_s=sum(lengths_s[name] for name in names),
            )
        )
    return rows, cost_s / sound_s * 3600


def table(rows: Iterable[Row]) -> Table:
    """Return the rows as a table."""
    shown = Table("crosstalk", "said", "as it came: missing", "wrong", "added", "silenced: missing", "wrong", "added")
    for row in rows:
        counts = [(each.missing, each.wrong, each.added) for each in (row.as_it_came, row.silenced)]
        shown.add_row(row.condition, str(row.silenced.said), *(str(count) for each in counts for count in each))
    return shown


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="labelled recordings")
    parser.add_argument("--seconds", type=float, default=40, help="maximum length of a call")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    recordings = [recording for recording in read_labelled(arguments.folder) if recording.channels == 2]
    choice = engine_choice(Settings(), stereo=True)
    rows, cost_s = measured(chosen_engines(choice).transcriber, recordings, arguments.seconds)
    console = Console(width=140)
    console.print(table(rows))
    console.print(f"An hour of two channels takes {cost_s:.1f} s of a core.")
    if arguments.json:
        report = {
            **conditions(PACKAGES),
            "whisper": Path(choice.whisper_model_size).name,
            "calls": [recording.name for recording in recordings],
            "longest_s": arguments.seconds,
            "cpu_s_per_hour": round(cost_s, 2),
            "rows": [asdict(row) for row in rows],
        }
        write_json(arguments.json, report)


def _compared(said: str, heard: str) -> Words:
    if not said:
        return Words(said=0, missing=0, wrong=0, added=len(heard.split()))
    found = jiwer.process_words(said, heard)
    return Words(said=len(said.split()), missing=found.deletions, wrong=found.substitutions, added=found.insertions)


def _summed(words: Iterable[Words]) -> Words:
    each = list(words)
    return Words(
        said=sum(one.said for one in each),
        missing=sum(one.missing for one in each),
        wrong=sum(one.wrong for one in each),
        added=sum(one.added for one in each),
    )


def _text(answer: Transcript | Terminal) -> str:
    if isinstance(answer, Terminal):
        raise answer
    return answer.text


if __name__ == "__main__":
    main()
