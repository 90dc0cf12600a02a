"""A recording while its clips are decoded, and its transcript."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, zip_longest

from sensory_pipeline.core.errors import EngineError
from sensory_pipeline.core.phrases import phrases
from sensory_pipeline.core.punctuation import goes_on, solid
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.core.untranscribed import untranscribed
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.stt.clip import Clip, DecodedSegment, DecodedWord
from sensory_pipeline.engines.stt.clip_boundaries import halves, with_margins, without_padding
from sensory_pipeline.engines.stt.repetitions import without_loops

_TOGETHER_MS = 300
"""Largest gap between parts of one word."""
_SURE = 0.5
"""Least mean probability of words in speech that was skipped at first, and of words that a half of a clip keeps."""


@dataclass(slots=True, kw_only=True)
class OpenRecording:
    """The clips of a recording, and their results.

    Attributes:
        job: What was asked.
        clips: In order of time.
        answers: The results so far.
        skipped: For a clip, the parts of it that were skipped and are decoded again, alone; these are clips, too.
        alone: All clips in `skipped`.
    """

    job: TranscribeJob
    clips: list[Clip]
    answers: dict[Clip, list[DecodedSegment] | EngineError] = field(default_factory=dict)
    skipped: dict[Clip, list[Clip]] = field(default_factory=dict)
    alone: set[Clip] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        return len(self.answers) == len(self.clips)

    def take(self, clip: Clip, found: list[DecodedSegment] | EngineError) -> list[Clip]:
        """Keep the result of a clip.

        If the result skips speech, the halves of the clip take its place. One with skipped speech is decoded again; one
        without keeps its words if their probability is high. If the clip cannot be halved, the skipped parts are
        decoded alone; of these, only text with a high probability is kept.

        Args:
            clip: One of `clips`.
            found: Its result.

        Returns:
            Clips that have to be decoded now.
        """
        if clip in self.alone and not (isinstance(found, EngineError) or _sure(found)):
            found = []
        self.answers[clip] = found
        if clip in self.alone or isinstance(found, EngineError):
            return []
        lost = list(_lost(clip, found))
        if not lost or not _words(found):  # no words at all mean silence
            return []
        settings = clip.settings
        if settings.language == "auto":  # a second language is what a decoder skips
            settings = settings.model_copy(update={"multilingual": True})
        index = self.clips.index(clip)
        speech = halves(clip.speech)
        if not speech:
            parts = [replace(clip, span=span, speech=(span,), settings=settings) for span in lost]
            self.skipped[clip] = parts
            self.alone.update(parts)
            self.clips[index + 1 : index + 1] = parts
            return parts
        spans = with_margins(speech, clip.span, clip.span.duration_ms)
        parts = [
            replace(clip, span=span, speech=half, settings=settings) for span, half in zip(spans, speech, strict=True)
        ]
        del self.answers[clip]
        self.clips[index : index + 1] = parts
        again = []
        for part, said in zip(parts, _cut(clip, found, [cover(parts[1].speech).start_ms]), strict=True):
            if _sure(said) and not any(span.overlap_ms(cover(part.speech)) for span in lost):
                self.answers[part] = [_shifted(heard, clip.span.start_s - part.span.start_s) for heard in said]
            else:
                again.append(part)
        return again

    def transcript(self, language: str | None) -> Transcript | EngineError:
        """The transcript, with gaps where clips failed or speech has no words; an error if all clips failed."""
        failed = [found for found in self.answers.values() if isinstance(found, EngineError)]
        if len(failed) == len(self.clips):
            return failed[0]
        segments = tuple(self._segments(language))
        return Transcript(language=language if segments else None, segments=segments, gaps=tuple(sorted(self._gaps())))

    def _gaps(self) -> Iterator[Span]:
        for clip, found in self.answers.items():
            if isinstance(found, EngineError):
                yield clip.span
            elif clip not in self.skipped:  # its skipped parts have gaps of their own
                yield from _lost(clip, found)

    def _pieces(self) -> Iterator[tuple[Clip, DecodedSegment]]:
        """All that was decoded. What a clip skipped at first is inserted where it belongs."""
        for clip in self.clips:
            if clip not in self.alone:
                parts = self.skipped.get(clip, [])
                pieces = _cut(clip, self._heard(clip), [part.span.start_ms for part in parts])
                for piece, part in zip_longest(pieces, parts):
                    yield from ((clip, heard) for heard in piece)
                    if part:
                        yield from ((part, heard) for heard in self._heard(part))

    def _heard(self, clip: Clip) -> list[DecodedSegment]:
        found = self.answers[clip]
        return [] if isinstance(found, EngineError) else found

    def _segments(self, language: str | None) -> Iterator[Segment]:
        """The segments without loops. Words are in order of start, inside the recording."""
        found = list(self._pieces())
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


def _lost(clip: Clip, found: Sequence[DecodedSegment]) -> Iterator[Span]:
    """Speech without words for longer than a pause."""
    least_s = clip.settings.lost_speech_s
    if least_s is not None:
        words = [(word.word, _placed(word, clip)) for word in _words(found)]
        yield from (span for span in untranscribed(without_padding(clip.speech), words) if span.duration_s >= least_s)


def _words(found: Iterable[DecodedSegment]) -> list[DecodedWord]:
    return [word for heard in found for word in heard.words]


def _sure(found: Iterable[DecodedSegment]) -> bool:
    probabilities = [word.probability for word in _words(found)]
    return bool(probabilities) and sum(probabilities) / len(probabilities) >= _SURE


def _cut(clip: Clip, found: Sequence[DecodedSegment], cuts_ms: Sequence[int]) -> list[list[DecodedSegment]]:
    """The segments before, between and after the cuts: one list more than there are cuts."""
    if not cuts_ms:
        return [list(found)]
    pieces: list[list[DecodedSegment]] = [[] for _ in range(len(cuts_ms) + 1)]
    for heard in found:
        places = [bisect_right(cuts_ms, _placed(word, clip).start_ms) for word in heard.words]
        for place in dict.fromkeys(places):
            words = tuple(word for word, at in zip(heard.words, places, strict=True) if at == place)
            pieces[place].append(replace(heard, words=words, text="".join(word.word for word in words)))
    return pieces


def _shifted(heard: DecodedSegment, seconds: float) -> DecodedSegment:
    words = (word._replace(start=word.start + seconds, end=word.end + seconds) for word in heard.words)
    return replace(heard, words=tuple(words))


def _goes_on(before: Word, word: Word) -> bool:
    return before.span.gap_ms(word.span) <= _TOGETHER_MS and goes_on(before.text, word.text)


def _joined(before: Word, word: Word) -> Word:
    """Two parts of one word, with the lower probability."""
    return replace(
        before,
        text=before.text + word.text,
        span=cover((before.span, word.span)),
        probability=min(before.probability, word.probability),
    )


def _placed(word: DecodedWord, clip: Clip) -> Span:
    """When the word is said, in its recording.

    Aligners stretch the first word of a clip to its start, and the last to its end; the part outside speech is cut off.
    """
    span = Span.from_seconds(clip.span.start_s + word.start, clip.span.start_s + word.end)
    spoken = cover(clip.speech)
    return span.clip(spoken) if span.overlap_ms(spoken) else span
