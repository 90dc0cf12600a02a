"""The result of one recording as rows of the tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.emotions import Emotion, Emotions
from sensory_pipeline.core.errors import TruncatedAudio
from sensory_pipeline.core.recordings import Recording
from sensory_pipeline.core.results import AudioFacts, RecordingResult
from sensory_pipeline.core.speakers import speaker_statistics
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.core.utterances import Utterance
from sensory_pipeline.lake.stage_store import StageResult
from sensory_pipeline.lake.tables import (
    EmbeddingRow,
    EmotionRow,
    RecordingRow,
    Row,
    SegmentRow,
    SpeakerRow,
    StageRow,
    TurnRow,
    UtteranceRow,
    WordRow,
)


def result_rows(recording: Recording, result: RecordingResult) -> Iterator[Row]:
    """Yield all rows of a result except those of `recordings` and `stages`."""
    identity = recording.recording_id
    said = result.utterances
    yield from _segment_rows(identity, result)
    yield from _word_rows(identity, result)
    if result.diarization is not None:
        yield from _speaker_rows(identity, result.diarization, said)
    yield from _utterance_rows(identity, said, result.emotions)
    if result.emotions is not None:
        for index, item in enumerate(result.emotions.items):
            yield _emotion_row(identity, index, result.emotions.level, item)


def recording_row(
    recording: Recording,
    *,
    audio: AudioFacts | None,
    result: RecordingResult | None,
    failure: tuple[Stage, StageResult] | None,
    run_id: str,
    pipeline_version: str,
    published_at: datetime,
) -> RecordingRow:
    """Return the row of `recordings`.

    Args:
        recording: The recording.
        audio: What decoding found; None if it failed.
        result: The result; None if a stage failed.
        failure: The stage that failed, with its error; None if all went well.
        run_id: The run that publishes.
        pipeline_version: Version of this software.
        published_at: Time of the publication (naive UTC).
    """
    stage, failed = failure if failure is not None else (None, None)
    damage = audio.damage if audio else None
    return RecordingRow(
        recording_id=recording.recording_id,
        uri=recording.uri,
        version=recording.version,
        size_bytes=recording.size_bytes,
        status="failed" if failed else "partial" if damage else "ok",
        error_class=failed.error_class if failed else TruncatedAudio.__name__ if damage else None,
        error_message=failed.error_message if failed else damage,
        error_stage=stage.value if stage else Stage.NORMALIZED_AUDIO.value if damage else None,
        duration_ms=audio.duration_ms if audio else None,
        codec=audio.codec if audio else None,
        sample_rate=audio.sample_rate if audio else None,
        channels=audio.channels if audio else None,
        track=audio.track if audio else None,
        undecoded_ms=audio.undecoded_ms if audio else None,
        remarks="; ".join(audio.remarks) or None if audio else None,
        language=result.transcript.language if result and result.transcript else None,
        speakers=len(result.diarization.speakers) if result and result.diarization else None,
        words=len(result.transcript.words) if result and result.transcript else None,
        untranscribed_ms=sum(gap.duration_ms for gap in result.gaps) if result and result.transcript else None,
        run_id=run_id,
        pipeline_version=pipeline_version,
        published_at=published_at,
    )


def stage_rows(recording: Recording, results: Mapping[Stage, StageResult]) -> Iterator[StageRow]:
    """Yield one row for each stage that was executed."""
    for stage, result in results.items():
        yield StageRow(
            recording_id=recording.recording_id,
            stage=stage.value,
            fingerprint=result.fingerprint,
            engine=result.engine,
            model=result.model,
            revision=result.revision,
            settings=result.settings,
            device=result.device,
            run_id=result.run_id,
            pipeline_version=result.pipeline_version,
            made_at=result.made_at,
        )


def _segment_rows(identity: str, result: RecordingResult) -> Iterator[SegmentRow]:
    transcript = result.reported_transcript
    if transcript is None:
        return
    for index, segment in enumerate(transcript.segments):
        yield SegmentRow(
            recording_id=identity,
            segment=index,
            start_ms=segment.span.start_ms,
            end_ms=segment.span.end_ms,
            text=segment.text,
            words=len(segment.words),
            language=segment.language or transcript.language,
        )


def _word_rows(identity: str, result: RecordingResult) -> Iterator[WordRow]:
    segments = result.transcript.segments if result.transcript else ()
    segment_of = [index for index, segment in enumerate(segments) for _ in segment.words]
    utterance_of = (index for index, utterance in enumerate(result.utterances) for _ in utterance.words)
    for position, attributed in enumerate(result.words):
        dropped = result.drop_doubtful and attributed.doubtful
        yield WordRow(
            recording_id=identity,
            word=position,
            segment=segment_of[position],
            utterance=None if dropped else next(utterance_of),
            start_ms=attributed.word.span.start_ms,
            end_ms=attributed.word.span.end_ms,
            text=attributed.word.text,
            space_before=attributed.word.space_before,
            probability=attributed.word.probability,
            speaker=attributed.speaker,
            overlap_share=attributed.overlap_share,
            runner_up=attributed.runner_up,
            overlapped=attributed.overlapped,
            doubtful=attributed.doubtful,
        )


def _speaker_rows(
    identity: str, diarization: Diarization, said: Iterable[Utterance]
) -> Iterator[TurnRow | SpeakerRow | EmbeddingRow]:
    for index, turn in enumerate(diarization.turns):
        yield TurnRow(
            recording_id=identity,
            turn=index,
            start_ms=turn.span.start_ms,
            end_ms=turn.span.end_ms,
            speaker=turn.speaker,
        )
    for s in speaker_statistics(diarization, [word for utterance in said for word in utterance.words]):
        yield SpeakerRow(
            recording_id=identity,
            speaker=s.speaker,
            talk_ms=s.talk_ms,
            talk_share=s.talk_share,
            turns=s.turns,
            words=s.words,
            longest_turn_ms=s.longest_turn_ms,
            words_per_minute=s.words_per_minute,
        )
    for voice in diarization.embeddings:
        yield EmbeddingRow(recording_id=identity, speaker=voice.speaker, vector=voice.vector)


def _utterance_rows(identity: str, said: tuple[Utterance, ...], emotions: Emotions | None) -> Iterator[UtteranceRow]:
    felt: list[Emotion | None] = list(emotions.utterances) if emotions else [None] * len(said)
    for index, (utterance, emotion) in enumerate(zip(said, felt, strict=True)):
        scores = emotion.scores if emotion else None
        yield UtteranceRow(
            recording_id=identity,
            utterance=index,
            start_ms=utterance.span.start_ms,
            end_ms=utterance.span.end_ms,
            speaker=utterance.speaker,
            text=utterance.text,
            words=len(utterance.words),
            emotion=scores.label if scores else None,
            angry=scores.angry if scores else None,
            sad=scores.sad if scores else None,
            neutral=scores.neutral if scores else None,
            positive=scores.positive if scores else None,
            arousal=emotion.arousal if emotion else None,
            caveat=emotion.caveat if emotion else None,
        )


def _emotion_row(identity: str, index: int, level: str, item: Emotion) -> EmotionRow:
    return EmotionRow(
        recording_id=identity,
        item=index,
        level=level,
        start_ms=item.window.span.start_ms,
        end_ms=item.window.span.end_ms,
        speaker=item.window.speaker,
        emotion=item.scores.label,
        angry=item.scores.angry,
        sad=item.scores.sad,
        neutral=item.scores.neutral,
        positive=item.scores.positive,
        arousal=item.arousal,
        entropy=item.scores.entropy,
        voiced_ms=item.voiced_ms,
        caveat=item.caveat,
    )
