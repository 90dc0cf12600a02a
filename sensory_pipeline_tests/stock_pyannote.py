"""pyannote.audio as its documentation uses it, beside the engine; and sound for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.diarization.pyannote.checkpoints import CONFIG
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer

DATA = Path(__file__).parent / "data"
MINIATURE = DATA / "miniatures" / "pyannote"
MINIATURE_CLASSES = frozenset(
    f"sensory_pipeline_tests.miniature_pyannote.{name}" for name in ("TinySeg", "TinyXVector")
)
ANY = DiarizationSettings()


@lru_cache
def conversations() -> tuple[Waveform, ...]:
    paths = sorted((DATA / "miniatures" / "conversations").glob("*.flac")) or [DATA / "gigaam" / "jfk16.wav"]
    return tuple(decode(path, max_duration_s=60).pcm for path in paths)


def excerpt(seed: int, *, shortest_s: float = 1.0, longest_s: float = 14.0) -> Waveform:
    """Some seconds of a conversation, now and then with a second one under it."""
    rng = np.random.default_rng(seed)

    def some(frames: int) -> Any:
        samples = conversations()[rng.integers(len(conversations()))].samples.astype(np.float64)
        return np.resize(samples[:, rng.integers(samples.shape[1] // 2) :], (1, frames))

    frames = round(rng.uniform(shortest_s, longest_s) * SAMPLE_RATE)
    mixed = some(frames) + (some(frames) * 0.7 if seed % 3 == 2 else 0)
    return Waveform(samples=mixed.clip(-32768, 32767).astype(np.int16))


def silence(frames: int) -> Waveform:
    return Waveform(samples=np.zeros((1, frames), np.int16))


def answers(engine: PyannoteDiarizer, *jobs: DiarizeJob) -> list[Any]:
    """In order of the jobs."""
    answered = list(engine.diarize(jobs))
    assert sorted(key for key, _ in answered) == sorted(job.key for job in jobs)
    return [dict(answered)[job.key] for job in jobs]


def answer(engine: PyannoteDiarizer, pcm: Waveform, settings: DiarizationSettings = ANY) -> Diarization:
    (result,) = answers(engine, DiarizeJob(key="a", pcm=pcm, settings=settings))
    assert isinstance(result, Diarization)
    return result


class Stock:
    """pyannote.audio as its documentation uses it."""

    def __init__(self, folder: Path) -> None:
        from pyannote.audio import Pipeline

        loaded = Pipeline.from_pretrained(str(folder))
        assert loaded is not None
        self.pipeline: Any = loaded

    def voices_by_window(self, pcm: Waveform) -> list[int]:
        """How many voices are heard in each window."""
        found = self.pipeline.get_segmentations(sound(pcm)).data
        return found.any(axis=1).sum(axis=1).tolist()  # type: ignore[no-any-return]

    def diarize(self, pcm: Waveform, settings: DiarizationSettings) -> Any:
        return self.pipeline(
            sound(pcm),
            num_speakers=settings.speakers,
            min_speakers=settings.min_speakers,
            max_speakers=settings.max_speakers,
        )


def sound(pcm: Waveform) -> dict[str, Any]:
    """As pyannote takes it."""
    import torch

    return {"waveform": torch.from_numpy(pcm.mono())[None], "sample_rate": SAMPLE_RATE}


def tracks(annotation: Any, pcm: Waveform) -> list[tuple[int, int, str]]:
    """(start, end, label), ms, as far as they lie in the recording."""
    found = []
    for segment, _, speaker in annotation.itertracks(yield_label=True):
        start, end = round(max(0, segment.start) * 1000), min(round(segment.end * 1000), pcm.duration_ms)
        if start < end:
            found.append((start, end, speaker))
    return sorted(found)


def assert_same(found: tuple[Turn, ...], stock: list[tuple[int, int, str]], names: dict[str, str]) -> None:
    """names: ours by stock's, filled as they come up."""
    ours = sorted((turn.span.start_ms, turn.span.end_ms, turn.speaker) for turn in found)
    for start, end, speaker in stock:
        if speaker not in names:
            candidates = (name for *span, name in ours if span == [start, end] and name not in names.values())
            names[speaker] = next(candidates, "nobody")
    assert ours == sorted((start, end, names[speaker]) for start, end, speaker in stock)
    assert len(set(names.values())) == len(names)


def spoken(turns: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """When anybody speaks: spans of ms, none of which touches another."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(turns):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def assert_identical(engine: PyannoteDiarizer, stock: Stock, pcm: Waveform, settings: DiarizationSettings) -> None:
    found, expected = answer(engine, pcm, settings), stock.diarize(pcm, settings)
    if not np.nan_to_num(expected.speaker_embeddings).any():  # no voice was alone for long, so it clustered none
        turns = ((turn.span.start_ms, turn.span.end_ms) for turn in found.turns)
        assert spoken(turns) == spoken(track[:2] for track in tracks(expected.speaker_diarization, pcm))
        return
    names: dict[str, str] = {}
    assert_same(found.turns, tracks(expected.speaker_diarization, pcm), names)
    assert_same(found.exclusive, tracks(expected.exclusive_speaker_diarization, pcm), names)
    vectors = {embedding.speaker: embedding.vector for embedding in found.embeddings}
    for speaker, vector in zip(expected.speaker_diarization.labels(), expected.speaker_embeddings, strict=True):
        if np.isfinite(vector).all() and vector.any() and speaker in names:
            np.testing.assert_allclose(vectors.pop(names[speaker]), vector, rtol=1e-3, atol=1e-4)
    assert not vectors


def linked(folder: Path, to: Path) -> Path:
    """A copy whose files can be replaced one by one."""
    for path in folder.rglob("*"):
        if path.is_file():
            copy = to / "model" / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path)
    return to / "model"


def replaced(path: Path) -> Path:
    """The path, free to be written to."""
    path.unlink()
    return path


def edited(folder: Path, to: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A copy with another config.yaml."""
    copy = linked(folder, to)
    config = yaml.safe_load((copy / CONFIG).read_text())
    edit(config)
    replaced(copy / CONFIG).write_text(yaml.safe_dump(config))
    return copy
