"""A recording while its clips are decoded, and what is made of their answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from sensory_pipeline.core.coverage import without_words
from sensory_pipeline.core.errors import EngineError
from sensory_pipeline.core.phrases import phrases
from sensory_pipeline.core.punctuation import goes_on, solid
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.stt.clips import halves, speech_alone
from sensory_pipeline.engines.stt.hallucinations import without_loops
from sensory_pipeline.engines.stt.whisper_batches import Clip, Heard, HeardWord

_TOGETHER_MS = 300
"""Between parts of one word at most."""


@dataclass(slots=True, kw_only=True)
class OpenRecording:
    """clips: in order of time; answers: of those that have one."""

    job: TranscribeJob
    clips: list[Clip]
    answers: dict[Clip, list[Heard] | EngineError] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.answers) == len(self.clips)

    def take(self, clip: Clip, found: list[Heard] | EngineError) -> list[Clip]:
        """Keeps the answer for a clip; where it skips speech, the halves of the clip are given, and take its place."""
        parts = [] if isinstance(found, EngineError) else _to_be_redone(clip, found)
        if parts:
            index = self.clips.index(clip)
            self.clips[index : index + 1] = parts
        else:
            self.answers[clip] = found
        return parts

    def transcript(self, language: str | None) -> Transcript | EngineError:
        """What was heard, with a gap for each clip that failed; an error where that are all of them."""
        failed = {clip: found for clip, found in self.answers.items() if isinstance(found, EngineError)}
        if len(failed) == len(self.clips):
            return next(iter(failed.values()))
        segments = tuple(self._segments(language))
        return Transcript(
            language=language if segments else None,
            segments=segments,
            gaps=tuple(clip.span for clip in self.clips if clip in failed),
        )

    def _segments(self, language: str | None) -> Iterator[Segment]:
        """What is left without loops. Words are in order of their starts, inside the recording."""
        answers = ((clip, self.answers[clip]) for clip in self.clips)
        found = [(clip, heard) for clip, answer in answers if not isinstance(answer, EngineError) for heard in answer]
        texts = [word.word for _, heard in found for word in heard.words]
        most, multilingual = self.job.settings.max_repeats, self.job.settings.multilingual
        kept = set(range(len(texts)) if most is None else without_loops(texts, max_repeats=most))
        indices = count()
        earliest_ms = 0
        for clip, heard in found:
            said = [word for word in heard.words if next(indices) in kept]
            words: list[Word] = []
            for word in said:
                span = _placed(word, clip).clip(self.job.pcm.span)
                start_ms = max(span.start_ms, earliest_ms)
                span = Span(start_ms=start_ms, end_ms=max(span.end_ms, start_ms))
                if text := word.word.strip():
                    blank = word.word[:1].isspace() or (not words and not solid(text[:1]))
                    found_word = Word(text=text, span=span, probability=float(word.probability), space_before=blank)
                    if words and not blank and _goes_on(words[-1], found_word):
                        words[-1] = _joined(words[-1], found_word)
                    else:
                        words.append(found_word)
                    earliest_ms = start_ms
            if words:
                whole = heard.text if len(said) == len(heard.words) else "".join(word.word for word in said)
                yield from phrases(
                    Segment(
                        span=cover(word.span for word in words),
                        text=whole.strip(),
                        words=tuple(words),
                        language=heard.language if multilingual or heard.language != language else None,
                    )
                )


def _to_be_redone(clip: Clip, found: Sequence[Heard]) -> list[Clip]:
    """The halves of a clip of which speech was skipped. Where nothing was heard at all, that is taken for silence.

    Each half tells its language anew, where nobody has given one: a second language is what a decoder skips.
    """
    words = [(word.word, _placed(word, clip)) for heard in found for word in heard.words]
    if clip.settings.lost_speech_s is None or not words:
        return []
    lost = without_words(speech_alone(clip.speech), words)
    if max((span.duration_s for span in lost), default=0) < clip.settings.lost_speech_s:
        return []
    settings = clip.settings
    if settings.language == "auto":
        settings = settings.model_copy(update={"multilingual": True})
    return [replace(clip, speech=half, settings=settings) for half in halves(clip.speech)]


def _goes_on(before: Word, word: Word) -> bool:
    return before.span.gap_ms(word.span) <= _TOGETHER_MS and goes_on(before.text, word.text)


def _joined(before: Word, word: Word) -> Word:
    """As sure as its parts are at least."""
    return replace(
        before,
        text=before.text + word.text,
        span=cover((before.span, word.span)),
        probability=min(before.probability, word.probability),
    )


def _placed(word: HeardWord, clip: Clip) -> Span:
    """When the word is said, in its recording."""
    return Span.from_seconds(clip.span.start_s + word.start, clip.span.start_s + word.end)
