"""The pyannote engine takes several recordings through its networks together, and tells each what it would alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.errors import EngineError
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.pyannote.checkpoints import BATCH_SIZE, PipelineFolder
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline.engines.diarization.pyannote.window_batches import Window, WindowBatches
from sensory_pipeline_tests.stock_pyannote import ANY, MINIATURE, MINIATURE_CLASSES, answers, excerpt, silence

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]

Faults = dict[int, EngineError]
MARK = 32_767
"""A sample that only the bad recording has: float 0.99997."""
AHEAD = 20
"""Windows; on a CPU recordings share batches only if a test asks for it."""
SETTINGS = (ANY, DiarizationSettings(speakers=2), DiarizationSettings(min_speakers=2), DiarizationSettings(speakers=1))


def engine_of(cache: ModelCache, windows_ahead: int | None = AHEAD) -> PyannoteDiarizer:
    return PyannoteDiarizer(str(MINIATURE), cache=cache, trusted_classes=MINIATURE_CLASSES, windows_ahead=windows_ahead)


@pytest.fixture(scope="module")
def miniature(cache: ModelCache) -> PyannoteDiarizer:
    return engine_of(cache)


# Windows in batches


def windows_of(*counts: int) -> list[Window]:
    return [Window(recording, number) for recording, count in enumerate(counts) for number in range(count)]


def test_a_recording_that_fails_in_a_batch_fails_alone() -> None:
    done: list[Window] = []

    def compute(batch: list[Window]) -> None:
        if any(window.recording in (1, 3) and window.number >= 2 for window in batch):
            raise ValueError("odd")
        done.extend(batch)

    windows, batches, faults = windows_of(5, 6, 7, 4), WindowBatches(8), Faults()
    batches.run(windows, compute, faults)
    assert sorted(faults) == [1, 3]
    assert all("odd" in str(fault) for fault in faults.values())
    others = [window for window in windows if window.recording in (0, 2)]
    assert [window for window in done if window.recording in (0, 2)] == others
    assert batches.size == 8


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
@pytest.mark.parametrize("most", [1, 3, 8, 20])
def test_a_batch_size_that_exceeded_the_memory_is_not_tried_again(most: int, error: Exception) -> None:
    tried: Counter[int] = Counter()
    done: list[Window] = []

    def compute(batch: list[Window]) -> None:
        tried[len(batch)] += 1
        if len(batch) > most:
            raise error
        done.extend(batch)

    windows, batches, faults = windows_of(30, 1, 40, 3), WindowBatches(32), Faults()
    batches.run(windows, compute, faults)
    assert not faults
    assert done == windows
    assert all(times == 1 for size, times in tried.items() if size > most)
    assert batches.size == max(size for size in (1, 2, 4, 8, 16) if size <= most)


def test_a_recording_too_large_alone_does_not_reduce_the_batch_size() -> None:
    def compute(batch: list[Window]) -> None:
        if any(window.recording == 1 for window in batch):
            raise MemoryError("CUDA out of memory")

    batches, faults = WindowBatches(32), Faults()
    batches.run(windows_of(9, 9, 9), compute, faults)
    assert list(faults) == [1]
    assert "too little memory" in str(faults[1])
    assert batches.size == 32


# Recordings in groups


def jobs_of(pcms: list[Waveform]) -> list[DiarizeJob]:
    return [DiarizeJob(key=str(i), pcm=pcm, settings=SETTINGS[i % len(SETTINGS)]) for i, pcm in enumerate(pcms)]


def alone(engine: PyannoteDiarizer, jobs: list[DiarizeJob]) -> list[Any]:
    return [answers(engine, job)[0] for job in jobs]


def assert_same(found: Diarization, expected: Diarization) -> None:
    """But for the seventh digit of embeddings."""
    assert (found.turns, found.exclusive) == (expected.turns, expected.exclusive)
    for one, other in zip(found.embeddings, expected.embeddings, strict=True):
        assert one.speaker == other.speaker
        np.testing.assert_allclose(one.vector, other.vector, rtol=1e-5, atol=1e-5)


@contextmanager
def before_each_forward(hook: Callable[[Any, Any], None]) -> Iterator[None]:
    """hook: is called with every network that starts to compute, and its sound, (batch, 1, samples)."""
    from sensory_pipeline_tests.miniature_pyannote import TinySeg, TinyXVector

    def called(module: Any, arguments: Any) -> None:
        if isinstance(module, (TinySeg, TinyXVector)):
            hook(module, arguments[0])

    handle = torch.nn.modules.module.register_module_forward_pre_hook(called)
    try:
        yield
    finally:
        handle.remove()


def quiet(pcm: Waveform) -> Waveform:
    return Waveform(samples=pcm.samples // 2)


def marked(pcm: Waveform) -> Waveform:
    samples = pcm.samples.copy()
    samples[:, ::SAMPLE_RATE] = MARK
    return Waveform(samples=samples)


def test_recordings_in_a_batch_have_the_turns_that_they_have_alone(miniature: PyannoteDiarizer) -> None:
    short = [excerpt(seed, shortest_s=3, longest_s=7) for seed in range(4)]
    jobs = jobs_of([*short, silence(0), silence(SAMPLE_RATE), excerpt(4, shortest_s=6, longest_s=7)])
    expected = alone(miniature, jobs)
    assert len({len(found.speakers) for found in expected}) > 1
    for one, other, wanted in zip(
        answers(miniature, *jobs), answers(miniature, *jobs[::-1])[::-1], expected, strict=True
    ):
        assert_same(one, wanted)
        assert_same(other, wanted)


def test_recordings_in_a_batch_have_the_turns_that_they_have_alone_with_the_published_architecture(
    tmp_path: Path, cache: ModelCache
) -> None:
    from scripts.random_models import pyannote

    pyannote(tmp_path, seed=1)
    engine = PyannoteDiarizer(str(tmp_path), cache=cache, windows_ahead=AHEAD)
    jobs = jobs_of([excerpt(seed, longest_s=2) for seed in range(2)])
    for one, other in zip(answers(engine, *jobs), alone(engine, jobs), strict=True):
        assert_same(one, other)


def test_full_batches_contain_windows_of_many_recordings_as_on_a_gpu() -> None:
    ours: Any = PipelineFolder.read(MINIATURE).pipeline(MINIATURE_CLASSES)[0]
    ours._embedded = WindowBatches(BATCH_SIZE)
    sizes: dict[str, list[int]] = {}
    pcms = [excerpt(seed, shortest_s=5, longest_s=9) for seed in range(9)]

    def files() -> list[dict[str, Any]]:
        return [{"waveform": torch.from_numpy(pcm.samples), "sample_rate": SAMPLE_RATE} for pcm in pcms]

    together, apart = files(), files()
    with before_each_forward(lambda network, sound: sizes.setdefault(type(network).__name__, []).append(len(sound))):
        ours.run_networks(together)
    for found in sizes.values():
        assert len(found) > 1
        assert {size for size in found[:-1] if size > 1} == {BATCH_SIZE}
    for one, other in zip(together, apart, strict=True):
        assert not ours.run_networks([other])
        np.testing.assert_array_equal(one["segmentations"].data, other["segmentations"].data)
        np.testing.assert_allclose(one["embeddings"], other["embeddings"], rtol=1e-4, atol=1e-5)
        found_together, found_apart = (ours(file) for file in (one, other))
        assert found_together.speaker_diarization == found_apart.speaker_diarization


@pytest.mark.parametrize("network", ["TinySeg", "TinyXVector"])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("shape"), ValueError()])
@pytest.mark.parametrize("bad", [0, 1])
def test_a_recording_that_a_network_fails_on_fails_alone(
    bad: int, error: Exception, network: str, miniature: PyannoteDiarizer
) -> None:
    jobs = jobs_of([quiet(excerpt(seed, shortest_s=4, longest_s=6)) for seed in range(3)])
    expected = alone(miniature, jobs)
    jobs[bad] = DiarizeJob(key=str(bad), pcm=marked(jobs[bad].pcm), settings=ANY)

    def fail(module: Any, sound: Any) -> None:
        if type(module).__name__ == network and sound.max() > 0.99:
            raise error

    with before_each_forward(fail):
        found = answers(miniature, *jobs)
    assert isinstance(found[bad], EngineError)
    assert ("too little memory" in str(found[bad])) == (type(error) is torch.OutOfMemoryError)
    for index in {0, 1, 2} - {bad}:
        assert_same(found[index], expected[index])
    assert_same(answers(miniature, *jobs)[1 - bad], expected[1 - bad])


def test_a_device_with_little_memory_gets_small_batches_afterwards() -> None:
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = engine_of(cache)
        jobs = jobs_of([excerpt(seed, shortest_s=9) for seed in range(4)])
        expected = alone(engine, jobs)
        sizes: Counter[tuple[str, int]] = Counter()

        def fail(module: Any, sound: Any) -> None:
            name, most = type(module).__name__, {"TinySeg": 5, "TinyXVector": 1}[type(module).__name__]
            sizes[name, len(sound)] += 1
            if len(sound) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")

        with before_each_forward(fail):
            found = answers(engine, *jobs)
        assert all(times == 1 for (name, size), times in sizes.items() if size > {"TinySeg": 5, "TinyXVector": 1}[name])
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)


# How many are taken ahead


def taken_before_each_answer(engine: PyannoteDiarizer, pcms: list[Waveform]) -> list[int]:
    taken = 0

    def jobs() -> Iterator[DiarizeJob]:
        nonlocal taken
        for job in jobs_of(pcms):
            taken += 1
            yield job

    return [taken for _ in engine.diarize(jobs())]


def test_on_a_cpu_recordings_go_one_by_one(cache: ModelCache) -> None:
    engine = engine_of(cache, windows_ahead=None)
    assert taken_before_each_answer(engine, [excerpt(seed, longest_s=3) for seed in range(3)]) == [1, 2, 3]


def test_recordings_are_collected_until_they_have_enough_windows(cache: ModelCache) -> None:
    one_window, six_windows = (excerpt(0, shortest_s=s, longest_s=s) for s in (4, 7.5))
    pcms = [one_window, one_window, six_windows, one_window, six_windows, six_windows]
    assert taken_before_each_answer(engine_of(cache, windows_ahead=8), pcms) == [3, 3, 3, 6, 6, 6]
    assert taken_before_each_answer(engine_of(cache, windows_ahead=10_000), [one_window] * 66) == [64] * 64 + [66] * 2


def test_a_long_recording_is_processed_alone_and_blocks_no_other(miniature: PyannoteDiarizer) -> None:
    short, long = excerpt(0, longest_s=2), excerpt(1, shortest_s=15, longest_s=15)
    assert taken_before_each_answer(miniature, [long, long]) == [1, 2]
    assert taken_before_each_answer(miniature, [short, long, short]) == [2, 2, 3]


def test_a_recording_without_sound_is_answered_at_once_without_a_model(cache: ModelCache) -> None:
    engine = PyannoteDiarizer("/nowhere", cache=cache)
    assert list(engine.diarize(jobs_of([silence(0)]))) == [("0", Diarization(turns=(), exclusive=()))]
