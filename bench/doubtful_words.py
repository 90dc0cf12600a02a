"""Whether words marked as doubtful are wrong, and which wrong words are not marked.

    python -m bench.doubtful_words FOLDER --json bench/results/doubtful_words.json

FOLDER holds recordings with an index and labels (labelled.py). Each is transcribed by the settings' Whisper, with its
language detected, and diarized. Words that are not in the true transcript are wrong. Everything is also played
backwards, where all words are wrong.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.accuracy import chosen
from bench.comparison import conditions
from bench.json_report import write_json
from bench.labelled import Recording, read_labelled
from bench.normalisation import normalised
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.process_request import DiarizationSettings, TranscriptionSettings
from sensory_pipeline.core.results import attributed
from sensory_pipeline.core.utterances import AttributedWord
from sensory_pipeline.engines.base import DiarizeJob, TranscribeJob
from sensory_pipeline.engines.selection import Engines, chosen_engines
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.settings import Settings

BACKWARDS = "backwards"
TRANSCRIPTION = TranscriptionSettings(temperatures=(0.0,))
"""Without random sampling."""


def heard(engines: Engines, pcm: Waveform) -> tuple[AttributedWord, ...]:
    """Return the words that the engines find."""
    ((_, transcript),) = engines.transcriber.transcribe([TranscribeJob(key="", pcm=pcm, settings=TRANSCRIPTION)])
    ((_, diarization),) = engines.diarizer.diarize([DiarizeJob(key="", pcm=pcm, settings=DiarizationSettings())])
    if isinstance(transcript, Exception) or isinstance(diarization, Exception):
        raise SystemExit(f"an engine failed: {transcript}, {diarization}")
    return attributed(transcript, diarization)


def right(words: Sequence[AttributedWord], truth: str, language: str) -> list[bool | None]:
    """Return whether each word is correct; None for words that normalisation removes, such as "um"."""
    parts = [normalised(word.word.text, language).split() for word in words]
    owners = [index for index, part in enumerate(parts) for _ in part]
    said, spoken = normalised(truth, language), " ".join(part for own in parts for part in own)
    found: list[bool | None] = [False if part else None for part in parts]
    if said and spoken:
        (chunks,) = jiwer.process_words(said, spoken).alignments
        for chunk in chunks:
            if chunk.type == "equal":
                for index in owners[chunk.hyp_start_idx : chunk.hyp_end_idx]:
                    found[index] = True
    return found


def table(counts: dict[str, Counter[tuple[bool, bool]]]) -> Table:
    """Return a table.

    Args:
        counts: For each set, the number of words by whether they are correct and whether they are doubtful.
    """
    shown = Table(
        "set", "words", "wrong", "doubtful", "of these wrong", "of the wrong doubtful", "of the right doubtful"
    )
    for name, count in counts.items():
        doubtful, wrong = (count[True, True] + count[False, True], count[False, True] + count[False, False])
        shares = (
            (count[False, True], doubtful),
            (count[False, True], wrong),
            (count[True, True], count.total() - wrong),
        )
        percents = (f"{100 * part / whole:.1f} %" if whole else "" for part, whole in shares)
        shown.add_row(name, str(count.total()), str(wrong), str(doubtful), *percents)
    return shown


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="labelled recordings")
    parser.add_argument("--sets", nargs="+", help="only recordings of these sets")
    parser.add_argument("--limit", type=int, help="maximum number of recordings per set and language")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    recordings = chosen(read_labelled(arguments.folder), sets=arguments.sets, limit=arguments.limit)
    engines = chosen_engines(engine_choice(Settings()))
    counts: dict[str, Counter[tuple[bool, bool]]] = {}
    console = Console(width=120)
    for recording in track(recordings, "listening", console=Console(stderr=True)):
        pcm = decode(recording.file, max_duration_s=3600).pcm
        backwards = Waveform(samples=np.ascontiguousarray(pcm.samples[:, ::-1]))
        for name, sound, truth in ((_set(recording), pcm, recording.text), (BACKWARDS, backwards, "")):
            words = heard(engines, sound)
            verdicts = zip(right(words, truth, recording.language), words, strict=True)
            counts.setdefault(name, Counter()).update(
                (correct, word.doubtful) for correct, word in verdicts if correct is not None
            )
    console.print(table(counts))
    if arguments.json:
        figures = {
            name: [
                {"right": correct, "doubtful": doubtful, "words": words}
                for (correct, doubtful), words in sorted(count.items())
            ]
            for name, count in counts.items()
        }
        facts = {**conditions(("faster-whisper", "ctranslate2", "onnxruntime", "jiwer")), "sets": figures}
        write_json(arguments.json, facts)


def _set(recording: Recording) -> str:
    return recording.group if recording.language == "en" else f"{recording.group}, not English"


if __name__ == "__main__":
    main()
