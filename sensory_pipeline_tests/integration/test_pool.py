"""Engine processes under supervision: what kills one costs only the recording that did it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from sensory_pipeline.core.errors import Crashed, EngineError, EngineUnavailable, UnsupportedLanguage
from sensory_pipeline.core.process_request import ProcessRequest, TranscriptionSettings
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.selection import EngineFactory, Engines
from sensory_pipeline.processing.tasks.audio_source import AudioSource
from sensory_pipeline.processing.tasks.task import StageTask
from sensory_pipeline.processing.workers.attempt import Attempt, TaskResult
from sensory_pipeline.processing.workers.dispatcher import Dispatcher
from sensory_pipeline.processing.workers.pool import EnginePool
from sensory_pipeline.processing.workers.stage_queue import StageQueue
from sensory_pipeline.storage.local import stat_object
from sensory_pipeline_tests import trivial_engines as engines
from sensory_pipeline_tests.audio_files import tone


@dataclass
class Notes:
    """A journal that counts."""

    begun: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    given_back: Counter[str] = field(default_factory=Counter)

    def started(self, task: StageTask) -> None:
        self.begun[task.recording_id] += 1

    def died(self, task: StageTask, cause: str) -> None:
        self.deaths[task.recording_id] += 1

    def returned(self, task: StageTask) -> None:
        self.given_back[task.recording_id] += 1


def attempts(folder: Path, *, culprit: bool, limit_s: float = 30, language: str = "auto") -> list[Attempt]:
    lengths = [300 + 10 * index for index in range(6)]
    if culprit:
        lengths.insert(3, engines.CULPRIT_MS)
    made = []
    for length in lengths:
        listed = stat_object(tone(folder / f"{length}.wav", length))
        source = AudioSource(
            uri=listed.uri,
            version=listed.version,
            decoded=folder / f"{length}.pcm.wav",
            max_duration_s=60,
            stereo=False,
        )
        request = ProcessRequest(tra=TranscriptionSettings(language=language))
        task = StageTask(recording_id=str(length), source=source, request=request, limit_s=limit_s)
        made.append(Attempt(task=task, quarantined=False, crashes=0))
    return made


def alone(factory: EngineFactory) -> list[Engines]:
    return [factory()]


def run(
    factory: EngineFactory, items: list[Attempt], *, size: int = 2, memory_mb: int = 4096
) -> tuple[dict[str, TaskResult], Notes]:
    notes = Notes()
    with EnginePool({"cpu": partial(alone, factory)}, size=size, memory_mb=memory_mb) as pool:
        answers = [answer for answer in Dispatcher(pool).run(Stage.TRANSCRIPTS, 0, items, notes) if answer]
    assert len({answer.recording_id for answer in answers}) == len(answers)
    return {answer.recording_id: answer for answer in answers}, notes


def assert_only_culprit_failed(answers: dict[str, TaskResult], kind: type[Exception], message: str) -> None:
    failed = {key: answer.outcome for key, answer in answers.items() if not isinstance(answer.outcome, str)}
    assert set(failed) == {str(engines.CULPRIT_MS)}
    (error,) = failed.values()
    assert type(error) is kind
    assert message in str(error)
    assert len(answers) == 7


def test_everyone_gets_an_answer(tmp_path: Path) -> None:
    answers, notes = run(engines.trivial, attempts(tmp_path, culprit=False))
    assert all(isinstance(answer.outcome, str) and key in answer.outcome for key, answer in answers.items())
    assert set(notes.begun.values()) == {1}
    assert not notes.deaths


def test_a_segfault_costs_one_recording(tmp_path: Path) -> None:
    answers, notes = run(engines.segfaulting, attempts(tmp_path, culprit=True))
    assert_only_culprit_failed(answers, Crashed, "SIGSEGV")
    assert "ingest" not in str(answers[str(engines.CULPRIT_MS)].outcome), "there may be no lake"
    assert notes.begun[str(engines.CULPRIT_MS)] == 3


def test_a_segfault_in_a_batch_costs_one_recording(tmp_path: Path) -> None:
    answers, notes = run(engines.segfaulting_in_batches, attempts(tmp_path, culprit=True), size=1)
    assert_only_culprit_failed(answers, Crashed, "SIGSEGV")
    assert max(count for key, count in notes.deaths.items() if key != str(engines.CULPRIT_MS)) == 1


def test_a_hang_costs_one_recording(tmp_path: Path) -> None:
    answers, _ = run(engines.hanging, attempts(tmp_path, culprit=True, limit_s=1))
    assert_only_culprit_failed(answers, Crashed, "no sign of life")


def test_excessive_memory_costs_one_recording(tmp_path: Path) -> None:
    answers, _ = run(engines.eating_memory, attempts(tmp_path, culprit=True), memory_mb=600)
    assert_only_culprit_failed(answers, Crashed, "600 MB")


def test_an_exception_of_the_engine_costs_one_recording(tmp_path: Path) -> None:
    answers, _ = run(engines.raising, attempts(tmp_path, culprit=True))
    assert_only_culprit_failed(answers, EngineError, "the engine failed: cannot allocate")


def test_a_process_is_not_trusted_after_an_exception(tmp_path: Path) -> None:
    answers, _ = run(engines.poisoned, attempts(tmp_path, culprit=True), size=1)
    assert_only_culprit_failed(answers, EngineError, "illegal memory access")


class Forgetful(Notes):
    """Cannot write down that work begins."""

    def started(self, task: StageTask) -> None:
        raise OSError("no space left on device")


def test_a_failure_is_raised_in_its_own_stream(tmp_path: Path) -> None:
    per_stage = dict.fromkeys(Stage, 1)
    factories = {"cpu": partial(alone, engines.slow)}
    with EnginePool(factories, size=1, memory_mb=4096, per_stage=per_stage) as pool:
        dispatcher = Dispatcher(pool)
        good = dispatcher.run(Stage.TRANSCRIPTS, 0, attempts(tmp_path, culprit=False), Notes())
        bad = dispatcher.run(Stage.DIARIZATION, 0, attempts(tmp_path, culprit=False), Forgetful())
        assert next(bad) is None
        assert len([answer for answer in good if answer]) == 6
        with pytest.raises(OSError, match="no space left"):
            list(bad)


def test_the_first_error_of_a_stage_is_raised() -> None:
    queue = StageQueue(Stage.TRANSCRIPTS, 0, [], Notes(), ahead=1, quarantined_last=True)
    queue.fail(UnsupportedLanguage("the cause"))
    queue.fail(EngineUnavailable("what followed"))
    with pytest.raises(UnsupportedLanguage):
        queue.check()


def test_a_message_that_cannot_be_read_costs_the_process_that_sent_it(caplog: pytest.LogCaptureFixture) -> None:
    factories = {"cpu": partial(alone, engines.cryptic)}
    with EnginePool(factories, size=1, memory_mb=4096, standby=True) as pool:
        pool.stand_by()
        dispatcher = Dispatcher(pool)
        while pool.of(Stage.DIARIZATION):
            dispatcher.listen()
    assert "cannot read a message" in caplog.text


def test_the_quarantined_of_an_earlier_run_come_last_and_alone(tmp_path: Path) -> None:
    items = attempts(tmp_path, culprit=True)
    items[3].quarantined, items[3].crashes = True, 2
    answers, notes = run(engines.segfaulting_in_batches, items, size=1)
    assert_only_culprit_failed(answers, Crashed, "SIGSEGV")
    assert sum(notes.deaths.values()) == 1


@pytest.mark.parametrize("last", [True, False])
def test_whom_a_crash_hit_is_tried_last_in_a_run_and_next_where_somebody_waits(tmp_path: Path, last: bool) -> None:
    first, *others = attempts(tmp_path, culprit=False)
    first.quarantined = True
    with EnginePool({"cpu": partial(alone, engines.trivial)}, size=1, memory_mb=4096) as pool:
        answers = Dispatcher(pool).run(Stage.TRANSCRIPTS, 0, [first, *others], Notes(), quarantined_last=last)
        order = [answer.recording_id for answer in answers if answer]
    assert order.index(first.task.recording_id) == (len(others) if last else 0)


def test_what_one_device_cannot_do_another_does(tmp_path: Path) -> None:
    factories = {"cpu:0": partial(alone, engines.failed_start), "cpu:1": partial(alone, engines.slow)}
    with EnginePool(factories, size=1, memory_mb=4096, standby=True) as pool:
        pool.stand_by()
        dispatcher = Dispatcher(pool)
        while len(pool.of(Stage.TRANSCRIPTS)) > 1:
            dispatcher.listen()
        assert pool.room(Stage.TRANSCRIPTS) == 0  # it is not tried again at once
        answers = dispatcher.run(Stage.TRANSCRIPTS, 0, attempts(tmp_path, culprit=False), Notes())
        assert len([answer for answer in answers if answer and isinstance(answer.outcome, str)]) == 6


def test_a_device_whose_models_cannot_be_loaded_gets_nothing_if_there_is_another(tmp_path: Path) -> None:
    factories = {"cpu:0": partial(alone, engines.unable_to_diarize), "cpu:1": partial(alone, engines.slow)}
    with EnginePool(factories, size=1, memory_mb=4096, standby=True) as pool:
        pool.stand_by()
        answers = Dispatcher(pool).run(Stage.DIARIZATION, 0, attempts(tmp_path, culprit=False), Notes())
        assert len([answer for answer in answers if answer and isinstance(answer.outcome, str)]) == 6


def test_a_wrong_setting_stops_the_run_and_fails_no_recording(tmp_path: Path) -> None:
    notes = Notes()
    with (
        EnginePool({"cpu": partial(alone, engines.trivial)}, size=1, memory_mb=4096) as pool,
        pytest.raises(UnsupportedLanguage, match="ru"),
    ):
        list(Dispatcher(pool).run(Stage.TRANSCRIPTS, 0, attempts(tmp_path, culprit=False, language="ru"), notes))
    assert notes.begun == notes.given_back
    assert not notes.deaths


def test_engines_that_cannot_start_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="exited with code 7"):
        run(engines.failed_start, attempts(tmp_path, culprit=False))


def test_a_pool_serves_several_streams(tmp_path: Path) -> None:
    with EnginePool({"cpu": partial(alone, engines.trivial)}, size=2, memory_mb=4096) as pool:
        dispatcher = Dispatcher(pool)
        for stage in (Stage.NORMALIZED_AUDIO, Stage.TRANSCRIPTS, Stage.DIARIZATION):
            answers = [found for found in dispatcher.run(stage, 0, attempts(tmp_path, culprit=False), Notes()) if found]
            assert len(answers) == 6
