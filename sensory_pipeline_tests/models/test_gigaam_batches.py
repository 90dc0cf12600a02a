"""GigaAM-Emo answers the same in batches, and a fault in a batch costs one recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count, islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sensory_pipeline.core.errors import EngineError  # noqa: E402
from sensory_pipeline.core.spans import Span  # noqa: E402
from sensory_pipeline.engines.base import ClassifyJob  # noqa: E402
from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache  # noqa: E402
from sensory_pipeline.engines.checkpoint import read_checkpoint  # noqa: E402
from sensory_pipeline.engines.emotion.emotion_network import EmotionNetwork  # noqa: E402
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier  # noqa: E402
from sensory_pipeline_tests.gigaam_reference import (  # noqa: E402
    CHECKPOINT,
    answers,
    job,
    probabilities,
    softmax,
    spoken,
    window,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def engine() -> GigaamClassifier:
    return GigaamClassifier(str(CHECKPOINT))


@pytest.fixture(scope="module")
def network() -> EmotionNetwork:
    return EmotionNetwork.restored(read_checkpoint(CHECKPOINT), labels=4)


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 8000), st.integers(25, 3000)), min_size=2, max_size=6))
def test_a_batch_answers_as_one_by_one(network: EmotionNetwork, parts: list[tuple[int, int]]) -> None:
    sounds = [spoken((start, start + length)).mono() for start, length in parts]
    for sound, together in zip(sounds, network.frame_logits(sounds), strict=True):
        (alone,) = network.frame_logits([sound])
        assert len(together) == len(alone)
        assert np.abs(softmax(together) - softmax(alone)).max() < 1e-5


def test_padding_of_a_batch_changes_nothing(network: EmotionNetwork) -> None:
    features = network.preprocessor(torch.from_numpy(spoken((0, 1000)).mono()))
    lengths = torch.tensor([len(features)])
    alone, _ = network.encoder(features[None], lengths)
    for frames in (1, 2, 3, 4, 50):
        padded = torch.cat([features, torch.zeros(frames, features.shape[1])])[None]
        encoded, kept = network.encoder(padded, lengths)
        assert kept.tolist() == [alone.shape[1]]
        torch.testing.assert_close(encoded[:, : alone.shape[1]], alone, atol=1e-5, rtol=0)


def test_jobs_together_answer_as_alone(engine: GigaamClassifier) -> None:
    jobs = [
        job(
            spoken((start, start + 4000)),
            *(window(Span(start_ms=a, end_ms=a + length)) for a in (0, 1111)),
            key=str(length),
        )
        for start, length in ((0, 500), (2000, 1800), (4000, 2400), (6000, 30))
    ]
    together = answers(engine, jobs)
    for each in jobs:
        alone = answers(engine, [each])[each.key]
        assert [emotion.window for emotion in together[each.key]] == list(each.windows)
        assert np.abs(probabilities(together[each.key]) - probabilities(alone)).max() < 1e-5


def test_an_endless_stream_is_read_as_needed() -> None:
    engine = GigaamClassifier(str(CHECKPOINT), batch_s=2)
    taken: list[str] = []

    def stream() -> Iterator[ClassifyJob]:
        for number in count():
            taken.append(str(number))
            yield job(spoken((0, 1000)), key=str(number))

    answered = engine.classify(stream())
    assert not taken
    assert {key for key, _ in islice(answered, 4)} == set(taken) == {str(number) for number in range(4)}
    next(answered)
    assert len(taken) == 8


def test_a_model_unloaded_between_jobs_is_loaded_again() -> None:
    with closing(ModelCache(CacheSettings(max_bytes=1))) as cache:
        engine = GigaamClassifier(str(CHECKPOINT), cache=cache)
        first, second = (answers(engine, [job(spoken((0, 1000)))]) for _ in range(2))
        assert first == second
        assert (cache.stats().loads, cache.stats().evictions) == (2, 2)


@contextmanager
def hooked(hook: Callable[[Sequence[Any]], None]) -> Iterator[GigaamClassifier]:
    """An engine whose network shows the hook the sounds of each batch, as tensors, before it hears them."""
    network = EmotionNetwork.restored(read_checkpoint(CHECKPOINT), labels=4)
    network.register_forward_pre_hook(lambda _, given: hook(given[0]))
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = GigaamClassifier(str(CHECKPOINT), cache=cache)
        with cache.lease(engine.key, lambda: LoadedModel(model=network, size_bytes=1, unload=lambda: None)):
            yield engine


FOUR = [(0, 3000), (2000, 4500), (4000, 7000), (6000, 9900)]


def test_a_batch_too_large_for_the_memory_is_halved_and_not_tried_again(engine: GigaamClassifier) -> None:
    jobs = [job(spoken(span), key=str(index)) for index, span in enumerate(FOUR * 4)]
    sizes: list[int] = []

    def short(batch: Sequence[Any]) -> None:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with hooked(short) as starved:
        answered = answers(starved, jobs)
        failed = sum(size > 2 for size in sizes)
        assert failed
        assert set(answers(starved, jobs)) == set(answered)
    assert sum(size > 2 for size in sizes) == failed
    for each, expected in answers(engine, jobs).items():
        assert np.abs(probabilities(answered[each]) - probabilities(expected)).max() < 1e-5


def test_a_batch_that_fails_costs_the_recording_it_fails_on(engine: GigaamClassifier) -> None:
    jobs = [job(spoken(span), key=str(index)) for index, span in enumerate(FOUR)]
    poison = spoken(FOUR[2]).mono()[:100]

    def refuse(batch: Sequence[Any]) -> None:
        if any(np.array_equal(sound[:100].numpy(), poison) for sound in batch):
            raise RuntimeError("a tensor of the wrong size")

    with hooked(refuse) as choosy:
        answered = dict(choosy.classify(jobs))
    error = answered.pop("2")
    assert isinstance(error, EngineError)
    assert "wrong size" in str(error)
    expected = answers(engine, [each for each in jobs if each.key != "2"])
    assert set(answered) == set(expected)
    for key, emotions in answered.items():
        assert isinstance(emotions, tuple)
        assert np.abs(probabilities(emotions) - probabilities(expected[key])).max() < 1e-5


def test_the_error_of_a_recording_too_long_for_the_memory_says_what_to_do() -> None:
    def none_left(_: Sequence[Any]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with hooked(none_left) as starved:
        ((_, error),) = starved.classify([job(spoken((0, 3000)))])
    assert isinstance(error, EngineError)
    assert "SENSORY_SIDE_BY_SIDE" in str(error)


def test_a_fault_of_the_device_is_not_the_recordings() -> None:
    def broken(_: Sequence[Any]) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with hooked(broken) as lost, pytest.raises(RuntimeError, match="illegal memory access"):
        list(lost.classify([job(spoken((0, 3000)))]))
