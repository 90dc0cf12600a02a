"""Which parts of a recording an emotion classifier gets.

Classifiers do best on 2.5 to 25 s of one speaker. A window may be shorter; then its turn, the speech of
the same speaker around it, gives it context. A turn is never longer than 25 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import EmotionWindow
from sensory_pipeline.core.pauses import parts, split_at_pauses
from sensory_pipeline.core.process_request import EmotionLevel
from sensory_pipeline.core.sentences import LIMIT_MS, sentences
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.utterances import Utterance

FILE_LIMIT_MS = 30_000
"""A recording up to this long is one window at file level; a longer one is cut."""


def emotion_windows(
    level: EmotionLevel,
    utterances: Sequence[Utterance],
    recording: Span,
    *,
    diarization: Diarization | None = None,
    speech: Sequence[Span] = (),
) -> tuple[EmotionWindow, ...]:
    """The windows for the rows at a level. No window reaches beyond the recording.

    Word level: one window for each word as it was spoken; it may be empty if an engine gives a word no time.
    Sentence level: one for each sentence, or without words, one for each exclusive turn; one above 25 s is cut evenly.
    Speaker level: one for each turn, even where turns overlap. File level: the whole recording if it is no longer than
    30 s; else its speech, cut at pauses, or if there is no speech, cut evenly.

    Args:
        level: What a row stands for.
        utterances: Who said what; empty without a transcript.
        recording: The whole recording.
        diarization: The turns; None if there are none.
        speech: Where there is speech, in order, from any voice activity detector; used at file level.
    """
    match level:
        case EmotionLevel.WORD:
            windows = _word_windows(utterances)
        case EmotionLevel.SENTENCE:
            windows = _sentence_windows(utterances) if utterances else _turn_windows(diarization)
        case EmotionLevel.SPEAKER:
            windows = _speaker_windows(diarization)
        case EmotionLevel.FILE:
            windows = _file_windows(recording, speech, diarization)
    return tuple(_inside(window, recording) for window in windows)


def utterance_windows(utterances: Sequence[Utterance]) -> tuple[EmotionWindow, ...]:
    """One window for each utterance, however long.

    An utterance longer than 25 s has as parts the turns of its words, so that a classifier gets no sound twice.
    """
    return tuple(
        EmotionWindow(
            span=utterance.span,
            turn=utterance.span,
            speaker=utterance.speaker,
            parts=tuple(part for part, _ in _turns([utterance])) if utterance.span.duration_ms > LIMIT_MS else (),
        )
        for utterance in utterances
    )


def _word_windows(utterances: Sequence[Utterance]) -> Iterator[EmotionWindow]:
    for turn, said in _turns(utterances):
        for sentence in said:
            for word in sentence.words:
                yield EmotionWindow(span=word.spoken, turn=turn, speaker=word.speaker)


def _sentence_windows(utterances: Sequence[Utterance]) -> Iterator[EmotionWindow]:
    for turn, said in _turns(utterances):
        for sentence in said:
            yield EmotionWindow(span=sentence.span, turn=turn, speaker=sentence.speaker)


def _turns(utterances: Sequence[Utterance]) -> Iterator[tuple[Span, Sequence[Utterance]]]:
    """Utterances, or parts of at most 25 s cut between sentences: the span and the sentences of each."""
    for utterance in utterances:
        said = sentences(utterance)
        for run in split_at_pauses([sentence.span for sentence in said], LIMIT_MS):
            yield cover(sentence.span for sentence in said[run]), said[run]


def _turn_windows(diarization: Diarization | None) -> Iterator[EmotionWindow]:
    for turn in diarization.exclusive if diarization else ():
        for part in parts(turn.span, LIMIT_MS):
            yield _whole(part, turn.speaker)


def _speaker_windows(diarization: Diarization | None) -> Iterator[EmotionWindow]:
    for turn in diarization.turns if diarization else ():
        long = turn.span.duration_ms > LIMIT_MS
        yield EmotionWindow(
            span=turn.span,
            turn=turn.span,
            speaker=turn.speaker,
            parts=tuple(parts(turn.span, LIMIT_MS)) if long else (),
        )


def _file_windows(recording: Span, speech: Sequence[Span], diarization: Diarization | None) -> Iterator[EmotionWindow]:
    speakers = diarization.speakers if diarization else ()
    speaker = speakers[0] if len(speakers) == 1 else None
    if recording.duration_ms <= FILE_LIMIT_MS or not speech:
        speech = (recording,)
    for run in split_at_pauses(speech, FILE_LIMIT_MS):
        for part in parts(cover(speech[run]), FILE_LIMIT_MS):
            yield _whole(part, speaker)


def _whole(span: Span, speaker: str | None) -> EmotionWindow:
    return EmotionWindow(span=span, turn=span, speaker=speaker)


def _inside(window: EmotionWindow, recording: Span) -> EmotionWindow:
    return EmotionWindow(
        span=window.span.clip(recording),
        turn=window.turn.clip(recording),
        speaker=window.speaker,
        parts=tuple(part.clip(recording) for part in window.parts),
    )
