"""How right the engines are on recordings of which we know the truth.

    python -m bench.accuracy --samples samples --json accuracy.json

Every good recording goes through `sensory process`; scoring.py says what is measured. Figures marked
`!` are beyond what the project sets itself.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.scoring import Figures, Heard, HeardWord, Score, score, summarise, voice_error_rates
from bench.truth import Condition, Truth, read_truths
from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.spans import Span

MOST_WORD_ERRORS = 0.15
MOST_WORD_ERRORS_TELEPHONE = 0.35
MOST_DIARIZATION_ERRORS = 0.12
LEAST_RIGHT_SPEAKERS = 0.90
ALL_WIDE_BAND = "all wide band"
WIDE_BAND: tuple[Condition, ...] = ("two speakers", "three speakers", "monologue", "stereo")
GROUPS = (*WIDE_BAND, ALL_WIDE_BAND, "telephone", "silence")


def process(file: Path) -> Heard:
    """What `sensory process` finds in the file. Raises CalledProcessError when it fails."""
    command = [str(Path(sys.executable).with_name("sensory")), "process", str(file)]
    command += ["--tasks", "transcribe,diarization", "--language", "en", "--format", "json"]
    return heard(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def heard(result: dict[str, Any]) -> Heard:
    """Reads the JSON of `sensory process`."""
    return Heard(
        words=tuple(
            HeardWord(
                text=word["word"],
                span=Span.from_seconds(word["start"], word["end"]),
                speaker=word["speaker"],
            )
            for segment in result["tra"]["segments"]
            for word in segment["words"]
        ),
        turns=tuple(
            Turn(span=Span.from_seconds(turn["start"], turn["end"]), speaker=turn["speaker"])
            for turn in result["dia"]["turns"]
        ),
    )


def groups(truths: Sequence[Truth], scores: Sequence[Score]) -> dict[str, list[Score]]:
    """The scores of each condition, and of all wide-band ones together."""
    by_group: dict[str, list[Score]] = {name: [] for name in GROUPS}
    for truth, item in zip(truths, scores, strict=True):
        by_group[truth.condition].append(item)
        if truth.condition in WIDE_BAND:
            by_group[ALL_WIDE_BAND].append(item)
    return by_group


def conditions_table(figures: dict[str, Figures]) -> Table:
    """One row a group of recordings."""
    table = Table("condition", title="Against the truth")
    for heading in (
        "recordings",
        "words",
        "wrong",
        "WER",
        "DER, 0.25 s collar",
        "DER",
        "right speaker, of paired",
        "of all",
        "right count",
        "starts off by",
    ):
        table.add_column(heading, justify="right")
    for name, group in figures.items():
        table.add_row(
            name,
            str(group.recordings),
            str(group.words),
            str(group.word_errors),
            _percent(group.wer, at_most=_most_word_errors(name)),
            _percent(group.der_collared, at_most=MOST_DIARIZATION_ERRORS),
            _percent(group.der),
            _percent(group.right_speaker_of_paired, at_least=LEAST_RIGHT_SPEAKERS),
            _percent(group.right_speaker_of_all),
            f"{group.right_speaker_count} of {group.recordings}",
            "-" if group.start_error_ms is None else f"{group.start_error_ms:.0f} ms",
        )
    return table


def voices_table(rates: dict[str, dict[str, float | None]]) -> Table:
    """Word error rates: one row a voice, one column a group."""
    table = Table("voice", title="Word error rate by voice")
    for group in rates:
        table.add_column(group, justify="right")
    for voice in sorted({voice for by_voice in rates.values() for voice in by_voice}):
        table.add_row(
            voice,
            *(_percent(by_voice.get(voice), at_most=_most_word_errors(group)) for group, by_voice in rates.items()),
        )
    return table


def _most_word_errors(group: str) -> float:
    return MOST_WORD_ERRORS_TELEPHONE if group == "telephone" else MOST_WORD_ERRORS


def _percent(rate: float | None, *, at_most: float = math.inf, at_least: float = 0.0) -> str:
    if rate is None:
        return "-"
    return f"{100 * rate:.1f} %" + ("" if at_least <= rate <= at_most else " !")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the engines against the truth of the samples.")
    parser.add_argument("--samples", type=Path, default=Path("samples"), help="recordings and their truth")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    truths = read_truths(arguments.samples)
    scores = [score(truth, process(arguments.samples / truth.file)) for truth in track(truths, "Processing")]
    grouped = groups(truths, scores)
    conditions = {name: summarise(group) for name, group in grouped.items()}
    voices = {name: voice_error_rates(grouped[name]) for name in (ALL_WIDE_BAND, "telephone")}
    console = Console()
    console.print(conditions_table(conditions))
    console.print(voices_table(voices))
    if arguments.json:
        report = {
            "conditions": {name: asdict(figures) for name, figures in conditions.items()},
            "word_error_rate_by_voice": voices,
            "recordings": {truth.file: asdict(summarise([item])) for truth, item in zip(truths, scores, strict=True)},
        }
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
