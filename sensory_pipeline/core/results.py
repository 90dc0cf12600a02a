"""All that is known of one recording: what every table and every format is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from sensory_pipeline.core.attribution import attribute
from sensory_pipeline.core.channels import attribute_channels
from sensory_pipeline.core.coverage import LOST_MS, untranscribed
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.doubt import mark_doubtful
from sensory_pipeline.core.emotions import Emotions
from sensory_pipeline.core.punctuation import join
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.speech_regions import SpeechRegions
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.core.utterances import AttributedWord, Utterance, utterances


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """The source as it arrived.

    duration_ms: of its sound; sample_rate: Hz; track: number of the one that was taken, None where there
    is only one; damage: what of it is damaged, None when nothing is; undecoded_ms: sound that is lost by
    that, None where nobody can tell; remarks: what was decided about its sound.
    """

    duration_ms: int
    codec: str
    sample_rate: int
    channels: int
    track: int | None = None
    damage: str | None = None
    undecoded_ms: int | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)  # without slots, so that words are attributed once
class RecordingResult:
    """None stands for what was not asked. drop_doubtful: doubtful words are told to nobody but the words table."""

    audio: AudioFacts
    transcript: Transcript | None
    diarization: Diarization | None
    emotions: Emotions | None
    drop_doubtful: bool = False

    @cached_property
    def words(self) -> tuple[AttributedWord, ...]:
        """All of the transcript's, with their speakers; empty without a transcript."""
        return attributed(self.transcript, self.diarization)

    @cached_property
    def utterances(self) -> tuple[Utterance, ...]:
        """Of the words that are told."""
        return utterances(reported_words(self.words, drop_doubtful=self.drop_doubtful))

    @cached_property
    def gaps(self) -> tuple[Span, ...]:
        """Speech without a word: what the transcriber tells of, and parts of turns; none without a transcript.

        Where each channel is a speaker they are the transcriber's, each channel's for itself.
        """
        if self.transcript is None:
            return ()
        words = self.transcript.words
        if self.diarization is None or (words and words[0].channel is not None):
            return self.transcript.gaps
        turns = SpeechRegions(turn.span for turn in self.diarization.turns)
        silent = untranscribed(turns, ((word.text, word.span) for word in words))
        return tuple(SpeechRegions((*self.transcript.gaps, *(span for span in silent if span.duration_ms >= LOST_MS))))

    @cached_property
    def reported_transcript(self) -> Transcript | None:
        """The transcript without the words that are not told. It has as many segments; those without a word are
        empty."""
        if self.transcript is None or not self.drop_doubtful:
            return self.transcript
        words = iter(self.words)
        segments = (_reported(segment, islice(words, len(segment.words))) for segment in self.transcript.segments)
        return replace(self.transcript, segments=tuple(segments))


def attributed(transcript: Transcript | None, diarization: Diarization | None) -> tuple[AttributedWord, ...]:
    """Words x turns -> who said each, and whether anybody did. Without a diarization, nobody is named."""
    if transcript is None:
        return ()
    turns = diarization or Diarization(turns=(), exclusive=())
    words = transcript.words
    by_channel = bool(words) and words[0].channel is not None
    found = attribute_channels(words, turns) if by_channel else attribute(words, turns)
    return mark_doubtful(found, transcript, diarization)


def reported_words(words: Iterable[AttributedWord], *, drop_doubtful: bool) -> tuple[AttributedWord, ...]:
    """The words that utterances are made of."""
    return tuple(word for word in words if not (drop_doubtful and word.doubtful))


def _reported(segment: Segment, words: Iterable[AttributedWord]) -> Segment:
    kept: tuple[Word, ...] = tuple(word.word for word in reported_words(words, drop_doubtful=True))
    if len(kept) == len(segment.words):
        return segment
    span = cover(word.span for word in kept) if kept else segment.span
    return replace(segment, span=span, text=join(kept), words=kept)
