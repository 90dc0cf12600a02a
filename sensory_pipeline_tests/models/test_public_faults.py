"""Inputs made after public reports of faults, through the whole chain of `sensory process` with Whisper base.

What each is stands in the research notes beside the inputs. A few run always, all of them with --soak.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from operator import eq

import pytest

from bench.normalisation import normalised
from sensory_pipeline.core.process_request import Task
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.engines.selection import Engines, chosen_engines
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import places
from sensory_pipeline_tests.published_models import published

FAULTS = places.SHARED / "audio" / "faults"

SILLY = "you don't mean that you thought me so silly"
REJOIN = "rejoin the"
RECITER = "who then was the reciter point him out to me"
ACCOUNT = "i really liked that account of himself"
FOUR = (SILLY, REJOIN, RECITER, ACCOUNT)
_EARLY_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """said: in this order; starts_s: when the first word of each is said, where that is in question;
    language: of the last of it; always: whether it runs without --soak."""

    file: str
    said: tuple[str, ...] = FOUR
    starts_s: tuple[float, ...] = ()
    stereo: bool = False
    language: str = "en"
    always: bool = False


ROWS = (
    Row(file="numbers_en.wav", said=("well known state of the art system costs $3500000 up 10% from",)),
    Row(file="elision_fr.wav", said=("d'avoir",), language="fr"),
    Row(file="two_speakers_second_lost.flac", said=("account of himself better than", "poetry but now and my")),
    Row(
        file="two_speakers_second_lost2.flac",
        said=("food or medicine was last taken", "folks are all sleeping"),
        always=True,
    ),
    Row(file="english_then_german.opus", said=("free of charge", "diese software", "das recht"), language="de"),
    Row(file="stereo/both_channels_the_same.opus", said=("account of himself better than",), stereo=True),
    Row(file="stereo/bleed_25dB.opus", said=("account of himself", "folks are all sleeping"), stereo=True),
    Row(file="late_audio_5s.mkv", starts_s=(5.1, 8.3, 10.0, 14.2)),
    Row(file="gap_10s.webm", starts_s=(0.1, 3.3, 5.0, 19.2)),
    Row(file="phase_inverted.opus", always=True),
    Row(file="commentary_first_main_default.mkv"),
    Row(file="undecodable_track_first.mkv"),
    Row(file="no_eos_flag.opus"),
    Row(file="joined.wav"),
    Row(file="size_placeholder_7fffffdb.wav"),
    Row(file="size_placeholder_ffffffd3.wav"),
    Row(file="id3_before_riff.wav"),
    Row(file="chained_other_rate.ogg"),
    Row(file="suffix/a.mpga"),
    Row(file="suffix/c.3gpp", said=(ACCOUNT,)),  # AMR at 8 kHz: what else is heard depends on rounding
    Row(file="suffix/g.spx"),
    Row(file="suffix/h.m4v"),
    Row(file="suffix/rec.weba"),
    Row(file="suffix/twilio.mka"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)
def test_every_word_is_transcribed_once_in_its_place(row: Row, soak: bool) -> None:
    if not (FAULTS / row.file).is_file():
        pytest.skip(f"{row.file} is not here")
    if not (row.always or soak):
        pytest.skip("only with --soak")
    result = _processed(row.file, row.stereo)
    assert result.transcript
    assert result.audio.damage is None
    heard = normalised(result.transcript.text, row.language).split()
    found = [_places(normalised(part, row.language).split(), heard) for part in row.said]
    assert [len(places) for places in found] == [1] * len(row.said), heard
    assert found == sorted(found), heard
    words = [(normalised(word.text, row.language), word.span.start_s) for word in result.transcript.words]
    for part, start_s in zip(row.said, row.starts_s, strict=False):
        first = normalised(part, row.language).split()[0]
        begins = [begin for word, begin in words if word == first]
        assert min(abs(begin - start_s) for begin in begins) < _EARLY_S, (part, begins)


def _places(said: list[str], heard: list[str]) -> list[int]:
    """Where a passage begins among the words heard; a third of its words may be others.

    Rounding differs between processors: one with AVX-512 hears "food or medicine", one with AVX2 "fruit a medicine".
    """
    starts = range(len(heard) - len(said) + 1)
    return [start for start in starts if sum(map(eq, said, heard[start:])) * 3 >= len(said) * 2]


def _processed(file: str, stereo: bool) -> RecordingResult:
    request = (
        Settings()
        .request()
        .model_copy(update={"stereo": stereo, "tasks": frozenset({Task.TRANSCRIBE, Task.DIARIZATION})})
    )
    return process_file(FAULTS / file, request, _engines(stereo), max_audio_hours=1)


@cache
def _engines(stereo: bool) -> Engines:
    for name in ("whisper-base", "segmentation-3.0", "campplus"):
        published(name)
    return chosen_engines(engine_choice(Settings(), stereo=stereo))
