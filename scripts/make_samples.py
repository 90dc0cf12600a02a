"""Makes the sample recordings and their truth: `python -m scripts.make_samples --seed 1 --out samples`.

Flite speaks the conversations of sample_sentences.toml. The seed decides who has which voice and level, the pauses, and
the noise; the text is fixed. The same seed gives the same bytes with the same flite and PyAV.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.truth import Condition, TrueSpeaker, TrueTurn, TrueWord, Truth
from scripts.acoustics import Samples, amplitude, audible, pink_noise, rms, telephone
from scripts.encoding import write_audio
from scripts.flite import SAMPLE_RATE, VOICES, Flite, Utterance, Word
from sensory_pipeline.core.errors import ConfigurationError

SPEECH_DB = -24.0
"""Level of speech in dB of full scale (RMS), before a speaker's own difference."""
LEVEL_DB = (-4.0, 2.0)
SNR_DB = (28.0, 38.0)
MARGIN_S = (0.3, 0.6)
"""Before the first turn and after the last."""
TURN_GAP_S = (0.2, 0.9)
BREATH_S = (0.12, 0.30)
"""Between the sentences of a turn."""

SILENCE_S = 5.0
TRUNCATED = {
    "truncated.wav": "doctor_appointment.wav",
    "truncated.flac": "broken_printer.flac",
    "truncated.mp3": "weekend_trip.mp3",
}
KEPT = 0.6
"""Share of the bytes that a truncated file keeps."""


