"""The engines that need no model: the contract, and what each should get right."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines import vad
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.diarization.channels import ChannelDiarizer
from sensory_pipeline.engines.emotion.prosody import ProsodyClassifier
from sensory_pipeline_tests import places
from sensory_pipeline_tests.engine_contract import check_classifier

SAMPLES = places.SAMPLES


def conversation() -> tuple[Waveform, list[tuple[Span, str]]]:
    """A sample and its turns."""
    truth = json.loads((SAMPLES / "truth" / "broken_printer.flac.json").read_text())
    turns = [(Span.from_seconds(t["start_s"], t["end_s"]), t["speaker"]) for t in truth["turns"]]
    return decode(SAMPLES / truth["file"], max_duration_s=60).pcm, turns


def test_prosody_keeps_the_contract() -> None:
    check_classifier(ProsodyClassifier())


def test_voice_activity_follows_the_truth() -> None:
    pcm, truth = conversation()
    found = vad.speech_spans(pcm.mono())
    spoken = sum(s.overlap_ms(span) for s in found for span, _ in truth)
    assert spoken > 0.95 * sum(span.duration_ms for span, _ in truth)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found))


def test_voice_activity_does_not_depend_on_the_level() -> None:
    samples = conversation()[0].mono()
    loud, quiet = vad.speech_spans(samples), vad.speech_spans(samples * np.float32(0.02))
    assert len(loud) == len(quiet)
    assert all(abs(a.start_ms - b.start_ms) <= 64 for a, b in zip(loud, quiet, strict=True))


def test_channels_are_speakers() -> None:
    pcm, _ = conversation()
    call = Waveform(samples=np.concatenate([np.zeros_like(pcm.samples), pcm.samples]))
    ((_, found),) = ChannelDiarizer().diarize([DiarizeJob(key="a", pcm=call, settings=DiarizationSettings())])
    assert isinstance(found, Diarization)
    assert found.speakers == ("SPEAKER_01",)
