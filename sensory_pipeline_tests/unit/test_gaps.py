"""Speech that could not be transcribed: where an analyst sees it."""

from __future__ import annotations

from dataclasses import replace

from sensory_pipeline.core.channels import merged_transcript
from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.formats import json, text
from sensory_pipeline.core.process_request import Task
from sensory_pipeline.core.results import AudioFacts, RecordingResult
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.processing.tasks.serialization import TRANSCRIPT

TASKS = frozenset({Task.TRANSCRIBE})
AUDIO = AudioFacts(duration_ms=6000, codec="pcm_s16le", sample_rate=16_000, channels=1)
GAP = Span(start_ms=1000, end_ms=3500)


def transcript(*gaps: Span) -> Transcript:
    segments = tuple(
        Segment(span=span, text=said, words=(Word(text=said, span=span, probability=1.0),))
        for said, span in (("before", Span(start_ms=0, end_ms=900)), ("after", Span(start_ms=4000, end_ms=4500)))
    )
    return Transcript(language="en", segments=segments, gaps=gaps)


def result(transcript: Transcript) -> RecordingResult:
    return RecordingResult(audio=AUDIO, transcript=transcript, diarization=None, emotions=None)


def test_a_gap_is_in_json_where_there_is_one() -> None:
    assert json.document(result(transcript(GAP)), TASKS)["tra"]["gaps"] == [{"start": 1.0, "end": 3.5}]
    assert "gaps" not in json.document(result(transcript()), TASKS)["tra"]


def test_a_gap_has_its_place_in_the_text() -> None:
    assert text.render(result(replace(transcript(GAP), segments=transcript().segments[1:])), TASKS).splitlines() == [
        "[00:01.00 - 00:03.50] (could not be transcribed)",
        "[00:04.00 - 00:04.50] after",
    ]
    assert text.render(result(transcript(Span(start_ms=5000, end_ms=6000))), TASKS).splitlines()[-1] == (
        "[00:05.00 - 00:06.00] (could not be transcribed)"
    )


def test_gaps_of_all_channels_are_gaps() -> None:
    earlier = Span(start_ms=500, end_ms=1500)
    merged = merged_transcript([transcript(GAP), transcript(earlier)])
    assert merged.gaps == (earlier, GAP)
    assert result(merged).gaps == merged.gaps
    assert result(transcript()).gaps == ()


def test_results_without_gaps_of_an_older_version_are_read() -> None:
    assert TRANSCRIPT.validate_json('{"language": null, "segments": []}').gaps == ()
    assert TRANSCRIPT.validate_json(TRANSCRIPT.dump_json(transcript(GAP))) == transcript(GAP)


def test_a_turn_without_a_word_is_a_gap() -> None:
    """Both words are Anna's; in her second turn there is one, in the third none."""
    spans = [(0, 950), (3900, 4600), (4700, 6000)]
    turns = tuple(Turn(span=Span(start_ms=start, end_ms=end), speaker="SPEAKER_00") for start, end in spans)
    told = replace(result(transcript(GAP)), diarization=Diarization(turns=turns, exclusive=turns))
    assert told.gaps == (GAP, Span(start_ms=4750, end_ms=6000))
    assert json.document(told, TASKS)["tra"]["gaps"][1] == {"start": 4.75, "end": 6.0}
