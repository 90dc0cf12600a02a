"""Whisper in batches: each recording has the transcript that it has alone."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.errors import EngineError, Terminal
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.cache import ModelCache
from sensory_pipeline.engines.stt.batch_size import BatchSizes
from sensory_pipeline.engines.stt.whisper_models import MOST_WORKERS, resolve
from sensory_pipeline_tests.miniature_whisper import (
    CHOKED,
    CONVERSATIONS,
    ENGLISH,
    PLAIN,
    REQUESTS,
    choking_on,
    clips_of,
    conversation,
    engine,
    faster_whisper,
    heard,
    phrase,
    said,
    with_standing_in,
)


@pytest.fixture(scope="module")
def mixed(whisper: Path, cache: ModelCache) -> dict[str, tuple[TranscribeJob, Transcript | Terminal]]:
    """Recordings of all lengths, languages and requests, each with its answer alone."""
    requests = [
        PLAIN,
        PLAIN.model_copy(update={"clip_s": 4.0}),
        REQUESTS["Russian"],
        REQUESTS["prompted"],
        REQUESTS["greedy"],
    ]
    names = sorted(path.stem for path in CONVERSATIONS.glob("*.flac"))
    pcms = [
        conversation(names[0]),
        *(
            conversation(name).cut(Span(start_ms=2000, end_ms=2000 + length_ms))
            for name in names
            for length_ms in (2500, 6000)
        ),
    ]
    alone = {}
    for index, pcm in enumerate(pcms):
        job = TranscribeJob(key=f"{index}", pcm=pcm, settings=requests[index % len(requests)])
        ((_, value),) = engine(whisper, cache).transcribe([job])
        alone[job.key] = job, value
    assert len({value.language for _, value in alone.values() if isinstance(value, Transcript)} - {None}) >= 2
    return alone


@pytest.mark.parametrize(("batch_size", "cpu_threads"), [(2, 1), (8, 1), (8, 3)])
def test_recordings_do_not_change_each_other(
    whisper: Path,
    cache: ModelCache,
    mixed: dict[str, tuple[TranscribeJob, Transcript | Terminal]],
    batch_size: int,
    cpu_threads: int,
) -> None:
    transcriber = engine(whisper, cache, batch_size=batch_size, cpu_threads=cpu_threads)
    answers = dict(transcriber.transcribe(job for job, _ in mixed.values()))
    assert answers == {key: value for key, (_, value) in mixed.items()}


class ShortOfMemory:
    """A model of CTranslate2's on a device that holds three clips."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> Any:
        self.sizes.append(len(prompts))
        if len(prompts) > 3:
            raise RuntimeError("CUDA failed with error out of memory")
        return self._model.generate(encoded, prompts, **options)


def test_a_batch_too_large_for_the_memory_is_halved_and_nothing_changes(
    whisper: Path, mixed: dict[str, tuple[TranscribeJob, Transcript | Terminal]], tmp_path: Path
) -> None:
    model = faster_whisper(whisper)
    model.model = ShortOfMemory(model.model)
    sizes = model.model.sizes
    remembered = BatchSizes(path=tmp_path / "sizes.json", place="here")
    folder = resolve(str(whisper))
    remembered.keep(f"whisper {folder.name} {folder.revision} int8 {MOST_WORKERS} workers", 8)
    transcriber, cache = with_standing_in(whisper, model, sizes=remembered)
    with closing(cache):
        answers = dict(transcriber.transcribe(job for job, _ in mixed.values()))
        assert answers == {key: value for key, (_, value) in mixed.items()}
        sizes.clear()
        assert dict(transcriber.transcribe(job for job, _ in mixed.values())) == answers
    assert max(sizes) <= 4, "the size that fits is remembered"
    assert set(json.loads((tmp_path / "sizes.json").read_text()).values()) <= {2, 4}, "and by other processes too"


def test_a_recording_of_which_no_clip_can_be_decoded_fails_alone(
    whisper: Path, mixed: dict[str, tuple[TranscribeJob, Transcript | Terminal]]
) -> None:
    culprit = mixed["3"][0]
    bad = [culprit.pcm.cut(span) for span in clips_of(culprit.pcm, culprit.settings)]
    transcriber, cache = with_standing_in(whisper, choking_on(whisper, *bad), batch_size=8)
    with closing(cache):
        answers = dict(transcriber.transcribe(job for job, _ in mixed.values()))
    failed = answers.pop("3")
    assert isinstance(failed, EngineError)
    assert "position 448" in str(failed)
    assert answers == {key: value for key, (_, value) in mixed.items() if key != "3"}


def test_a_clip_that_needs_fallback_is_decoded_again_alone(whisper: Path) -> None:
    again: list[Any] = []

    def transcribe(_: Any, **options: Any) -> Any:
        again.append(options["temperature"])
        return [said((" again", 0, 0.5))], ENGLISH

    model = faster_whisper(whisper)
    model.transcribe = transcribe
    transcriber, cache = with_standing_in(whisper, model, batch_size=4)
    sure = TranscriptionSettings(
        language="en", log_prob_threshold=None, compression_ratio_threshold=None, lost_speech_s=None
    )
    unsure = sure.model_copy(update={"log_prob_threshold": 0.0})
    asked = [TranscribeJob(key=f"{i}", pcm=phrase("english-two"), settings=s) for i, s in enumerate((sure, unsure))]
    with closing(cache):
        answers = dict(transcriber.transcribe(asked))
    assert [value.text for value in answers.values() if isinstance(value, Transcript)].count("again") == 1
    assert isinstance(answers["1"], Transcript)
    assert answers["1"].text == "again"
    assert again == [[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]]


def test_the_first_result_is_kept_if_the_second_decoding_fails(whisper: Path) -> None:
    def transcribe(*_: Any, **__: Any) -> Any:
        raise RuntimeError(CHOKED)

    sure = TranscriptionSettings(language="en", log_prob_threshold=None, compression_ratio_threshold=None)
    model = faster_whisper(whisper)
    model.transcribe = transcribe
    transcriber, cache = with_standing_in(whisper, model, batch_size=4)
    with closing(cache):
        expected = heard(transcriber, phrase("english-two"), sure)
        found = heard(transcriber, phrase("english-two"), sure.model_copy(update={"log_prob_threshold": 0.0}))
    assert found == expected
    assert found.words


def test_a_recording_is_freed_once_answered(whisper: Path, cache: ModelCache) -> None:
    answered: list[weakref.ref[Waveform]] = []

    def stream() -> Iterator[TranscribeJob]:
        for index in range(3):
            pcm = Waveform(samples=conversation("english-two").samples[:, : 3 * SAMPLE_RATE])
            answered.append(weakref.ref(pcm.samples))  # type: ignore[arg-type]
            yield TranscribeJob(key=str(index), pcm=pcm, settings=PLAIN)
            del pcm

    for index, _ in enumerate(engine(whisper, cache, batch_size=1).transcribe(stream())):
        gc.collect()
        assert all(pcm() is None for pcm in answered[:index])
    assert not any(model.leases for model in cache.stats().resident)
