"""What the pyannote engine answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline.core.diarization import Diarization, SpeakerEmbedding
from sensory_pipeline.core.errors import EngineError
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.pyannote.checkpoints import CONFIG, NETWORK
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline_tests.stock_pyannote import (
    ANY,
    MINIATURE,
    MINIATURE_CLASSES,
    answer,
    answers,
    conversations,
    edited,
    excerpt,
    silence,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def cache() -> Iterator[ModelCache]:
    with closing(ModelCache(CacheSettings(ttl_s=None))) as models:
        yield models


needs_miniature = pytest.mark.skipif(
    not (MINIATURE / CONFIG).is_file(), reason="no miniature pyannote: make it with scripts.train_miniatures"
)


@pytest.fixture
def miniature(cache: ModelCache) -> PyannoteDiarizer:
    return PyannoteDiarizer(str(MINIATURE), cache=cache, trusted_classes=MINIATURE_CLASSES)


@needs_miniature
def test_an_answer_is_well_formed(miniature: PyannoteDiarizer) -> None:
    pcm = conversations()[0]
    found = answer(miniature, pcm)
    assert len(found.speakers) > 1
    for turns in (found.turns, found.exclusive):
        assert list(turns) == sorted(turns, key=lambda turn: (turn.span, turn.speaker))
        assert all(0 <= turn.span.start_ms < turn.span.end_ms <= pcm.duration_ms for turn in turns)
    assert list(dict.fromkeys(turn.speaker for turn in found.turns)) == list(found.speakers)
    assert all(before.span.end_ms <= after.span.start_ms for before, after in pairwise(found.exclusive))
    assert [embedding.speaker for embedding in found.embeddings] == list(found.speakers)
    assert {len(embedding.vector) for embedding in found.embeddings} == {64}
    stored = TypeAdapter(Diarization)
    assert stored.validate_json(stored.dump_json(found)) == found


def test_a_diarization_stored_without_embeddings_is_still_read() -> None:
    stored = TypeAdapter(Diarization)
    assert stored.validate_json('{"turns": [], "exclusive": []}') == Diarization(turns=(), exclusive=())
    voice = SpeakerEmbedding(speaker="SPEAKER_00", vector=(0.5, -1.0))
    known = Diarization(turns=(), exclusive=(), embeddings=(voice,))
    assert stored.validate_json(stored.dump_json(known)) == known


@needs_miniature
def test_empty_and_very_short_sound_is_answered(miniature: PyannoteDiarizer) -> None:
    pcms = [silence(0), silence(1), silence(100), excerpt(1).cut(Span(start_ms=500, end_ms=530)), silence(SAMPLE_RATE)]
    jobs = [DiarizeJob(key=str(i), pcm=pcm, settings=ANY) for i, pcm in enumerate(pcms)]
    found = answers(miniature, *jobs)
    assert found[0] == Diarization(turns=(), exclusive=())
    for pcm, result in zip(pcms, found, strict=True):
        assert isinstance(result, Diarization)
        assert all(turn.span.end_ms <= pcm.duration_ms for turn in result.turns)


@needs_miniature
@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_the_requested_number_of_speakers_is_found(wanted: int, miniature: PyannoteDiarizer) -> None:
    found = answer(miniature, conversations()[0], DiarizationSettings(speakers=wanted))
    assert len(found.speakers) == wanted


@needs_miniature
def test_the_model_is_loaded_once(miniature: PyannoteDiarizer, cache: ModelCache) -> None:
    answers(
        miniature, *(DiarizeJob(key=str(index), pcm=excerpt(index, longest_s=3), settings=ANY) for index in range(3))
    )
    stats = cache.stats()
    assert (stats.loads, len(stats.resident)) == (1, 1)
    networks = (MINIATURE / "segmentation" / NETWORK, MINIATURE / "embedding" / NETWORK)
    assert 0 < stats.size_bytes <= sum(path.stat().st_size for path in networks)
    cache.close()
    assert not cache.stats().resident


@needs_miniature
def test_threads_share_a_pipeline(miniature: PyannoteDiarizer) -> None:
    pcms = [excerpt(seed, longest_s=4) for seed in range(4)]
    alone = [answer(miniature, pcm) for pcm in pcms]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda pcm: answer(miniature, pcm), pcms))
    assert [found.turns for found in together] == [found.turns for found in alone]


@needs_miniature
def test_a_failure_concerns_one_recording(cache: ModelCache, tmp_path: Path) -> None:
    folder = edited(MINIATURE, tmp_path, lambda config: config["params"]["clustering"].update(method="spam"))
    engine = PyannoteDiarizer(str(folder), cache=cache, trusted_classes=MINIATURE_CLASSES)
    whole = conversations()[0]
    pcms = [whole, whole.cut(Span(start_ms=500, end_ms=530)), whole]
    first, second, third = answers(
        engine, *(DiarizeJob(key=str(i), pcm=pcm, settings=ANY) for i, pcm in enumerate(pcms))
    )
    assert isinstance(second, Diarization)
    for failed in (first, third):
        assert isinstance(failed, EngineError) and "spam" in str(failed)


@needs_miniature
def test_no_telemetry_is_sent(miniature: PyannoteDiarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "1")
    answer(miniature, excerpt(0, longest_s=2))
    from pyannote.audio.telemetry.metrics import is_metrics_enabled

    assert not is_metrics_enabled()
