"""Our engine with pyannote's networks, beside pyannote.audio's own pipeline with the same networks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from bench.comparison import Comparison, Limit, benchmark
from bench.models import Models
from bench.recordings import sample
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.catalogue.store import Store
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline.engines.diarization.pyannote.open_pipeline import PARAMETERS, OpenPipeline

THREADS = 1
STOCK_BATCH = 32
FAST_STEP = 0.25
STOCK, OURS, FAST = f"pyannote.audio, batch size {STOCK_BATCH}", "engine", f"engine, PYANNOTE_WINDOW_STEP={FAST_STEP}"

Turns = list[tuple[int, int, int]]
"""(start, end, speaker): milliseconds, and the number of the speaker in order of appearance."""


def comparisons(models: Models, rounds: int) -> Iterator[Comparison]:
    """Compare the stock pipeline at batch size 32, our engine, and our engine with a wider step."""
    import torch

    torch.set_num_threads(THREADS)
    pcm, _ = sample("grocery_shopping.m4a")
    stock = stock_pyannote(models.pyannote)
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        ours, fast = (
            partial(_turns, PyannoteDiarizer(str(models.pyannote), cache=cache, window_step=step), pcm)
            for step in (None, FAST_STEP)
        )
        expected = stock_turns(stock, pcm)
        checks = {"the turns are those of pyannote.audio": ours() == expected}
        fast()
        yield benchmark(
            "diarization",
            pcm.duration_ms / 1000,
            {STOCK: partial(stock_turns, stock, pcm), OURS: ours, FAST: fast},
            rounds,
            threads=THREADS,
            limits=[Limit(faster=OURS, slower=STOCK, at_least=2.5), Limit(faster=FAST, slower=STOCK, at_least=6)],
            checks=checks,
            facts={"turns": len(expected)},
        )


def stock_pyannote(folder: Path) -> Any:
    """Load the pipeline as in pyannote's documentation, with the batch sizes that it recommends."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # noqa: TID251
    from pyannote.audio import Pipeline

    pipeline: Any = Pipeline.from_pretrained(str(folder))
    pipeline.segmentation_batch_size = pipeline.embedding_batch_size = STOCK_BATCH
    return pipeline


def open_pyannote(store: Store) -> Any:
    """Load pyannote's pipeline with segmentation-3.0 and CAM++, assembled as in its documentation.

    Raises:
        ConfigurationError: A network is missing.
    """
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # noqa: TID251
    from pyannote.audio.core.plda import PLDA
    from pyannote.audio.pipelines import SpeakerDiarization

    _, (segmentation, embedding) = OpenPipeline.read(store.verified).pipeline()
    pipeline: Any = SpeakerDiarization(
        segmentation=segmentation,
        segmentation_batch_size=STOCK_BATCH,
        embedding=embedding,
        embedding_batch_size=STOCK_BATCH,
        embedding_exclude_overlap=True,
        plda=PLDA.__new__(PLDA),  # required, but not used
        clustering="AgglomerativeClustering",
    )
    pipeline.instantiate(PARAMETERS)
    return pipeline


def stock_turns(pipeline: Any, pcm: Waveform, **options: Any) -> Turns:
    """Return the turns of the stock pipeline, in order of time."""
    import torch

    sound = {"waveform": torch.from_numpy(pcm.mono())[None], "sample_rate": SAMPLE_RATE}
    tracks = pipeline(sound, **options).speaker_diarization.itertracks(yield_label=True)
    spans = [(Span.from_seconds(track.start, track.end).clip(pcm.span), speaker) for track, _, speaker in tracks]
    return _numbered([(span.start_ms, span.end_ms, speaker) for span, speaker in spans if span.duration_ms])


def _turns(engine: PyannoteDiarizer, pcm: Waveform) -> Turns:
    ((_, found),) = engine.diarize([DiarizeJob(key="a", pcm=pcm, settings=DiarizationSettings())])
    if isinstance(found, Exception):
        raise found
    return _numbered([(turn.span.start_ms, turn.span.end_ms, turn.speaker) for turn in found.turns])


def _numbered(turns: list[tuple[int, int, str]]) -> Turns:
    names = list(dict.fromkeys(speaker for *_, speaker in sorted(turns)))
    return [(start, end, names.index(speaker)) for start, end, speaker in sorted(turns)]
