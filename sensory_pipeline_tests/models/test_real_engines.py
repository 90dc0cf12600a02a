"""The default engines with their published weights, the smallest of Whisper's: the contract, and real speech."""

from __future__ import annotations

import pytest

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.process_request import DiarizationSettings, ProcessRequest, TranscriptionSettings
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.base import DiarizeJob, TranscribeJob
from sensory_pipeline.engines.selection import Engines, chosen_engines
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import places
from sensory_pipeline_tests.engine_contract import SPEECH, check_diarizer, check_transcriber
from sensory_pipeline_tests.kennedy import SAID, plain

REAL = places.SAMPLES / "real"


@pytest.fixture
def engines(real_models: None) -> Engines:
    return chosen_engines(engine_choice(Settings()))


def test_whisper_keeps_the_contract(engines: Engines) -> None:
    found = check_transcriber(engines.transcriber)
    speech = found["speech"]
    assert isinstance(speech, Transcript)
    assert plain(speech.text)[:4] == SAID.split()[:4]
    noise = found["noise"]
    assert isinstance(noise, Transcript)
    assert not noise.words


def test_diarization_keeps_the_contract(engines: Engines) -> None:
    found = check_diarizer(engines.diarizer)
    speech = found["speech"]
    assert isinstance(speech, Diarization)
    assert speech.speakers == ("SPEAKER_00",)
    for name in ("silence", "noise"):
        empty = found[name]
        assert isinstance(empty, Diarization)
        assert not empty.turns


@pytest.mark.parametrize("padding_s", [10, None])
def test_kennedy_is_transcribed_word_for_word(engines: Engines, padding_s: float | None) -> None:
    """In a short window and in Whisper's own, at the same times."""
    settings = TranscriptionSettings(window_padding_s=padding_s)
    job = TranscribeJob(key="jfk", pcm=decode(SPEECH, max_duration_s=60).pcm, settings=settings)
    ((_, heard),) = engines.transcriber.transcribe([job])
    assert isinstance(heard, Transcript)
    assert plain(heard.text) == SAID.split()
    starts = {word.text.strip(",."): word.span.start_s for word in heard.words}
    assert starts["Americans"] == pytest.approx(1.6, abs=0.3)
    assert heard.words[-1].span.end_s == pytest.approx(10.5, abs=0.4)


def test_two_people_on_the_telephone_are_distinguished(engines: Engines) -> None:
    found = process_file(REAL / "telephone_call.wav", ProcessRequest(), engines, max_audio_hours=1)
    assert found.diarization is not None
    assert len(found.diarization.speakers) == 2
    wanted = [line.split() for line in (REAL / "truth" / "telephone_call.rttm").read_text().splitlines()]
    starts = [float(fields[3]) for fields in wanted]
    heard = [turn.span.start_s for turn in found.diarization.exclusive]
    assert all(min(abs(start - other) for other in heard) < 1.5 for start in starts)


def test_numbers_of_speakers_are_kept(engines: Engines) -> None:
    pcm = decode(REAL / "telephone_call.wav", max_duration_s=60).pcm

    def speakers(**wanted: int) -> int:
        job = DiarizeJob(key="a", pcm=pcm, settings=DiarizationSettings(**wanted))
        ((_, found),) = engines.diarizer.diarize([job])
        assert isinstance(found, Diarization)
        assert {vector.speaker for vector in found.embeddings} == set(found.speakers)
        return len(found.speakers)

    assert speakers(speakers=1) == 1
    assert speakers(speakers=3) == 3
    assert speakers(min_speakers=3) >= 3
    assert speakers(max_speakers=1) == 1
