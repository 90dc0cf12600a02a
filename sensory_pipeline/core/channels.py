"""Recordings in which each channel is one speaker, as call centres make them.

No speaker has to be guessed: channel 0 is `SPEAKER_00`, channel 1 is `SPEAKER_01`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from sensory_pipeline.core.attribution import plausible_end_ms, spoken_span
from sensory_pipeline.core.diarization import Diarization, Turn, label
from sensory_pipeline.core.punctuation import join
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.speech_regions import SpeechRegions, overlapped_speech
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.core.utterances import AttributedWord

PAUSE_MS = 200
"""A shorter silence between two words is no pause (Heldner and Edlund, 2010, Journal of Phonetics 38)."""

_SILENCE = SpeechRegions(())


def merged_transcript(channels: Sequence[Transcript]) -> Transcript:
    """Merge the transcripts of all channels into one.

    A segment is cut where another channel says a word during one of its pauses, so that a question comes before
    its answer. A word on another channel that overlaps words of the segment does not cut it.

    Args:
        channels: One transcript for each channel, in order of channels; at least one.

    Returns:
        Segments in order of time, their words marked with their channel. The language is that of the channel with
        the most words; the gaps are those of all channels.
    """
    middles = [
        [(word.span.start_ms + plausible_end_ms(word)) // 2 for word in transcript.words] for transcript in channels
    ]
    segments: list[Segment] = []
    for channel, transcript in enumerate(channels):
        others = sorted(ms for other, found in enumerate(middles) if other != channel for ms in found)
        for segment in transcript.segments:
            words = tuple(replace(word, channel=channel) for word in segment.words)
            segments += _pieces(replace(segment, words=words), others)
    longest = max(channels, key=lambda transcript: len(transcript.words))
    return Transcript(
        language=longest.language,
        segments=tuple(sorted(segments, key=_start)),
        gaps=tuple(sorted(gap for transcript in channels for gap in transcript.gaps)),
    )


def _pieces(segment: Segment, others: Sequence[int]) -> Iterator[Segment]:
    """Cut the segment. `others` are the middles of all words on other channels, in milliseconds, in order."""
    pauses = [(plausible_end_ms(before), after.span.start_ms) for before, after in pairwise(segment.words)]
    cuts = [
        index
        for index, (start_ms, end_ms) in enumerate(pauses, 1)
        if end_ms - start_ms >= PAUSE_MS and bisect_left(others, start_ms) < bisect_left(others, end_ms)
    ]
    if not cuts:
        yield segment
        return
    for first, last in pairwise([0, *cuts, len(segment.words)]):
        words = segment.words[first:last]
        yield replace(segment, span=cover(word.span for word in words), text=join(words), words=words)


def channel_diarization(speech: Sequence[Sequence[Span]]) -> Diarization:
    """Turns from the speech found on each channel.

    Where several channels speak at once, the exclusive turns keep the one that began first.

    >>> both = [[Span(start_ms=0, end_ms=900)], [Span(start_ms=500, end_ms=1500)]]
    >>> [(turn.speaker, turn.span.start_ms, turn.span.end_ms) for turn in channel_diarization(both).exclusive]
    [('SPEAKER_00', 0, 900), ('SPEAKER_01', 900, 1500)]

    Args:
        speech: For each channel, where there is speech.
    """
    turns = sorted(
        (Turn(span=span, speaker=label(channel)) for channel, spans in enumerate(speech) for span in spans),
        key=lambda turn: (turn.span, turn.speaker),
    )
    exclusive: list[Turn] = []
    taken_ms = 0
    for turn in turns:
        if turn.span.end_ms > taken_ms:
            span = Span(start_ms=max(turn.span.start_ms, taken_ms), end_ms=turn.span.end_ms)
            exclusive.append(replace(turn, span=span))
            taken_ms = turn.span.end_ms
    return Diarization(turns=tuple(turns), exclusive=tuple(exclusive))


def attribute_channels(words: Sequence[Word], diarization: Diarization) -> tuple[AttributedWord, ...]:
    """Each word with its channel's speaker.

    Args:
        words: The words of all channels, in order of time.
        diarization: The turns of the channels.

    Raises:
        ValueError: A word has no channel.
    """
    tracks = {
        speaker: SpeechRegions(t.span for t in diarization.turns if t.speaker == speaker)
        for speaker in diarization.speakers
    }
    at_once = overlapped_speech(tracks.values())
    attributed = []
    for word in words:
        if word.channel is None:
            raise ValueError(f"the word {word.text!r} has no channel")
        speaker = label(word.channel)
        own = tracks.get(speaker, _SILENCE)
        spoken = spoken_span(word, own)
        attributed.append(
            AttributedWord(
                word=word,
                spoken=spoken,
                speaker=speaker,
                overlap_share=own.overlap_ms(spoken) / spoken.duration_ms if spoken.duration_ms else 0.0,
                runner_up=None,
                overlapped=at_once.overlap_ms(spoken) > 0,
            )
        )
    return tuple(attributed)


def _start(segment: Segment) -> tuple[int, int]:
    return segment.span.start_ms, segment.span.end_ms
