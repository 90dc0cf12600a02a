"""Threads that submit recordings at once to engines they share: each gets its own answer, and only its own error."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from sensory_pipeline.core.errors import Crashed, EngineError, EngineUnavailable, UnsupportedLanguage
from sensory_pipeline.core.process_request import ProcessRequest, TranscriptionSettings
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.selection import EngineFactory, Engines
from sensory_pipeline.processing.tasks.audio_source import AudioSource
from sensory_pipeline.processing.tasks.serialization import TRANSCRIPT
from sensory_pipeline.processing.tasks.task import StageTask
from sensory_pipeline.processing.workers.future_executor import EngineExecutor
from sensory_pipeline.processing.workers.pool import EnginePool
from sensory_pipeline.storage.local import stat_object
from sensory_pipeline_tests import trivial_engines as engines
from sensory_pipeline_tests.audio_files import tone

LENGTHS_MS = (300, 310, 320, engines.CULPRIT_MS, 330, 340, 350, 360)


def alone(factory: EngineFactory, count: int = 1) -> list[Engines]:
    return [factory() for _ in range(count)]


def executor(factory: EngineFactory, *, size: int = 2) -> EngineExecutor:
    return EngineExecutor(EnginePool({"cpu": partial(alone, factory)}, size=size, memory_mb=4096))


def task(folder: Path, length_ms: int, *, language: str = "auto") -> StageTask:
    listed = stat_object(tone(folder / f"{length_ms}.wav", length_ms))
    decoded = folder / f"{length_ms}.pcm.wav"
    source = AudioSource(uri=listed.uri, version=listed.version, decoded=decoded, max_duration_s=60, stereo=False)
    request = ProcessRequest(tra=TranscriptionSettings(language=language))
    return StageTask(recording_id="the same for all", source=source, request=request, limit_s=30)


def submitted(to: EngineExecutor, tasks: list[StageTask]) -> list[Future[str]]:
    """By a thread each, all at once."""
    at_once = Barrier(len(tasks))

    def submit(mine: StageTask) -> Future[str]:
        at_once.wait()
        return to.submit(Stage.TRANSCRIPTS, 0, mine)

    with ThreadPoolExecutor(len(tasks)) as threads:
        return list(threads.map(submit, tasks))


def text(future: Future[str]) -> str:
    return TRANSCRIPT.validate_json(future.result(60)).text


@pytest.mark.parametrize(
    ("factory", "kind"), [(engines.segfaulting_in_batches, Crashed), (engines.raising, EngineError)]
)
def test_a_bad_recording_fails_its_own_future_alone(
    factory: EngineFactory, kind: type[Exception], tmp_path: Path
) -> None:
    others = set(multiprocessing.active_children())
    with executor(factory) as shared:
        futures = submitted(shared, [task(tmp_path, length_ms) for length_ms in LENGTHS_MS])
        for length_ms, future in zip(LENGTHS_MS, futures, strict=True):
            if length_ms == engines.CULPRIT_MS:
                assert type(future.exception(60)) is kind
            else:
                assert text(future) == str(length_ms)
        # and the engines are there for the next
        assert text(shared.submit(Stage.TRANSCRIPTS, 0, task(tmp_path, 400))) == "400"
    assert set(multiprocessing.active_children()) <= others


def test_settings_that_an_engine_refuses_fail_only_their_recording(tmp_path: Path) -> None:
    with executor(engines.trivial, size=1) as shared:
        tasks = [
            task(tmp_path, length_ms, language="ru" if length_ms == 320 else "en") for length_ms in (300, 310, 320)
        ]
        *good, bad = submitted(shared, tasks)
        assert [text(future) for future in good] == ["300", "310"]
        assert isinstance(bad.exception(60), UnsupportedLanguage)


def test_recordings_that_arrive_while_engines_work_join_them(tmp_path: Path) -> None:
    others = set(multiprocessing.active_children())
    with executor(engines.slow, size=1) as shared:
        first = shared.submit(Stage.TRANSCRIPTS, 0, task(tmp_path, 300))
        assert text(first) == "300"
        futures = submitted(shared, [task(tmp_path, length_ms) for length_ms in (310, 320)])
        later = shared.submit(Stage.DIARIZATION, 0, task(tmp_path, 330))
        assert [text(future) for future in futures] == ["310", "320"]
        assert "SPEAKER_00" in later.result(60)
        assert len(set(multiprocessing.active_children()) - others) == 1


def test_stereo_recordings_do_not_wait_until_no_other_is_left(tmp_path: Path) -> None:
    sets = {"cpu": partial(alone, engines.slow, 2)}
    mono, stereo = task(tmp_path, 300), task(tmp_path, 310)
    with EngineExecutor(EnginePool(sets, size=1, memory_mb=4096)) as shared:
        crowd = [shared.submit(Stage.TRANSCRIPTS, 0, mono) for _ in range(24)]
        assert text(shared.submit(Stage.TRANSCRIPTS, 1, stereo)) == "310"
        assert not crowd[-1].done()
        assert {text(future) for future in crowd} == {"300"}


def test_engines_that_cannot_start_fail_all_waiting_requests(tmp_path: Path) -> None:
    with executor(engines.failed_start, size=1) as shared:
        futures = submitted(shared, [task(tmp_path, length_ms) for length_ms in (300, 310)])
        for future in futures:
            assert isinstance(future.exception(120), EngineUnavailable)


def test_requests_end_when_engines_are_closed(tmp_path: Path) -> None:
    with executor(engines.hanging, size=1) as shared:
        at_work = shared.submit(Stage.TRANSCRIPTS, 0, task(tmp_path, engines.CULPRIT_MS))
        ready, cancelled, waits = (shared.submit(Stage.TRANSCRIPTS, 0, task(tmp_path, 300)) for _ in range(3))
        while not ready.running():
            time.sleep(0.01)
        assert cancelled.cancel()
        assert not waits.running()
    for future in (at_work, ready, waits):
        assert isinstance(future.exception(0), EngineUnavailable)
    with pytest.raises(EngineUnavailable, match="closed"):
        shared.submit(Stage.TRANSCRIPTS, 0, task(tmp_path, 300))