class Script(BaseModel):
    """One recording as written in sample_sentences.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    condition: Condition
    codec: str
    sample_rate_hz: int
    turns: tuple[tuple[str, ...], ...]

    @property
    def speakers(self) -> list[str]:
        return sorted({turn[0] for turn in self.turns})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Performance:
    """A spoken script.

    Attributes:
        samples: Shape (channels, frames), 16 kHz.
        truth: What is said, and when.
    """

    samples: Samples
    truth: Truth


def read_scripts() -> list[Script]:
    """Return every recording that has sentences, in the order written."""
    text = Path(__file__).with_name("sample_sentences.toml").read_text(encoding="utf-8")
    return [Script.model_validate(item) for item in tomllib.loads(text)["recordings"]]


def cast(scripts: list[Script], seed: int) -> Iterator[tuple[Script, dict[str, str]]]:
    """Give each speaker of each script a voice; all voices get about as many parts."""
    rng = np.random.default_rng([seed, 0])
    parts: Counter[str] = Counter()
    for script in scripts:
        least_used = sorted(VOICES, key=lambda voice: (parts[voice], rng.random()))
        voices = dict(zip(script.speakers, least_used, strict=False))
        parts.update(voices.values())
        yield script, voices


def perform(script: Script, voices: dict[str, str], flite: Flite, seed: int) -> Performance:
    """Speak a script; apart from the voices, the random choices depend only on the seed and the file name."""
    rng = np.random.default_rng([seed, *script.file.encode()])
    stereo = script.condition == "stereo"
    speakers = {
        name: TrueSpeaker(voice=voices[name], channel=index if stereo else 0, level_db=round(rng.uniform(*LEVEL_DB), 1))
        for index, name in enumerate(script.speakers)
    }
    spoken = [
        [_trimmed(flite.say(sentence, voice=voices[speaker]), script.condition) for sentence in sentences]
        for speaker, *sentences in script.turns
    ]
    turns, placed = _timed(script, spoken, rng)
    frames = _frames(turns[-1].end_s + rng.uniform(*MARGIN_S))
    snr_db = round(rng.uniform(*SNR_DB), 1)
    samples = np.zeros((2 if stereo else 1, frames))
    for channel in samples:
        noise = _carried(pink_noise(frames, SAMPLE_RATE, rng), script.condition)
        channel += noise * amplitude(SPEECH_DB - snr_db) / rms(noise)
    for name, speaker in speakers.items():
        own = [(first, piece) for who, first, piece in placed if who == name]
        gain = amplitude(SPEECH_DB + speaker.level_db) / rms(np.concatenate([piece for _, piece in own]))
        for first, piece in own:
            samples[speaker.channel, first : first + len(piece)] += gain * piece
    truth = Truth(
        file=script.file,
        condition=script.condition,
        seed=seed,
        codec=script.codec,
        sample_rate_hz=script.sample_rate_hz,
        channels=len(samples),
        duration_s=_seconds(frames),
        snr_db=snr_db,
        speakers=speakers,
        turns=turns,
    )
    return Performance(samples=samples, truth=truth)


def _timed(
    script: Script, spoken: list[list[Utterance]], rng: np.random.Generator
) -> tuple[tuple[TrueTurn, ...], list[tuple[str, int, Samples]]]:
    """Give everything its time: return the turns, and (speaker, first frame, samples) of every sentence."""
    turns, placed = [], []
    cursor = _frames(rng.uniform(*MARGIN_S))
    for (speaker, *sentences), utterances in zip(script.turns, spoken, strict=True):
        start, words = cursor, []
        for utterance in utterances:
            placed.append((speaker, cursor, utterance.samples))
            words += [
                TrueWord(
                    text=word.text,
                    start_s=_seconds(cursor + _frames(word.start_s)),
                    end_s=_seconds(cursor + _frames(word.end_s)),
                )
                for word in utterance.words
            ]
            end = cursor + len(utterance.samples)
            cursor = end + _frames(rng.uniform(*BREATH_S))
        cursor = end + _frames(rng.uniform(*TURN_GAP_S))
        turns.append(
            TrueTurn(
                speaker=speaker,
                start_s=_seconds(start),
                end_s=_seconds(end),
                text=" ".join(sentences),
                words=tuple(words),
            )
        )
    return tuple(turns), placed


def silence(seed: int) -> Performance:
    """Return a recording without any sound."""
    truth = Truth(
        file="silence.wav",
        condition="silence",
        seed=seed,
        codec="pcm_s16le",
        sample_rate_hz=SAMPLE_RATE,
        channels=1,
        duration_s=SILENCE_S,
        snr_db=None,
        speakers={},
        turns=(),
    )
    return Performance(samples=np.zeros((1, _frames(SILENCE_S))), truth=truth)


def encode(performance: Performance, out: Path) -> None:
    """Write the audio file into a folder, and its truth into `truth` there."""
    truth = performance.truth
    pcm = np.round(performance.samples * 32768).clip(-32768, 32767).astype(np.int16)
    write_audio(out / truth.file, pcm, rate_hz=SAMPLE_RATE, codec=truth.codec, encoded_rate_hz=truth.sample_rate_hz)
    truth_file = out / "truth" / f"{truth.file}.json"
    truth_file.parent.mkdir(exist_ok=True)
    truth_file.write_text(truth.model_dump_json(indent=1) + "\n", encoding="utf-8")


def spoil(out: Path) -> None:
    """Write the files that are not what their names say: truncated, of another kind, empty."""
    for name, good in TRUNCATED.items():
        whole = (out / good).read_bytes()
        (out / name).write_bytes(whole[: int(len(whole) * KEPT)])
    (out / "not_audio.wav").write_text("Not a recording, only named like one.\n", encoding="utf-8")
    (out / "empty.wav").write_bytes(b"")


def make(seed: int, out: Path) -> None:
    """Write all samples.

    Args:
        seed: The seed.
        out: Folder to write to.

    Raises:
        ConfigurationError: flite is not installed.
    """
    flite = Flite()
    out.mkdir(parents=True, exist_ok=True)
    for script, voices in cast(read_scripts(), seed):
        encode(perform(script, voices, flite, seed), out)
    encode(silence(seed), out)
    spoil(out)


def _carried(samples: Samples, condition: Condition) -> Samples:
    """Return what arrives at the recorder."""
    return telephone(samples, SAMPLE_RATE) if condition == "telephone" else samples


def _trimmed(utterance: Utterance, condition: Condition) -> Utterance:
    """Return what arrives, from the first to the last audible sound of its words: a telephone removes a final s."""
    offset = _frames(utterance.words[0].start_s)
    voiced = _carried(utterance.samples, condition)[offset : _frames(utterance.words[-1].end_s)]
    heard = audible(voiced, SAMPLE_RATE)
    samples = voiced[heard]
    shift_s, length_s = _seconds(offset + heard.start), _seconds(len(samples))
    words = tuple(
        Word(
            text=word.text,
            start_s=max(0.0, word.start_s - shift_s),
            end_s=min(length_s, word.end_s - shift_s),
        )
        for word in utterance.words
    )
    return Utterance(samples=samples, words=words)


def _frames(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def _seconds(frames: int) -> float:
    return round(frames / SAMPLE_RATE, 4)


def main() -> None:
    """Make the samples."""
    parser = argparse.ArgumentParser(description="Make the sample recordings and their truth.")
    parser.add_argument("--seed", type=int, required=True, help="chooses voices, levels, pauses and noise")
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    arguments = parser.parse_args()
    try:
        make(arguments.seed, arguments.out)
    except ConfigurationError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
