"""The pyannote engine says what the stock pipeline says, with less work."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.engines.cache import ModelCache
from sensory_pipeline.engines.diarization.pyannote.checkpoints import BATCH_SIZE, PipelineFolder
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline_tests.stock_pyannote import (
    ANY,
    MINIATURE,
    MINIATURE_CLASSES,
    Stock,
    assert_identical,
    conversations,
    edited,
    excerpt,
    sound,
)

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def miniature(cache: ModelCache) -> PyannoteDiarizer:
    return PyannoteDiarizer(str(MINIATURE), cache=cache, trusted_classes=MINIATURE_CLASSES)


@pytest.fixture(scope="module")
def stock_miniature() -> Stock:
    return Stock(MINIATURE)


def settings_of(seed: int) -> DiarizationSettings:
    return [
        ANY,
        DiarizationSettings(speakers=2),
        DiarizationSettings(speakers=3),
        DiarizationSettings(min_speakers=2, max_speakers=4),
        DiarizationSettings(max_speakers=1),
    ][seed % 5]


def everybody_at_once() -> Waveform:
    """Three conversations under one another, one of them alone, and long silences."""
    first, second, third = (pcm.samples[0, : 20 * SAMPLE_RATE].astype(np.int32) for pcm in conversations())
    length = min(map(len, (first, second, third)))
    together = sum(sound[:length] for sound in (first, second, third))
    pause = np.zeros(15 * SAMPLE_RATE, np.int32)
    return Waveform(samples=np.concatenate([pause, together, pause, first])[None].clip(-32768, 32767).astype(np.int16))


@pytest.mark.parametrize("seed", range(24))
def test_turns_are_the_stock_pipelines(seed: int, stock_miniature: Stock, miniature: PyannoteDiarizer) -> None:
    assert_identical(miniature, stock_miniature, excerpt(seed), settings_of(seed))


@pytest.mark.parametrize("settings", [ANY, DiarizationSettings(speakers=3)])
def test_turns_are_the_stock_pipelines_where_three_talk_at_once(
    settings: DiarizationSettings, stock_miniature: Stock, miniature: PyannoteDiarizer
) -> None:
    pcm = everybody_at_once()
    assert {1, 2, 3} == set(stock_miniature.voices_by_window(pcm))
    assert_identical(miniature, stock_miniature, pcm, settings)


@pytest.mark.parametrize("exclude_overlap", [True, False])
def test_windows_where_nobody_speaks_change_nothing(exclude_overlap: bool, stock_miniature: Stock) -> None:
    pcm, stock = everybody_at_once(), stock_miniature.pipeline
    ours, _ = PipelineFolder.read(MINIATURE).pipeline(MINIATURE_CLASSES)
    ours.embedding_exclude_overlap = exclude_overlap
    file = {"waveform": torch.from_numpy(pcm.samples)}
    ours.segment([file], {})
    spoken = file["segmentations"]
    spoken.data[np.random.default_rng(1).random(len(spoken.data)) < 0.3] = 0
    active = spoken.data.any(axis=1)
    ours.embed([file], {})
    found = file["embeddings"]
    expected = stock.get_embeddings(sound(pcm), spoken, exclude_overlap=exclude_overlap)
    np.testing.assert_allclose(found[active], expected[active], rtol=1e-3, atol=1e-4)
    expected, found = (
        pipeline.clustering(embeddings=values, segmentations=spoken)[0][active]
        for pipeline, values in ((stock, expected), (ours, found))
    )
    np.testing.assert_array_equal(found, expected)


def test_turns_are_the_stock_pipelines_over_several_batches_of_windows(
    stock_miniature: Stock, miniature: PyannoteDiarizer
) -> None:
    pcm = excerpt(2, shortest_s=75, longest_s=75)
    assert len(stock_miniature.voices_by_window(pcm)) > 4 * BATCH_SIZE
    assert_identical(miniature, stock_miniature, pcm, ANY)


def test_without_vbx_no_plda_is_needed(stock_miniature: Stock, cache: ModelCache, tmp_path: Path) -> None:
    folder = edited(MINIATURE, tmp_path, lambda it: it["pipeline"]["params"].pop("plda"))
    shutil.rmtree(folder / "plda")
    engine = PyannoteDiarizer(str(folder), cache=cache, trusted_classes=MINIATURE_CLASSES)
    assert_identical(engine, stock_miniature, excerpt(1), ANY)


def test_a_window_step_gives_the_stock_pipelines_turns(cache: ModelCache, tmp_path: Path) -> None:
    folder = edited(MINIATURE, tmp_path, lambda it: it["pipeline"]["params"].update(segmentation_step=0.35))
    engine = PyannoteDiarizer(str(MINIATURE), cache=cache, trusted_classes=MINIATURE_CLASSES, window_step=0.35)
    for seed in range(3):
        assert_identical(engine, Stock(folder), excerpt(seed, shortest_s=25, longest_s=30), ANY)


def test_a_window_step_is_part_of_the_revision(miniature: PyannoteDiarizer, cache: ModelCache) -> None:
    revisions = [
        PyannoteDiarizer(str(MINIATURE), cache=cache, window_step=step).info.revision for step in (None, 0.25, 0.5)
    ]
    assert revisions == [f"{miniature.info.revision}{step}" for step in ("", " step 0.25", " step 0.5")]


def test_turns_are_the_stock_pipelines_with_the_published_architecture(
    soak: bool, tmp_path: Path, cache: ModelCache
) -> None:
    from scripts.random_models import pyannote

    pyannote(tmp_path, seed=1)
    engine, stock = PyannoteDiarizer(str(tmp_path), cache=cache), Stock(tmp_path)
    for seed in range(20 if soak else 2):
        longest_s = 12.0 if soak else 3.0  # more than one window
        assert_identical(engine, stock, excerpt(seed, longest_s=longest_s), settings_of(seed))


def test_of_very_many_voices_a_random_sample_is_clustered() -> None:
    from pyannote.audio.pipelines.clustering import AgglomerativeClustering
    from pyannote.core import SlidingWindow, SlidingWindowFeature

    from sensory_pipeline.engines.diarization.pyannote.pipeline import MOST_CLUSTERED, DrawnAgglomerative

    def found(windows: int, clustering: AgglomerativeClustering) -> list[np.ndarray]:
        rng = np.random.default_rng(windows)
        embeddings = rng.standard_normal((windows, 2, 4)).astype(np.float32)
        active = np.zeros((windows, 10, 2), np.float32)
        active[:, :5, 0] = active[:, 5:, 1] = 1
        segmentations = SlidingWindowFeature(active, SlidingWindow(start=0, duration=10, step=1))
        chosen, window, speaker = clustering.filter_embeddings(embeddings, segmentations)
        np.testing.assert_array_equal(chosen, embeddings[window, speaker])
        return [chosen, window, speaker]

    ours, stock = DrawnAgglomerative(metric="cosine"), AgglomerativeClustering(metric="cosine")
    for few, expected in zip(found(MOST_CLUSTERED // 2, ours), found(MOST_CLUSTERED // 2, stock), strict=True):
        np.testing.assert_array_equal(few, expected)
    _, window, speaker = found(MOST_CLUSTERED, ours)
    assert len(window) == MOST_CLUSTERED
    assert (np.diff(2 * window + speaker) > 0).all()
    assert abs(speaker.mean() - 0.5) < 0.05
    assert abs(window.mean() / MOST_CLUSTERED - 0.5) < 0.05
    assert all(np.array_equal(*pair) for pair in zip(found(MOST_CLUSTERED, ours)[1:], [window, speaker], strict=True))


def test_if_no_voice_is_alone_for_long_all_are_clustered() -> None:
    from pyannote.audio.pipelines.clustering import AgglomerativeClustering
    from pyannote.core import SlidingWindow, SlidingWindowFeature

    from sensory_pipeline.engines.diarization.pyannote.pipeline import DrawnAgglomerative

    embeddings = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    embeddings[1, 1] = np.nan
    active = np.zeros((2, 10, 3), np.float32)
    active[:, :9, 0] = active[:, 1:9, 1] = 1  # the first alone in one frame of ten; the third never speaks
    segmentations = SlidingWindowFeature(active, SlidingWindow(start=0, duration=10, step=1))
    none, *_ = AgglomerativeClustering(metric="cosine").filter_embeddings(embeddings, segmentations)
    assert not len(none)
    found, window, speaker = DrawnAgglomerative(metric="cosine").filter_embeddings(embeddings, segmentations)
    assert list(zip(window.tolist(), speaker.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]
    np.testing.assert_array_equal(found, embeddings[window, speaker])
