"""How much silence Whisper needs after a clip: wrong words and CPU seconds.

    python -m bench.windows FOLDER --json bench/results/windows.json

FOLDER holds labelled recordings (labelled.py). Those of a single utterance are transcribed, each in its language, with
SENSORY_WINDOW_PADDING_S from none (the whole window, as in faster-whisper) to a few seconds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from meeteval.wer.wer import siso_word_error_rate
from rich import box
from rich.console import Console
from rich.table import Table

from bench.comparison import conditions
from bench.json_report import write_json
from bench.labelled import Recording, read_labelled
from bench.normalisation import normalised
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.catalogue.store import HOME
from sensory_pipeline.engines.devices import CPU, ComputeType
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber

PADDINGS_S = (None, 30, 15, 10, 7, 5, 2)
_PACKAGES = ("faster-whisper", "ctranslate2", "numpy", "meeteval", "whisper-normalizer")


def measured(
    engine: WhisperTranscriber, recordings: Sequence[Recording], padding_s: float | None
) -> dict[str, float | None]:
    """Return the WER of English and of all languages in per cent, and CPU seconds."""
    errors = {"English": [0, 0], "all": [0, 0]}
    by_name = {recording.name: recording for recording in recordings}
    jobs = [
        TranscribeJob(
            key=recording.name,
            pcm=decode(recording.file, max_duration_s=60).pcm,
            settings=TranscriptionSettings(language=recording.language, window_padding_s=padding_s),
        )
        for recording in recordings
    ]
    began = time.process_time()
    answers = dict(engine.transcribe(jobs))
    cpu_s = time.process_time() - began
    for name, answer in answers.items():
        if isinstance(answer, Exception):
            raise answer
        recording = by_name[name]
        language = recording.language
        found = siso_word_error_rate(normalised(recording.text, language), normalised(answer.text, language))
        for group in ("English", "all") if language == "en" else ("all",):
            errors[group][0] += found.errors
            errors[group][1] += found.length
    return {
        "padding_s": padding_s,
        **{group: round(100 * wrong / of, 2) for group, (wrong, of) in errors.items()},
        "cpu_s": round(cpu_s, 1),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="labelled recordings")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    recordings = [recording for recording in read_labelled(arguments.folder) if not recording.utterances]
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = WhisperTranscriber(
            str(HOME.verified("whisper-base")), device=CPU, compute_type=ComputeType.INT8, cache=cache, cpu_threads=2
        )
        rows = [measured(engine, recordings, padding_s) for padding_s in PADDINGS_S]
    table = Table("silence behind a clip, s", "WER, English", "WER, all languages", "CPU s", box=box.MARKDOWN)
    for row in rows:
        shown = ("none: faster-whisper's window" if row["padding_s"] is None else f"{row['padding_s']:.0f}",)
        table.add_row(*shown, *(str(row[name]) for name in ("English", "all", "cpu_s")))
    Console(width=120).print(table)
    if arguments.json:
        facts = {**conditions(_PACKAGES), "whisper": "base", "recordings": len(recordings), "rows": rows}
        write_json(arguments.json, facts)


if __name__ == "__main__":
    main()
