"""How accurate the product is on labelled real speech, beside the libraries that it uses.

    python -m bench.accuracy FOLDER --json bench/results/accuracy.json

FOLDER holds recordings with an index and labels (labelled.py). Ten minutes without speech and a sentence of J. F.
Kennedy's are processed too. Settings are those of `sensory process`; --whisper and --diarization choose engines. Exits
with 1 if a threshold is missed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from bench.comparison import conditions
from bench.figures import JFK, Scored, figures, in_short, table, verdicts
from bench.hypotheses import HypothesisFile, HypothesisKey
from bench.json_report import write_json
from bench.labelled import Recording, read_labelled
from bench.scoring import score
from bench.speechless import speechless
from bench.systems import LANGUAGES, System, all_systems
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.settings import Settings, cores

PACKAGES = (
    "faster-whisper",
    "ctranslate2",
    "onnxruntime",
    "numpy",
    "meeteval",
    "whisper-normalizer",
    "pyannote.metrics",
)
KENNEDY = Recording(
    name=f"{JFK}/jfk16.wav",
    file=Path(__file__).parents[1] / "sensory_pipeline_tests" / "data" / "gigaam" / "jfk16.wav",
    group=JFK,
    duration_s=11,
    channels=1,
    language="en",
    text="And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country.",
)


def chosen(recordings: Iterable[Recording], *, sets: Sequence[str] | None, limit: int | None) -> list[Recording]:
    """Return the recordings of some sets.

    Args:
        recordings: All recordings.
        sets: The sets; all if None.
        limit: Maximum number of recordings per set and language.
    """
    taken: dict[tuple[str, str], list[Recording]] = {}
    for recording in recordings:
        if sets is None or recording.group in sets:
            taken.setdefault((recording.group, recording.language), []).append(recording)
    return [recording for group in taken.values() for recording in group[:limit]]


def measured(
    systems: Iterable[System], recordings: Sequence[Recording], languages: Sequence[str], hypotheses: HypothesisFile
) -> Iterator[Scored]:
    """Yield the scores of one system after the other, so that only one has its models loaded."""
    for system in systems:
        for language in (language for language in languages if language in system.languages):
            heard = [recording for recording in recordings if system.hears(recording)]
            for recording in track(heard, f"{system.name}, language {language}", console=Console(stderr=True)):
                key = HypothesisKey(system=system.name, language=language, recording=recording.name)
                hypothesis = hypotheses.hypothesis(key, partial(system.hypothesis, recording, language))
                yield Scored(
                    recording=recording, system=system.name, language=language, score=score(recording, hypothesis)
                )


def report(scored: Sequence[Scored], **facts: object) -> dict[str, Any]:
    """Return figures, verdicts and the errors of each recording, for JSON."""
    found = figures(scored)
    return {
        **conditions(PACKAGES),
        **facts,
        "verdicts": [asdict(verdict) for verdict in verdicts(found)],
        "figures": [asdict(figure) for figure in found],
        "recordings": [
            {
                "recording": one.recording.name,
                "system": one.system,
                "language": one.language,
                **{name: [rate.errors, rate.of] for name, rate in one.score.rates.items()},
            }
            for one in scored
        ],
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="labelled recordings")
    parser.add_argument("--whisper", help="model: a name, a hub id or a folder")
    parser.add_argument("--diarization", help="name of the engine")
    parser.add_argument("--sets", nargs="+", help="only recordings of these sets")
    parser.add_argument("--limit", type=int, help="maximum number of recordings per set and language")
    parser.add_argument(
        "--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES, help="whether the language is detected or given"
    )
    parser.add_argument("--systems", nargs="+", help="only systems with these column names")
    parser.add_argument("--answers", type=Path, help="file of stored hypotheses, which are not computed again")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("preprocess").setLevel(logging.ERROR)  # warnings of meeteval about stretched words
    chosen_engines = {"whisper_model_size": arguments.whisper, "diarization": arguments.diarization}
    settings = Settings().model_copy(update={name: value for name, value in chosen_engines.items() if value})
    threads = settings.whisper_cpu_threads or cores()
    console = Console(width=160)
    systems = []
    for system in all_systems(settings, threads=threads):
        if arguments.systems and system.name not in arguments.systems:
            continue
        if lacking := system.lacks():
            console.print(f"{system.name} is skipped: there is no {lacking} here")
        else:
            systems.append(system)
    scored: list[Scored] = []
    with tempfile.TemporaryDirectory() as folder:
        labelled = chosen(read_labelled(arguments.folder), sets=arguments.sets, limit=arguments.limit)
        recordings = [*labelled, *chosen([KENNEDY, *speechless(Path(folder))], sets=arguments.sets, limit=None)]
        choice = engine_choice(settings)
        facts = {
            "whisper": Path(choice.whisper_model_size).name,
            "diarization": choice.diarization,
            "threads": threads,
        }
        for one in measured(systems, recordings, arguments.languages, HypothesisFile(arguments.answers)):
            scored.append(one)
            if arguments.json and one.recording == recordings[-1]:  # it takes an hour and may be interrupted
                write_json(arguments.json, report(scored, **facts))
    found = figures(scored)
    console.print(table(found))
    console.print(table(in_short(found)))
    judged = verdicts(found)
    for verdict in judged:
        verdict.show(console)
    if arguments.json:
        write_json(arguments.json, report(scored, **facts))
    sys.exit(not all(verdict.met for verdict in judged))


if __name__ == "__main__":
    main()
