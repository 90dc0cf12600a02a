"""The offline engines: the contract, and what each should get right."""

from __future__ import annotations

import json
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest

from sensory_pipeline.audio.decode import decode
from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.errors import UnsupportedLanguage
from sensory_pipeline.core.requests import DiarizationSettings, TranscriptionSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines import vad
from sensory_pipeline.engines.base import DiarizeJob, TranscribeJob
from sensory_pipeline.engines.diarization.channels import ChannelDiarizer
from sensory_pipeline.engines.diarization.offline import OfflineDiarizer
from sensory_pipeline.engines.emotion.prosody import ProsodyClassifier
from sensory_pipeline.engines.stt.bandwidth import widened
from sensory_pipeline.engines.stt.denoising import denoised, noise_power
from sensory_pipeline.engines.stt.pocketsphinx import PocketSphinxTranscriber
from sensory_pipeline_tests.engine_contract import SPEECH, check_classifier, check_diarizer, check_transcriber

SAMPLES = Path(__file__).parent.parent / "samples"


def conversation() -> tuple[Pcm, list[tuple[Span, str]]]:
    """A sample and its turns."""
    truth = json.loads((SAMPLES / "truth" / "broken_printer.flac.json").read_text())
    turns = [(Span.from_seconds(t["start_s"], t["end_s"]), t["speaker"]) for t in truth["turns"]]
    return decode(SAMPLES / truth["file"], max_duration_s=60).pcm, turns


def diarized(pcm: Pcm, **wanted: int) -> Diarization:
    ((_, found),) = OfflineDiarizer().diarize([DiarizeJob(key="a", pcm=pcm, settings=DiarizationSettings(**wanted))])
    assert isinstance(found, Diarization)
    return found


def test_pocketsphinx_keeps_the_contract() -> None:
    speech = check_transcriber(PocketSphinxTranscriber())["speech"]
    assert isinstance(speech, Transcript)
    assert {"and", "my", "fellow", "americans"} & set(speech.text.split())


def test_offline_diarization_keeps_the_contract() -> None:
    speech = check_diarizer(OfflineDiarizer())["speech"]
    assert isinstance(speech, Diarization)
    assert speech.speakers == ("SPEAKER_00",)


def test_prosody_keeps_the_contract() -> None:
    check_classifier(ProsodyClassifier())


@pytest.mark.parametrize("language", ["ru", "de"])
def test_pocketsphinx_refuses_other_languages(language: str) -> None:
    pcm = decode(SPEECH, max_duration_s=60).pcm
    job = TranscribeJob(key="a", pcm=pcm, settings=TranscriptionSettings(language=language))
    with pytest.raises(UnsupportedLanguage, match="SENSORY_LANGUAGE"):
        next(PocketSphinxTranscriber().transcribe([job]))


def test_who_speaks_when_in_a_conversation() -> None:
    pcm, truth = conversation()
    found = diarized(pcm)
    assert len(found.speakers) == 2
    best = max(
        sum(
            turn.span.overlap_ms(span)
            for turn in found.turns
            for span, speaker in truth
            if names.get(turn.speaker) == speaker
        )
        for order in permutations(("A", "B"))
        for names in [dict(zip(found.speakers, order, strict=True))]
    )
    assert best > 0.9 * sum(span.duration_ms for span, _ in truth)


def test_numbers_of_speakers_are_honoured() -> None:
    pcm, _ = conversation()
    assert len(diarized(pcm, speakers=1).speakers) == 1
    assert len(diarized(pcm, speakers=3).speakers) == 3
    assert len(diarized(pcm, min_speakers=3).speakers) >= 3
    assert len(diarized(pcm, max_speakers=1).speakers) == 1


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
    call = Pcm(samples=np.concatenate([np.zeros_like(pcm.samples), pcm.samples]))
    ((_, found),) = ChannelDiarizer().diarize([DiarizeJob(key="a", pcm=call, settings=DiarizationSettings())])
    assert isinstance(found, Diarization)
    assert found.speakers == ("SPEAKER_01",)


def test_noise_is_turned_down_and_speech_is_not() -> None:
    pcm, truth = conversation()
    clean = pcm.mono()
    noise = np.random.default_rng(3).normal(0, 0.003, len(clean)).astype(np.float32)
    noisy = clean + noise
    found = noise_power(noisy, [span for span, _ in truth])
    assert found is not None
    quiet = denoised(noisy, found)
    assert len(quiet) == len(noisy)
    lead = slice(0, truth[0][0].start_ms * 16 - 1600)
    assert np.std(quiet[lead]) < 0.5 * np.std(noisy[lead])
    first = slice(truth[0][0].start_ms * 16, truth[0][0].end_ms * 16)
    assert np.std(quiet[first]) == pytest.approx(np.std(clean[first]), rel=0.1)


def test_without_a_pause_there_is_no_noise_to_learn() -> None:
    samples = np.ones(16_000, np.float32)
    assert noise_power(samples, [Span(start_ms=0, end_ms=1000)]) is None


def test_only_narrow_bands_are_widened() -> None:
    wide = conversation()[0].mono()[:64_000]
    assert np.array_equal(widened(wide), wide)
    spectrum = np.fft.rfft(wide)
    spectrum[len(spectrum) * 34 // 80 :] = 0  # nothing above 3.4 kHz, as on a telephone
    narrow = np.fft.irfft(spectrum, len(wide)).astype(np.float32)
    power = np.abs(np.fft.rfft(widened(narrow))) ** 2
    top = power[len(power) * 45 // 80 : len(power) * 70 // 80].mean()
    assert top > 1e-4 * power[len(power) * 20 // 80 : len(power) * 30 // 80].mean()
    assert np.abs(np.fft.rfft(narrow)[len(power) * 45 // 80 :]).max() < 1e-2 * np.sqrt(top)
