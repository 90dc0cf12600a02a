"""What Whisper's engine does for a GPU alone, on a CPU that says it is one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.stt.batch_size import seconds_of
from sensory_pipeline.engines.stt.gpu_model import GpuModel
from sensory_pipeline.engines.stt.worker_shares import side_by_side
from sensory_pipeline_tests.miniature_whisper import (
    PLAIN,
    REQUESTS,
    conversation,
    engine,
    faster_whisper,
    heard,
    jobs,
    phrase,
    with_standing_in,
)

LEFT_BEHIND = "parallel_for failed: cudaErrorInvalidDevice: invalid device ordinal"
NO_MEMORY = "CUDA failed with error out of memory"


def as_on_a_gpu(folder: Path, workers: int = 2) -> Any:
    """The miniature with a model that says it is on a GPU."""
    model = faster_whisper(folder, workers=workers)
    model.model = GpuModel(model.model)
    model.model.device = "cuda"
    return model


class Failing:
    """A model whose calls raise these errors, one after the other, and then answer."""

    num_workers = 2

    def __init__(self, *messages: str) -> None:
        self.left = list(messages)

    def encode(self, features: str) -> str:
        if self.left:
            raise RuntimeError(self.left.pop(0))
        return f"encoded {features}"

    generate = detect_language = align = encode


def test_a_call_that_reports_an_earlier_shortage_is_repeated() -> None:
    failing = Failing(LEFT_BEHIND, LEFT_BEHIND)
    assert GpuModel(failing).generate("sound") == "encoded sound"


def test_it_is_repeated_once_for_each_worker() -> None:
    failing = Failing(*[LEFT_BEHIND] * 3)
    with pytest.raises(RuntimeError, match="InvalidDevice"):
        GpuModel(failing).encode("sound")


def test_other_errors_are_not_repeated() -> None:
    failing = Failing(NO_MEMORY)
    with pytest.raises(RuntimeError, match="out of memory"):
        GpuModel(failing).align("sound")
    assert not failing.left


@pytest.mark.parametrize("request_", [PLAIN, REQUESTS["languages mixed"], REQUESTS["short clips"]], ids=str)
def test_workers_share_a_batch(whisper: Path, request_: Any) -> None:
    sounds = [phrase("english-two"), conversation("english-three"), conversation("russian-two")] * 3
    transcriber, cache = with_standing_in(whisper, as_on_a_gpu(whisper, workers=3), batch_size=7)
    with closing(cache):
        found = dict(transcriber.transcribe(jobs(*sounds, request=request_)))
        alone = engine(whisper, cache, batch_size=7)
        for index, sound in enumerate(sounds):
            answer = found[str(index)]
            assert isinstance(answer, Transcript)
            assert answer.text == heard(alone, sound, request_).text


def test_a_batch_is_halved_after_a_shortage_and_what_it_leaves_behind(whisper: Path) -> None:
    model = as_on_a_gpu(whisper)
    inside, failures = model.model._model, [NO_MEMORY, LEFT_BEHIND]
    encode = inside.encode

    class Short:
        """CTranslate2's model on a GPU whose memory is too small once."""

        def encode(self, *args: Any, **options: Any) -> Any:
            if failures:
                raise RuntimeError(failures.pop(0))
            return encode(*args, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(inside, name)

    model.model = GpuModel(Short())
    model.model.device = "cuda"
    transcriber, cache = with_standing_in(whisper, model, batch_size=8)
    with closing(cache):
        found = dict(transcriber.transcribe(jobs(*[phrase("english-two")] * 8)))
    texts = [answer.text for answer in found.values() if isinstance(answer, Transcript)]
    assert (len(texts), len(set(texts))) == (8, 1)
    assert not failures


def test_the_seconds_of_a_batch_are_those_of_its_shares(whisper: Path) -> None:
    model = as_on_a_gpu(whisper)
    sizes: list[int] = []
    encode = model.encode

    def counted(windows: Any) -> Any:
        sizes.append(len(windows))
        return encode(windows)

    model.encode = counted
    assert seconds_of(model, 3)
    assert sorted(sizes) == [1, 2]


def test_an_error_of_a_share_is_raised_when_the_others_have_ended() -> None:
    ended: list[int] = []

    def call(number: int) -> None:
        if number == 0:
            raise RuntimeError(NO_MEMORY)
        time.sleep(0.1)
        ended.append(number)

    with ThreadPoolExecutor(2) as workers:
        with pytest.raises(RuntimeError, match="memory"):
            side_by_side(workers, call, range(4))
        assert sorted(ended) == [1, 2, 3]


def test_speech_is_looked_for_in_sound_enough_for_a_batch(whisper: Path) -> None:
    taken: list[str] = []
    sound = phrase("english-two")  # of 4 s

    def given(count: int) -> Iterator[TranscribeJob]:
        for job in jobs(*[sound] * count):
            taken.append(job.key)
            yield job

    transcriber, cache = with_standing_in(whisper, as_on_a_gpu(whisper), batch_size=4)
    with closing(cache):
        next(iter(transcriber.transcribe(given(100))))
    in_the_queue, in_a_batch = 4 * 4, 4 * 30 // 4
    assert in_the_queue + in_a_batch <= len(taken) < 100


def test_every_activity_is_noted_in_a_shared_batch(whisper: Path) -> None:
    activity = ActivityLog()
    transcriber, cache = with_standing_in(whisper, as_on_a_gpu(whisper), batch_size=4, activity=activity)
    with closing(cache):
        heard(transcriber, phrase("english-two"))
    assert {noted.what for noted in activity.taken()} == {"looking for speech", "features", "whisper"}
