"""The engines on a GPU, where this machine has one: they find what they find on a CPU, and live with little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.cache import ModelCache
from sensory_pipeline.engines.device_discovery import nvidia_smi_gpus
from sensory_pipeline.engines.device_memory import free_bytes
from sensory_pipeline.engines.devices import CPU, ComputeType, Device
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline.engines.library_errors import short_of_memory
from sensory_pipeline.engines.stt.batch_size import fastest, seconds_of
from sensory_pipeline.engines.stt.whisper_models import load, resolve
from sensory_pipeline_tests.miniature_whisper import conversation, engine, faster_whisper, heard, jobs, phrase

GPU = Device.parse("cuda:0")
pytestmark = pytest.mark.skipif(not nvidia_smi_gpus(None), reason="needs a GPU")
STEP_MS = 40


def close(one: Span, other: Span) -> bool:
    return max(abs(one.start_ms - other.start_ms), abs(one.end_ms - other.end_ms)) <= STEP_MS


@contextmanager
def little_memory(left_mb: int) -> Iterator[None]:
    """Leave so much of the GPU's memory free in the block."""
    torch = pytest.importorskip("torch")
    held: list[Any] = [torch.zeros(1, device="cuda")]
    held.append(torch.empty(free_bytes(GPU, None) - (left_mb << 20), dtype=torch.uint8, device="cuda"))
    yield
    held.clear()
    torch.cuda.empty_cache()


@pytest.mark.parametrize("compute_type", [ComputeType.FLOAT16, ComputeType.FLOAT32, ComputeType.INT8_FLOAT16])
def test_whisper_hears_the_words_that_it_hears_on_a_cpu(
    compute_type: ComputeType, whisper: Path, cache: ModelCache
) -> None:
    on_gpu = engine(whisper, cache, device=GPU, compute_type=compute_type)
    on_cpu = engine(whisper, cache, compute_type=ComputeType.FLOAT32)
    for name in ("english-two", "russian-two"):
        found, expected = heard(on_gpu, conversation(name)), heard(on_cpu, conversation(name))
        assert found.text == expected.text
        assert found.language == expected.language
        if compute_type is not ComputeType.INT8_FLOAT16:  # which times a word 60 ms apart from the others
            assert all(close(one.span, other.span) for one, other in zip(found.words, expected.words, strict=True))


def test_clips_in_a_batch_have_the_words_that_they_have_alone(whisper: Path, cache: ModelCache) -> None:
    clips = [phrase("english-two"), conversation("english-three"), conversation("russian-two")] * 5
    transcriber = engine(whisper, cache, device=GPU, compute_type=ComputeType.FLOAT32, batch_size=16)
    together = dict(transcriber.transcribe(jobs(*clips)))
    for index, clip in enumerate(clips[:3]):
        alone = heard(transcriber, clip)
        for same in range(index, len(clips), 3):
            found = together[str(same)]
            assert isinstance(found, Transcript)
            assert found.text == alone.text


def test_a_batch_that_is_too_large_for_the_memory_is_halved(whisper: Path, cache: ModelCache) -> None:
    transcriber = engine(whisper, cache, device=GPU, compute_type=ComputeType.FLOAT16, batch_size=128)
    expected = heard(transcriber, phrase("english-two")).text
    with little_memory(left_mb=300):
        found = dict(transcriber.transcribe(jobs(*[phrase("english-two")] * 128)))
    assert [answer.text for answer in found.values() if isinstance(answer, Transcript)] == [expected] * 128


def test_the_size_of_batches_is_found_with_little_memory(whisper: Path) -> None:
    model = load(resolve(str(whisper)), GPU, ComputeType.FLOAT16, 0, workers=True).model
    with little_memory(left_mb=300):
        assert seconds_of(model, 1024) is None
        fastest(partial(seconds_of, model))
    assert seconds_of(model, 8)


def test_a_real_shortage_is_told_from_other_errors(whisper: Path) -> None:
    model = faster_whisper(whisper, GPU, ComputeType.FLOAT16)
    import numpy as np

    with little_memory(left_mb=100), pytest.raises(RuntimeError) as raised:
        model.encode(np.zeros((1024, 80, 3000), np.float32))
    assert short_of_memory(raised.value)


@pytest.mark.usefixtures("pyannote_audio", "open_models")
def test_pyannote_finds_the_turns_that_it_finds_on_a_cpu(cache: ModelCache) -> None:
    pcm = conversation("english-two")
    found, expected = (_turns(device, pcm, cache) for device in (GPU, CPU))
    assert len(found) == len(expected)
    assert all(close(one, other) for one, other in zip(found, expected, strict=True))


def _turns(device: Device, pcm: Any, cache: ModelCache) -> list[Span]:
    diarizer = PyannoteDiarizer("open", device=device, cache=cache)
    ((_, found),) = diarizer.diarize([DiarizeJob(key="it", pcm=pcm, settings=DiarizationSettings())])
    assert isinstance(found, Diarization), found
    return [turn.span for turn in found.turns]
