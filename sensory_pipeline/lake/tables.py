"""The tables that analysts read, with one row class per table.

Columns named `*_ms` are integer milliseconds in the files; the views show them in seconds as `*_s`. The second element
of each annotation describes the column: docs/tables.md, the Parquet schema, Dagster's column schema and the views'
comments all come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.schema import Table

RecordingId = Annotated[str, "Identifies the recording in every table."]
StartMs = Annotated[int, "Start, from the beginning of the recording."]
EndMs = Annotated[int, "End, from the beginning of the recording."]
Speaker = Annotated[str | None, "Speaker label, local to the recording; null if no speaker was found."]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRow:
    """One source audio, whether it could be processed or not."""

    recording_id: RecordingId
    uri: Annotated[str, "Address of the recording."]
    version: Annotated[str, "Version of the object the rows were made from."]
    size_bytes: Annotated[int, "Size of the object."]
    status: Annotated[
        str,
        "'ok', 'partial' (damaged; the rest was processed) or 'failed'; the view adds 'pending' if it waits for a run.",
    ]
    error_class: Annotated[str | None, "Kind of failure or damage; null when ok."]
    error_message: Annotated[str | None, "What failed or is damaged, and what to do about it; null when ok."]
    error_stage: Annotated[str | None, "Stage that failed or found the damage; null when ok."]
    duration_ms: Annotated[int | None, "Length of the audio."]
    codec: Annotated[str | None, "Codec of the source."]
    sample_rate: Annotated[int | None, "Sample rate of the source in Hz."]
    channels: Annotated[int | None, "Channels of the source."]
    track: Annotated[int | None, "Audio track that was used, from 1; null if there is only one."]
    undecoded_ms: Annotated[
        int | None, "Sound of the source that is damaged or missing; null if the amount is unknown."
    ]
    remarks: Annotated[str | None, "Notes about how the source's sound was processed; null if there are none."]
    language: Annotated[str | None, "ISO 639-1 code of the language; null if there is no speech."]
    speakers: Annotated[int | None, "Number of speakers found."]
    words: Annotated[int | None, "Number of words recognised."]
    untranscribed_ms: Annotated[
        int | None, "Speech that could not be transcribed, over all channels; null without a transcript."
    ]
    run_id: Annotated[str, "Dagster run that published the row."]
    pipeline_version: Annotated[str, "Version of this software that published the row."]
    published_at: Annotated[datetime, "When the row was published, UTC."]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """One stretch of speech: a sentence, or a phrase of a few seconds."""

    recording_id: RecordingId
    segment: Annotated[int, "Position in the recording, from 0."]
    start_ms: StartMs
    end_ms: EndMs
    text: Annotated[str, "Text, without doubtful words if those are dropped."]
    words: Annotated[int, "Number of words in the text."]
    language: Annotated[str | None, "ISO 639-1 code: of the segment if it was detected, else of the recording."]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordRow:
    """One word, with its speaker and how certain the speaker is."""

    recording_id: RecordingId
    word: Annotated[int, "Position in the recording, from 0."]
    segment: Annotated[int, "The segment it belongs to."]
    utterance: Annotated[int | None, "The utterance it belongs to; null if it was dropped as doubtful."]
    start_ms: StartMs
    end_ms: EndMs
    text: Annotated[str, "The word as written."]
    space_before: Annotated[bool | None, "Whether there is a space before it; null if the engine does not say."]
    probability: Annotated[float, "The transcriber's confidence, 0 to 1; for ranking, not calibrated."]
    speaker: Speaker
    overlap_share: Annotated[float, "Share of the word inside the speaker's turns, 0 to 1."]
    runner_up: Annotated[str | None, "The second most likely speaker; null if there is none."]
    overlapped: Annotated[bool, "Whether two or more people spoke during the word."]
    doubtful: Annotated[bool | None, "Whether probably nobody said it; null if an older version wrote the row."]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    """One stretch of speech of one speaker; turns of different speakers may overlap."""

    recording_id: RecordingId
    turn: Annotated[int, "Position in the recording, from 0."]
    start_ms: StartMs
    end_ms: EndMs
    speaker: Annotated[str, "Speaker label, local to the recording."]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerRow:
    """One speaker of one recording: talk time, turns and words."""

    recording_id: RecordingId
    speaker: Annotated[str, "Speaker label, local to the recording."]
    talk_ms: Annotated[int, "Time spent speaking."]
    talk_share: Annotated[float, "Share of all speakers' talk time, 0 to 1."]
    turns: Annotated[int, "Number of turns."]
    words: Annotated[int, "Number of words."]
    longest_turn_ms: Annotated[int, "Length of the longest turn."]
    words_per_minute: Annotated[float | None, "Words per minute of talk time; null without talk time."]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRow:
    """The voice of one speaker of one recording as a vector, if the diarizer makes vectors."""

    recording_id: RecordingId
    speaker: Annotated[str, "Speaker label, local to the recording."]
    vector: Annotated[tuple[float, ...], "Compare by cosine, and only with vectors of the same model and revision."]


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceRow:
    """Contiguous words of one speaker, with their emotion."""

    recording_id: RecordingId
    utterance: Annotated[int, "Position in the recording, from 0."]
    start_ms: StartMs
    end_ms: EndMs
    speaker: Speaker
    text: Annotated[str, "Text of the words."]
    words: Annotated[int, "Number of words."]
    emotion: Annotated[str | None, "The most probable of angry, sad, neutral and positive."]
    angry: Annotated[float | None, "Probability of angry."]
    sad: Annotated[float | None, "Probability of sad."]
    neutral: Annotated[float | None, "Probability of neutral."]
    positive: Annotated[float | None, "Probability of positive."]
    arousal: Annotated[float | None, "Calm (negative) to excited (positive); 0 is this speaker's average."]
    caveat: Annotated[
        str | None,
        "'heuristic': from rules, not a model; 'out_of_language': the model was trained on another language.",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionRow:
    """One emotion at the chosen level: a word, a sentence, a turn of a speaker, or a stretch of the file."""

    recording_id: RecordingId
    item: Annotated[int, "Position in the recording, from 0."]
    level: Annotated[str, "'word', 'sentence', 'speaker' (a turn) or 'file'."]
    start_ms: StartMs
    end_ms: EndMs
    speaker: Speaker
    emotion: Annotated[str, "The most probable of angry, sad, neutral and positive."]
    angry: Annotated[float, "Probability of angry."]
    sad: Annotated[float, "Probability of sad."]
    neutral: Annotated[float, "Probability of neutral."]
    positive: Annotated[float, "Probability of positive."]
    arousal: Annotated[float | None, "Calm (negative) to excited (positive); 0 is this speaker's average."]
    entropy: Annotated[float, "Uncertainty of the probabilities in nats, 0 to 1.386."]
    voiced_ms: Annotated[int, "Voiced part; if it is under a second, the turn around it counts too."]
    caveat: Annotated[
        str | None,
        "'heuristic': from rules, not a model; 'out_of_language': the model was trained on another language.",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stage of work on one recording: how its rows were made."""

    recording_id: RecordingId
    stage: Annotated[str, "normalized_audio, transcripts, diarization or emotions."]
    fingerprint: Annotated[str, "Hash of everything that decides the stage's output."]
    engine: Annotated[str, "Engine that was used."]
    model: Annotated[str, "Model that was used."]
    revision: Annotated[str, "Revision of the model."]
    settings: Annotated[str, "Settings that decide the output, as JSON."]
    device: Annotated[str, "Device, and precision if there is a choice."]
    run_id: Annotated[str, "Dagster run that executed the stage."]
    pipeline_version: Annotated[str, "Version of this software that executed the stage."]
    made_at: Annotated[datetime, "When the stage was executed, UTC."]


