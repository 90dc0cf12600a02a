"""Diarization errors by pyannote.metrics, in whole milliseconds.

Missed speech, false alarms and speech of the wrong speaker, with the best one-to-one mapping of speakers for the
recording (NIST, Rich Transcription 2009 evaluation plan). Overlapped speech counts once for each speaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sensory_pipeline.core.diarization import Turn

if TYPE_CHECKING:
    from pyannote.core import Annotation


@dataclass(frozen=True, slots=True, kw_only=True)
class DiarizationErrors:
    """Errors in milliseconds; overlapped speech counts once for each speaker."""

    speech_ms: int
    missed_ms: int
    false_alarm_ms: int
    confused_ms: int

    @property
    def errors_ms(self) -> int:
        return self.missed_ms + self.false_alarm_ms + self.confused_ms


def diarization_errors(reference: Sequence[Turn], hypothesis: Sequence[Turn], *, collar_ms: int) -> DiarizationErrors:
    """Compare true with found turns.

    Args:
        reference: The true turns.
        hypothesis: The found turns.
        collar_ms: Time ignored on each side of every boundary of the reference.
    """
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    end_s = max((turn.span.end_s for turn in (*reference, *hypothesis)), default=0.0)
    metric = DiarizationErrorRate(collar=2 * collar_ms / 1000)  # pyannote.metrics counts both sides
    found = metric.compute_components(
        _annotation(reference), _annotation(hypothesis), uem=Timeline([Segment(0, end_s)] if end_s else [])
    )
    return DiarizationErrors(
        speech_ms=round(found["total"] * 1000),
        missed_ms=round(found["missed detection"] * 1000),
        false_alarm_ms=round(found["false alarm"] * 1000),
        confused_ms=round(found["confusion"] * 1000),
    )


def _annotation(turns: Sequence[Turn]) -> Annotation:
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for track, turn in enumerate(turns):
        if turn.span.duration_ms:
            annotation[Segment(turn.span.start_s, turn.span.end_s), track] = turn.speaker
    return annotation.support()
