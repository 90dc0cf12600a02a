"""All that is known of one recording: what every table and every format is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from sensory_pipeline.core.attribution import attribute
from sensory_pipeline.core.channels import attribute_channels
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.doubtful_words import mark_doubtful
from sensory_pipeline.core.emotions import Emotions
from sensory_pipeline.core.punctuation import join
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.speech_regions import SpeechRegions
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.core.untranscribed import LOST_MS, untranscribed
from sensory_pipeline.core.utterances import AttributedWord, Utterance, utterances


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """The source as it arrived.

    Attributes:
        duration_ms: Length of its sound, in milliseconds.
        codec: FFmpeg's name of it.
        sample_rate: Hz.
        channels: Number of channels.
        track: Number of the audio track that was used; None if there is only one.
        damage: What is damaged, in words; None if nothing is.
        undecoded_ms: Milliseconds of sound lost by the damage; None if unknown.
        remarks: What was decided about its sound.
        sound: SHA-256 of the decoded samples; None if an older version decoded them.
    """

    duration_ms: int
    codec: str
    sample_rate: int
    channels: int
    track: int | None = None
    damage: str | None = None
    undecoded_ms: int | None = None
    remarks: tuple[str, ...] = ()
    sound: str | None = None


@dataclass(frozen=True, kw_only=True)  # without slots, so that words are attributed once
class RecordingResult:
    """All results for one recording. None stands for what was not asked for.

    Attributes:
        audio: The source.
        transcript: The words.
        diarization: The turns.
        emotions: The emotions.
        drop_doubtful: Whether doubtful words appear in the words table only.
    """

    audio: AudioFacts
    transcript: Transcript | None
    diarization: Diarization | None
    emotions: Emotions | None
    drop_doubtful: bool = False

    @cached_property
    def words(self) -> tuple[AttributedWord, ...]:
        """All words of the transcript, with their speakers; empty without a transcript."""
        return attributed(self.transcript, self.diarization)

    @cached_property
    def utterances(self) -> tuple[Utterance, ...]:
        """The utterances made of the reported words."""
        return utterances(reported_words(self.words, drop_doubtful=self.drop_doubtful))

    @cached_property
    def gaps(self) -> tuple[Span, ...]:
        """Speech without a word: gaps of the transcriber and parts of turns; empty without a transcript.

        Where each channel is a speaker, only the transcriber's gaps count, those of each channel by itself.
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
        """The transcript with the reported words only.

        It has as many segments as the transcript. A segment without a reported word is empty.
        """
        if self.transcript is None or not self.drop_doubtful:
            return self.transcript
        words = iter(self.words)
        segments = (_reported(segment, islice(words, len(segment.words))) for segment in self.transcript.segments)
        return replace(self.transcript, segments=tuple(segments))


def attributed(transcript: Transcript | None, diarization: Diarization | None) -> tuple[AttributedWord, ...]:
    """The words with their speakers, the doubtful ones marked.

    Args:
        transcript: None gives no words.
        diarization: None leaves the speakers unknown.
    """
    if transcript is None:
        return ()
    turns = diarization or Diarization(turns=(), exclusive=())
    words = transcript.words
    by_channel = bool(words) and words[0].channel is not None
    found = attribute_channels(words, turns) if by_channel else attribute(words, turns)
    return mark_doubtful(found, transcript, diarization)


def reported_words(words: Iterable[AttributedWord], *, drop_doubtful: bool) -> tuple[AttributedWord, ...]:
    """The words that utterances are made of: all, or all but the doubtful ones."""
    return tuple(word for word in words if not (drop_doubtful and word.doubtful))


def _reported(segment: Segment, words: Iterable[AttributedWord]) -> Segment:
    kept: tuple[Word, ...] = tuple(word.word for word in reported_words(words, drop_doubtful=True))
    if len(kept) == len(segment.words):
        return segment
    span = cover(word.span for word in kept) if kept else segment.span
    return replace(segment, span=span, text=join(kept), words=kept)
