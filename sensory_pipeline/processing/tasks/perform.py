"""What an engine process does for each stage: tasks in, JSON results or errors out.

All of this runs in the process that has the engines. A recording that fails returns its error; the others continue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.channels import merged_transcript
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import Emotion
from sensory_pipeline.core.errors import Terminal, Transient
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob, TranscribeJob
from sensory_pipeline.engines.selection import Engines
from sensory_pipeline.processing.tasks.emotion_input import Question
from sensory_pipeline.processing.tasks.serialization import DIARIZATION, EMOTIONS, FACTS, TRANSCRIPT
from sensory_pipeline.processing.tasks.task import Outcome, StageTask

T = TypeVar("T")
Done = tuple[str, Outcome]
"""The id of a recording and the outcome of its stage."""


def perform(stage: Stage, engines: Engines, tasks: Iterator[StageTask]) -> Iterator[Done]:
    """Run a stage on a stream of recordings.

    Args:
        stage: The stage.
        engines: The engines of this process.
        tasks: The recordings; they are read ahead as far as the engine's batches need.

    Yields:
        One outcome for each recording, in any order.
    """
    return _STAGES[stage](engines, tasks)


def _normalize(engines: Engines, tasks: Iterator[StageTask]) -> Iterator[Done]:
    for task in tasks:
        try:
            with engines.activity.noting("host", "decoding"):
                facts = task.source.decode()[1]
        except (Terminal, Transient) as error:
            yield task.recording_id, error
        else:
            yield task.recording_id, FACTS.dump_json(facts).decode()


def _transcribe(engines: Engines, tasks: Iterator[StageTask]) -> Iterator[Done]:
    def ask(task: StageTask) -> Asked[TranscribeJob, Transcript]:
        def join(channels: list[Transcript]) -> bytes:
            return TRANSCRIPT.dump_json(merged_transcript(channels) if task.request.stereo else channels[0])

        return [TranscribeJob(key="", pcm=pcm, settings=task.request.tra) for pcm in _voices(task)], join

    return _through(engines.transcriber.transcribe, tasks, ask)


def _diarize(engines: Engines, tasks: Iterator[StageTask]) -> Iterator[Done]:
    def ask(task: StageTask) -> Asked[DiarizeJob, Diarization]:
        job = DiarizeJob(key="", pcm=task.source.open(), settings=task.request.dia)
        return [job], lambda found: DIARIZATION.dump_json(found[0])

    return _through(engines.diarizer.diarize, tasks, ask)


def _classify(engines: Engines, tasks: Iterator[StageTask]) -> Iterator[Done]:
    def ask(task: StageTask) -> Asked[ClassifyJob, tuple[Emotion, ...]]:
        pcm = task.source.open()
        question = Question.about(
            pcm,
            task.request,
            TRANSCRIPT.validate_json(task.transcript) if task.transcript else None,
            DIARIZATION.validate_json(task.diarization) if task.diarization else None,
        )
        jobs = [
            ClassifyJob(
                key="",
                pcm=pcm if channel is None else pcm.channel(channel),
                windows=tuple(question.windows[index] for index in indices),
                language=question.language,
            )
            for channel, indices in question.by_channel.items()
        ]
        return jobs, lambda answers: EMOTIONS.dump_json(question.answered(answers))

    return _through(engines.classifier.classify, tasks, ask)


def _voices(task: StageTask) -> list[Waveform]:
    """Return the audio to transcribe: each channel if it is a speaker, else the whole."""
    pcm = task.source.open()
    return [pcm.channel(index) for index in range(pcm.channels)] if task.request.stereo else [pcm]


J = TypeVar("J", TranscribeJob, DiarizeJob, ClassifyJob)
Asked = tuple[list[J], Callable[[list[T]], bytes]]
"""The jobs of one recording, and a function that makes JSON from their results."""


def _through(
    engine: Callable[[Iterator[J]], Iterator[tuple[str, T | Terminal]]],
    tasks: Iterator[StageTask],
    ask: Callable[[StageTask], Asked[J, T]],
) -> Iterator[Done]:
    """Send each recording through the engine as one or more jobs, and join their results."""
    ready: deque[Done] = deque()
    opened: dict[str, tuple[Callable[[list[T]], bytes], dict[str, T | Terminal | None]]] = {}

    def jobs() -> Iterator[J]:
        for task in tasks:
            try:
                asked, join = ask(task)
            except (Terminal, Transient) as error:
                ready.append((task.recording_id, error))
                continue
            parts = {f"{task.recording_id}/{index}": job for index, job in enumerate(asked)}
            opened[task.recording_id] = join, dict.fromkeys(parts)
            for key, job in parts.items():
                yield replace(job, key=key)

    for key, value in engine(jobs()):
        identity = key.rpartition("/")[0]
        join, values = opened[identity]
        values[key] = value
        if all(found is not None for found in values.values()):
            del opened[identity]
            ready.append((identity, _joined(list(values.values()), join)))
        while ready:
            yield ready.popleft()
    yield from ready


def _joined(values: Sequence[T | Terminal | None], join: Callable[[list[T]], bytes]) -> str | Terminal:
    good: list[T] = []
    for value in values:
        if isinstance(value, Terminal):
            return value
        if value is not None:
            good.append(value)
    return join(good).decode()


_STAGES: dict[Stage, Callable[[Engines, Iterator[StageTask]], Iterator[Done]]] = {
    Stage.NORMALIZED_AUDIO: _normalize,
    Stage.TRANSCRIPTS: _transcribe,
    Stage.DIARIZATION: _diarize,
    Stage.EMOTIONS: _classify,
}
