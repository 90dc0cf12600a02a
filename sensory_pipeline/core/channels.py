"""Recordings in which each channel is one speaker, as call centres make them.

Nobody has to be guessed: who is heard on channel 0 is `SPEAKER_00`, on channel 1 `SPEAKER_01`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from sensory_pipeline.core.attribution import spoken_span
from sensory_pipeline.core.diarization import Diarization, Turn, label
from sensory_pipeline.core.punctuation import join
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.tracks import Track
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.core.utterances import AttributedWord

_SILENCE = Track(())


def merged_transcript(channels: Sequence[Transcript]) -> Transcript:
    """One transcript from one a channel: segments in order of time, words marked with their channel.

    A segment is cut where somebody on another channel begins to speak in a pause of it, so that a question comes
    before its answer; who speaks into its words cuts nothing. The language is that of the channel with the most
    words; a gap is one of any channel.
    """
    starts = [[word.span.start_ms for word in transcript.words] for transcript in channels]
    segments = [
        piece
        for channel, transcript in enumerate(channels)
        for segment in transcript.segments
        for piece in _pieces(
            replace(segment, words=tuple(replace(word, channel=channel) for word in segment.words)),
            [*starts[:channel], *starts[channel + 1 :]],
        )
    ]
    longest = max(channels, key=lambda transcript: len(transcript.words))
    return Transcript(
        language=longest.language,
        segments=tuple(sorted(segments, key=_start)),
        gaps=tuple(sorted(gap for transcript in channels for gap in transcript.gaps)),
    )


def _pieces(segment: Segment, others: Sequence[Sequence[int]]) -> Iterator[Segment]:
    """others: when words begin on each of the other channels, in order, in milliseconds."""
    cuts = [
        index
        for index, (before, after) in enumerate(pairwise(segment.words), 1)
        if any(bisect_left(starts, before.span.end_ms) < bisect_left(starts, after.span.start_ms) for starts in others)
    ]
    if not cuts:
        yield segment
        return
    for first, last in pairwise([0, *cuts, len(segment.words)]):
        words = segment.words[first:last]
        yield replace(
            segment, span=cover(word.span for word in words), text=join(word.text for word in words), words=words
        )


def channel_diarization(speech: Sequence[Sequence[Span]]) -> Diarization:
    """Turns from where speech is on each channel.

    Where several channels speak at once, the exclusive view follows whoever began first.

    >>> both = [[Span(start_ms=0, end_ms=900)], [Span(start_ms=500, end_ms=1500)]]
    >>> [(turn.speaker, turn.span.start_ms, turn.span.end_ms) for turn in channel_diarization(both).exclusive]
    [('SPEAKER_00', 0, 900), ('SPEAKER_01', 900, 1500)]
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
    """Each word with its channel's speaker. Raises ValueError for a word without a channel."""
    tracks = {
        speaker: Track(t.span for t in diarization.turns if t.speaker == speaker) for speaker in diarization.speakers
    }
    attributed = []
    for word in words:
        if word.channel is None:
            raise ValueError(f"the word {word.text!r} has no channel")
        speaker = label(word.channel)
        spoken = spoken_span(word, tracks.get(speaker, _SILENCE))
        heard_ms = {name: track.overlap_ms(spoken) for name, track in tracks.items()}
        own_ms = heard_ms.pop(speaker, 0)
        attributed.append(
            AttributedWord(
                word=word,
                spoken=spoken,
                speaker=speaker,
                overlap_share=own_ms / spoken.duration_ms if spoken.duration_ms else 0.0,
                runner_up=None,
                overlapped=bool(own_ms and any(heard_ms.values())),
            )
        )
    return tuple(attributed)


def _start(segment: Segment) -> tuple[int, int]:
    return segment.span.start_ms, segment.span.end_ms
