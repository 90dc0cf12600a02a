"""What the emotion classifier is asked about one recording, and its answers in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.diarization import Diarization, label
from sensory_pipeline.core.emotion_windows import emotion_windows, utterance_windows
from sensory_pipeline.core.emotions import Emotion, Emotions, EmotionWindow
from sensory_pipeline.core.process_request import EmotionLevel, ProcessRequest
from sensory_pipeline.core.results import attributed, reported_words
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.core.utterances import utterances
from sensory_pipeline.engines.vad import speech_spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The windows of a recording to classify.

    Attributes:
        level: The level that was requested.
        items: Number of windows of that level.
        windows: Those windows, then one for each utterance.
        by_channel: Indices of the windows by the channel to classify them on; None for the mean of all channels.
        language: ISO 639-1 code; None without a transcript.
    """

    level: EmotionLevel
    items: int
    windows: tuple[EmotionWindow, ...]
    by_channel: Mapping[int | None, Sequence[int]]
    language: str | None

    @classmethod
    def about(
        cls, pcm: Waveform, request: ProcessRequest, transcript: Transcript | None, diarization: Diarization | None
    ) -> Self:
        """Choose the windows of a recording."""
        level = request.emo.level
        said = utterances(reported_words(attributed(transcript, diarization), drop_doubtful=request.drop_doubtful))
        # emotions of the file must not depend on which other tasks were requested
        speech = speech_spans(pcm.mono()) if level is EmotionLevel.FILE else ()
        items = emotion_windows(level, said, pcm.span, diarization=diarization, speech=speech)
        windows = items + utterance_windows(said)
        channels = {label(index): index for index in range(pcm.channels)} if request.stereo else {}
        by_channel: dict[int | None, list[int]] = {}
        for index, window in enumerate(windows):
            channel = channels.get(window.speaker) if window.speaker else None
            by_channel.setdefault(channel, []).append(index)
        return cls(
            level=level,
            items=len(items),
            windows=windows,
            by_channel=by_channel or {None: []},
            language=transcript.language if transcript else None,
        )

    def answered(self, answers: Sequence[tuple[Emotion, ...]]) -> Emotions:
        """Return the emotions in the order of the windows.

        Args:
            answers: One for each entry of `by_channel`, in its order.
        """
        placed = {
            index: emotion
            for indices, answer in zip(self.by_channel.values(), answers, strict=True)
            for index, emotion in zip(indices, answer, strict=True)
        }
        ordered = tuple(placed[index] for index in range(len(self.windows)))
        return Emotions(level=self.level, items=ordered[: self.items], utterances=ordered[self.items :])
