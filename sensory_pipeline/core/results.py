"""All that is known of one recording: what every table and every format is made from."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.attribution import attribute
from sensory_pipeline.core.channels import attribute_channels
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import Emotions
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.core.utterances import Utterance, utterances


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """The source as it arrived. duration_ms: of its sound; sample_rate: Hz; remarks: what was decided about its
    sound."""

    duration_ms: int
    codec: str
    sample_rate: int
    channels: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingResult:
    """None stands for what was not asked."""

    audio: AudioFacts
    transcript: Transcript | None
    diarization: Diarization | None
    emotions: Emotions | None

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """The transcript's words with their speakers; empty without a transcript."""
        return reconciled(self.transcript, self.diarization)


def reconciled(transcript: Transcript | None, diarization: Diarization | None) -> tuple[Utterance, ...]:
    """Words x turns -> who said what. Without a diarization, nobody is named."""
    if transcript is None:
        return ()
    turns = diarization or Diarization(turns=(), exclusive=())
    words = transcript.words
    by_channel = bool(words) and words[0].channel is not None
    return utterances(attribute_channels(words, turns) if by_channel else attribute(words, turns))
