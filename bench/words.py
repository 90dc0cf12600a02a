"""Words found and wrong words, beside the libraries: conversations, long recordings, two languages, quiet voices.

    python -m bench.words FOLDER --json bench/results/words.json

FOLDER holds labelled recordings (labelled.py); more are joined from their utterances (joined.py). "Found" are words of
the truth that the hypothesis has in their place, right or wrong; "wrong" are words that are wrong or were not said. The
product also transcribes each utterance by itself: of the words found there, it must find 97 % in the whole recording,
and nowhere fewer than any other system.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from meeteval.wer.wer import siso_word_error_rate
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.comparison import Verdict, conditions
from bench.hypotheses import HypothesisFile, HypothesisKey
from bench.joined import MIXED, joined, utterances
from bench.json_report import write_json
from bench.labelled import Recording, read_labelled
from bench.normalisation import normalised
from bench.systems import AUTO, OURS, STEREO, STOCK, System, WhisperxWay, all_systems
from sensory_pipeline.engines.stt.whisper_models import resolve
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.settings import Settings, cores

ALONE = "ours, each utterance alone"
LEAST_FOUND = 0.97
_MANY = "xx"  # several languages: normalisation without rules of a language
_PACKAGES = ("faster-whisper", "ctranslate2", "onnxruntime", "numpy", "meeteval", "whisper-normalizer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Counts of words.

    Attributes:
        said: In the truth.
        found: How many of these are in the hypothesis, right or wrong.
        wrong: Words of the hypothesis that are wrong or were not said.
    """

    said: int
    found: int
    wrong: int

    def __add__(self, other: Words) -> Words:
        return Words(said=self.said + other.said, found=self.found + other.found, wrong=self.wrong + other.wrong)

    def __str__(self) -> str:
        return f"{self.found} / {self.wrong}"


def counted(recording: Recording, text: str) -> Words:
    """Count the words of a recording and of what a system heard in it."""
    language = _MANY if recording.group == MIXED else recording.language
    errors = siso_word_error_rate(normalised(recording.text, language), normalised(text, language))
    return Words(
        said=errors.length,
        found=errors.length - errors.deletions,
        wrong=errors.substitutions + errors.insertions,
    )


def verdicts(found: dict[str, dict[str, Words]]) -> list[Verdict]:
    """Check the thresholds, given the counts by set and system."""
    judged = []
    for group, by_system in found.items():
        ours, alone = by_system[OURS].found, by_system[ALONE].found
        judged.append(
            Verdict(
                what=f"{group}: at least {LEAST_FOUND:.0%} of what is found in each utterance alone",
                found=f"{ours} of {alone}, {ours / alone:.1%}",
                met=ours >= LEAST_FOUND * alone,
            )
        )
        others = {name: words.found for name, words in by_system.items() if name not in (OURS, STEREO, ALONE)}
        if others:
            best = max(others, key=lambda name: others[name])
            met = ours >= others[best]
            judged.append(
                Verdict(what=f"{group}: no fewer than {best}", found=f"{ours} against {others[best]}", met=met)
            )
    return judged


def table(found: dict[str, dict[str, Words]]) -> Table:
    """Return a table in Markdown with a row for each set: words found / wrong words."""
    systems = list(dict.fromkeys(name for by_system in found.values() for name in by_system))
    result = Table("recordings", "words said", *systems, box=box.MARKDOWN)
    for group, by_system in found.items():
        said = str(by_system[OURS].said)
        result.add_row(group, said, *(str(by_system[name]) if name in by_system else "" for name in systems))
    return result


def word_counts(
    system: System, name: str, recordings: Iterable[Recording], hypotheses: HypothesisFile
) -> dict[str, Words]:
    """Return a system's counts by set.

    Args:
        system: The system.
        name: Name of its column.
        recordings: The recordings.
        hypotheses: Known hypotheses.
    """
    found: dict[str, Words] = {}
    heard = [recording for recording in recordings if system.hears(recording)]
    for recording in track(heard, name, console=Console(stderr=True)):
        hypothesis = hypotheses.hypothesis(
            HypothesisKey(system=name, language=AUTO, recording=recording.name),
            partial(system.hypothesis, recording, AUTO),
        )
        words = counted(recording, hypothesis.text or "")
        found[recording.group] = words + found[recording.group] if recording.group in found else words
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="labelled recordings")
    parser.add_argument("--whisper", help="model: a name, a hub id or a folder")
    parser.add_argument("--sets", nargs="+", help="only recordings of these sets")
    parser.add_argument("--systems", nargs="+", help="besides the product, only systems with these column names")
    parser.add_argument("--answers", type=Path, help="file of stored hypotheses, which are not computed again")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    settings = Settings()
    if arguments.whisper:
        settings = settings.model_copy(update={"whisper_model_size": arguments.whisper})
    threads = settings.whisper_cpu_threads or cores()
    hypotheses = HypothesisFile(arguments.answers)
    with tempfile.TemporaryDirectory() as folder:
        found = _measured(settings, Path(folder), arguments, threads, hypotheses)
    console = Console(width=160)
    console.print(table(found))
    judged = verdicts(found)
    for verdict in judged:
        verdict.show(console)
    if arguments.json:
        facts = {
            **conditions(_PACKAGES),
            "whisper": Path(engine_choice(settings).whisper_model_size).name,
            "threads": threads,
            "verdicts": [asdict(verdict) for verdict in judged],
            "sets": {group: {name: asdict(words) for name, words in each.items()} for group, each in found.items()},
        }
        write_json(arguments.json, facts)
    sys.exit(not all(verdict.met for verdict in judged))


def _measured(
    settings: Settings, folder: Path, arguments: argparse.Namespace, threads: int, hypotheses: HypothesisFile
) -> dict[str, dict[str, Words]]:
    labelled = read_labelled(arguments.folder)
    conversations = [recording for recording in labelled if recording.utterances]
    whole = [
        recording
        for recording in [*conversations, *joined(folder, labelled)]
        if arguments.sets is None or recording.group in arguments.sets
    ]
    choice = engine_choice(settings)
    model = resolve(choice.whisper_model_size, choice.store).path
    systems: Sequence[System] = [
        system
        for system in [*all_systems(settings, threads=threads), WhisperxWay(model=model, threads=threads)]
        if system.name != STOCK and (not arguments.systems or system.name in (OURS, *arguments.systems))
    ]
    by_system = {system.name: word_counts(system, system.name, whole, hypotheses) for system in systems}
    alone = [piece for recording in whole for piece in utterances(folder, recording)]
    by_system[ALONE] = word_counts(systems[0], ALONE, alone, hypotheses)
    return {
        group: {name: words[group] for name, words in by_system.items() if group in words}
        for group in dict.fromkeys(recording.group for recording in whole)
    }


if __name__ == "__main__":
    main()
