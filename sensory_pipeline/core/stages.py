"""The steps between a recording and its tables, and the fingerprint that says when one must be redone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum

from sensory_pipeline.core.process_request import EmotionLevel, ProcessRequest, Task


class Stage(StrEnum):
    """In order of work; the names are those of the Dagster assets."""

    NORMALIZED_AUDIO = "normalized_audio"
    TRANSCRIPTS = "transcripts"
    DIARIZATION = "diarization"
    EMOTIONS = "emotions"


READS: dict[Stage, tuple[Stage, ...]] = {
    Stage.NORMALIZED_AUDIO: (),
    Stage.TRANSCRIPTS: (Stage.NORMALIZED_AUDIO,),
    Stage.DIARIZATION: (Stage.NORMALIZED_AUDIO,),
    Stage.EMOTIONS: (Stage.NORMALIZED_AUDIO, Stage.TRANSCRIPTS, Stage.DIARIZATION),
}
"""The stages that each stage builds on."""


def stages_for(request: ProcessRequest) -> tuple[Stage, ...]:
    """The stages that have to run for a request, in order.

    Emotions per word or sentence need the words and who said them; per speaker, the turns; per file, neither.

    >>> [str(s) for s in stages_for(ProcessRequest(tasks=frozenset({Task.DIARIZATION})))]
    ['normalized_audio', 'diarization']
    """
    needed = {Stage.NORMALIZED_AUDIO}
    if Task.TRANSCRIBE in request.tasks:
        needed.add(Stage.TRANSCRIPTS)
    if Task.DIARIZATION in request.tasks:
        needed.add(Stage.DIARIZATION)
    if Task.EMOTION in request.tasks:
        needed.add(Stage.EMOTIONS)
        if request.emo.level is not EmotionLevel.FILE:
            needed.add(Stage.DIARIZATION)
        if request.emo.level in (EmotionLevel.WORD, EmotionLevel.SENTENCE):
            needed.add(Stage.TRANSCRIPTS)
    return tuple(stage for stage in Stage if stage in needed)


def with_dependents(stages: Iterable[Stage]) -> frozenset[Stage]:
    """These stages, and every stage that builds on one of them.

    >>> sorted(with_dependents([Stage.DIARIZATION]))
    [<Stage.DIARIZATION: 'diarization'>, <Stage.EMOTIONS: 'emotions'>]
    """
    found = set(stages)
    for stage in Stage:  # in order of work, so that one pass is enough
        if found.intersection(READS[stage]):
            found.add(stage)
    return frozenset(found)


def fingerprint(parts: Mapping[str, object]) -> str:
    """16 hexadecimal digits over everything that determines a stage's output.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True

    Args:
        parts: JSON values; their order does not matter.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def engines_at_fault(total: int, failed: int) -> bool:
    """Whether there are so many failures that the run should fail.

    >>> engines_at_fault(20, 11), engines_at_fault(20, 10), engines_at_fault(5, 5)
    (True, False, False)

    Args:
        total: Recordings tried.
        failed: Recordings that failed for a reason other than their own content.
    """
    return total >= 20 and failed * 2 > total
