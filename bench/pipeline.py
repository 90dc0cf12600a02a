"""The whole chain, from files to tables, beside a plain script that runs the same libraries file by file.

    python -m bench.pipeline --models models --json bench/results/pipeline.json --picture bench/results/timeline.png

Our chain is that of `sensory ingest`: a real lake, a real Dagster instance, engine processes. Both keep their models
loaded and use a GPU if there is one. Then our chain processes 200 short recordings alone, to measure everything around
the engines. Exits with 1 if a threshold is missed.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console

from bench.comparison import ROUNDS, Comparison, Limit, Verdict, benchmark, save
from bench.models import TOKENS, Models, prepared
from bench.plain_script import PlainScript
from bench.processes import Orchestration, orchestration
from bench.recordings import recordings
from bench.transcription import PLAIN
from sensory_pipeline.audio.pcm_file import write_pcm
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.registration import register
from sensory_pipeline.automation.run_pending import run_pending
from sensory_pipeline.definitions import build
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect, query
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.processing.setup import runner
from sensory_pipeline.settings import Settings, cores

PACKAGES = ("dagster", "faster-whisper", "ctranslate2", "pyannote.audio", "torch", "numpy")
MOST_ORCHESTRATION = 0.05
"""Of the wall time."""
SCRIPT, OURS = "plain script, file by file", "sensory ingest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A lake and what works on it.

    Attributes:
        lake: The lake.
        engines: The engines.
        instance: Dagster's instance.
        job: Dagster's job.
    """

    lake: Lake
    engines: Runner
    instance: dg.DagsterInstance
    job: dg.JobDefinition

    def ingest(self, source: Path) -> None:
        """Ingest a folder, as the command does.

        Raises:
            RuntimeError: Not everything was published.
        """
        report = register(self.lake, self.engines.context.plans, str(source), retry_failed=False)
        run_pending(self.lake, self.job, self.instance, self.engines, report, run_started=lambda _partition: None)
        if report.failed or report.run_failures or report.published != report.registration.new:
            raise RuntimeError(f"not all of {report.registration.new} recordings are published: {report}")

    def rows(self, table: str) -> int:
        with connect(self.lake) as db:
            row = query(db, f"SELECT count(*) FROM {table}").fetchone()
        return int(row[0]) if row else 0

    def timeline(self) -> dict[str, Any]:
        """Return what Dagster shows of the last run: a picture, and its numbers."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey("merged_parquet"))
        if event is None or event.asset_materialization is None:
            return {}
        metadata = event.asset_materialization.metadata
        return {name: value.value for name, value in metadata.items() if name.startswith("timeline")}


@contextmanager
def chain(root: Path, models: Models) -> Iterator[Chain]:
    """Create a chain with an empty lake of one shard: a few recordings are no more than one shard of a real lake."""
    settings = Settings(
        lake=root,
        shards=1,
        cache_ttl_s=None,
        temperatures=PLAIN.temperatures,
        max_repeats=PLAIN.max_repeats,
        lost_speech_s=PLAIN.lost_speech_s,
        language_detection_threshold=PLAIN.language_detection_threshold,
        no_speech_threshold=PLAIN.no_speech_threshold,
        WHISPER_MODEL_SIZE=str(models.whisper),
        PYANNOTE_MODEL=str(models.pyannote),
        GIGAAM_MODEL_NAME=str(models.gigaam),
    )
    lake = Lake.create(root, shards=settings.shards, start_date=settings.start_date, ledger=settings.ledger)
    with runner(settings) as engines, open_instance(root / ".dagster") as instance:
        job = build(settings, lake=lake, engines=engines).resolve_job_def("process_recordings")
        yield Chain(lake=lake, engines=engines, instance=instance, job=job)


def written(folder: Path, pcms: Sequence[Waveform]) -> Path:
    """Write recordings as WAV files."""
    folder.mkdir(parents=True)
    for index, pcm in enumerate(pcms):
        write_pcm(folder / f"{index:04d}.wav", pcm)
    return folder


def compared(ours: Chain, script: PlainScript, root: Path, rounds: int) -> Comparison:
    """Compare both on the same recordings; ours under new names in each round, since finished work is not repeated."""
    pcms = recordings(2, 15, total_s=20)
    source = written(root / "source", pcms)
    numbers = count()

    def ingested() -> None:
        again = root / "in" / str(next(numbers))
        again.mkdir(parents=True)
        for path in source.iterdir():
            os.link(path, again / path.name)
        ours.ingest(again)

    def scripted() -> None:
        script.process(source, root / "out" / str(next(numbers)))

    ingested()  # loads the models, as does
    scripted()
    return benchmark(
        f"the whole chain, {len(pcms)} recordings of 2 to 15 s, language auto",
        sum(pcm.duration_ms for pcm in pcms) / 1000,
        {SCRIPT: scripted, OURS: ingested},
        rounds,
        threads=cores(),
        limits=[Limit(faster=OURS, slower=SCRIPT, at_least=1.5)],
        facts={
            "found_by_ours": {table: ours.rows(table) for table in ("words", "turns", "utterances")},
            "found_by_the_script": script_found(root / "out"),
        },
    )


def script_found(out: Path) -> dict[str, int]:
    """Count what the script has found."""
    results = [json.loads(path.read_bytes()) for path in out.glob("*/*.json")]
    return {name: sum(len(result[name]) for result in results) for name in ("words", "turns", "utterances")}


def judged(found: Orchestration, recordings_done: int) -> Verdict:
    """Check the threshold."""
    return Verdict(
        what=f"orchestration of {recordings_done} recordings: under {MOST_ORCHESTRATION:.0%} of the wall time",
        found=f"{found.wall_share:.1%} (of all seconds of the processor, {found.cpu_share:.1%})",
        met=found.wall_share < MOST_ORCHESTRATION,
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder of the models")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--recordings", type=int, default=200, help="short recordings that only our chain processes")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--picture", type=Path, help="file for the picture of what each engine process did")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("dagster").setLevel(logging.ERROR)
    models = prepared(arguments.models)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder, chain(Path(folder) / "lake", models) as ours:
        script = PlainScript.loaded(models, threads=cores())
        found = compared(ours, script, Path(folder), arguments.rounds)
        found.show(console)
        short = recordings(2, 4, total_s=4 * arguments.recordings)[: arguments.recordings]
        many = written(Path(folder) / "many", short)
        alone = orchestration(partial(ours.ingest, many))
        timeline = ours.timeline()
    verdict = judged(alone, arguments.recordings)
    verdict.show(console)
    if arguments.picture and "timeline" in timeline:
        encoded = timeline["timeline"].partition("base64,")[2].rstrip(")")
        arguments.picture.write_bytes(base64.b64decode(encoded))
    if arguments.json:
        facts = {**asdict(alone), "wall_share": alone.wall_share, "cpu_share": alone.cpu_share, **asdict(verdict)}
        save(
            arguments.json,
            [found],
            PACKAGES,
            tokens_a_clip=TOKENS,
            orchestration={**facts, "timeline": timeline.get("timeline_json")},
        )
    sys.exit(not all(verdict.met for verdict in [*found.verdicts(), verdict]))


if __name__ == "__main__":
    main()