Row = RecordingRow | SegmentRow | WordRow | TurnRow | SpeakerRow | EmbeddingRow | UtteranceRow | EmotionRow | StageRow


TABLES: tuple[Table, ...] = (
    Table(name="recordings", row=RecordingRow, stage=None, order=("recording_id",)),
    Table(name="segments", row=SegmentRow, stage=Stage.TRANSCRIPTS, order=("recording_id", "segment")),
    Table(name="words", row=WordRow, stage=Stage.TRANSCRIPTS, order=("recording_id", "word")),
    Table(name="turns", row=TurnRow, stage=Stage.DIARIZATION, order=("recording_id", "turn")),
    Table(name="speakers", row=SpeakerRow, stage=Stage.DIARIZATION, order=("recording_id", "speaker")),
    Table(name="embeddings", row=EmbeddingRow, stage=Stage.DIARIZATION, order=("recording_id", "speaker")),
    Table(name="utterances", row=UtteranceRow, stage=Stage.EMOTIONS, order=("recording_id", "utterance")),
    Table(name="emotions", row=EmotionRow, stage=Stage.EMOTIONS, order=("recording_id", "item")),
    Table(name="stages", row=StageRow, stage=None, order=("recording_id", "stage")),
)


def table_of(row: type) -> Table:
    """Return the table that a row class belongs to.

    Raises:
        KeyError: The class is not a row class.
    """
    return {table.row: table for table in TABLES}[row]
