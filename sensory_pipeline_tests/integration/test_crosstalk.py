"""What leaks from one channel of a call into another is silenced, and nothing else."""

from __future__ import annotations

import re
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sensory_pipeline.audio.crosstalk import Crosstalk, find_crosstalk, silence
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.results import RecordingResult
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.selection import chosen_engines
from sensory_pipeline.processing.plans import make_plan
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import places
from sensory_pipeline_tests.lakes import ingested, rows
from sensory_pipeline_tests.trivial_engines import trivial

TRUTH = places.SAMPLES / "real" / "truth" / "stereo_call.rttm"
CALL = TRUTH.parent.parent / "stereo_call.wav"
LEVELS_DB = (-10, -15, -20, -25, -30)

Sound = npt.NDArray[np.float64]


def call() -> Sound:
    return decode(CALL, channels="keep", max_duration_s=60).pcm.samples.astype(np.float64)


def turns() -> list[list[Span]]:
    found: list[list[Span]] = [[], []]
    for line in TRUTH.read_text(encoding="utf-8").splitlines():
        _, _, channel, start, length, *_ = line.split()
        found[int(channel) - 1].append(Span.from_seconds(float(start), float(start) + float(length)))
    return found


def leaking(sound: Sound, level_db: float, *, delay_ms: int = 0, band: bool = False) -> Sound:
    """Each channel on the other, too."""
    leaks = sound[::-1] * 10 ** (level_db / 20)
    if band:
        from scipy.signal import butter, sosfilt  # half a second of every test process

        leaks = sosfilt(butter(4, (300, 3400), "bandpass", fs=SAMPLE_RATE, output="sos"), leaks)
    moved = np.pad(leaks, ((0, 0), (delay_ms * SAMPLE_RATE // 1000, 0)))[:, : sound.shape[1]]
    return sound + moved


def noise(level: float, frames: int, *, seed: int = 1) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, level, frames)


def pcm_of(sound: Sound) -> Waveform:
    return Waveform(samples=np.clip(np.round(sound), -32768, 32767).astype(np.int16))


def mono() -> npt.NDArray[np.float64]:
    mixed: npt.NDArray[np.float64] = call().mean(axis=0)
    return mixed


def length_ms(spans: tuple[Span, ...]) -> int:
    return sum(span.duration_ms for span in spans)


def shared_ms(some: tuple[Span, ...], others: list[Span]) -> int:
    return sum(one.overlap_ms(other) for one in some for other in others)


@pytest.mark.parametrize("noise_level", [0, 10, 300])
def test_a_clean_call_has_none(noise_level: float) -> None:
    sound = call()
    sound += np.stack([noise(noise_level, sound.shape[1], seed=seed) for seed in (1, 2)])
    assert find_crosstalk(pcm_of(sound)) == Crosstalk(echoes=((), ()), copies={})


@pytest.mark.parametrize("level_db", LEVELS_DB)
@pytest.mark.parametrize(("delay_ms", "band"), [(0, False), (5, False), (0, True), (5, True)])
def test_echoes_are_found_and_nothing_else(level_db: int, delay_ms: int, band: bool) -> None:
    found = find_crosstalk(pcm_of(leaking(call(), level_db, delay_ms=delay_ms, band=band)))
    assert not found.copies
    for echoes, own, other in zip(found.echoes, turns(), turns()[::-1], strict=True):
        others_ms = sum(span.duration_ms for span in other)
        assert shared_ms(echoes, other) >= 0.95 * (others_ms - shared_ms(tuple(own), other))
        assert shared_ms(echoes, own) <= 0.03 * sum(span.duration_ms for span in own)


def test_crosstalk_may_go_one_way() -> None:
    sound = call()
    sound[1] += sound[0] / 10
    found = find_crosstalk(pcm_of(sound))
    assert not found.echoes[0]
    assert length_ms(found.echoes[1]) > 10_000


@pytest.mark.parametrize(("level_db", "share"), [(-10, 0.25), (-20, 0.1)])
def test_overlapped_speech_is_kept(level_db: int, share: float) -> None:
    """Where one of them pauses, the other is an echo there."""
    sound = call()
    one, other = (
        np.concatenate([side[span.start_ms * 16 : span.end_ms * 16] for span in spans])
        for side, spans in zip(sound, turns(), strict=True)
    )
    frames = min(len(one), len(other))
    found = find_crosstalk(pcm_of(leaking(np.stack([one[:frames], other[:frames]]), level_db)))
    assert max(length_ms(echoes) for echoes in found.echoes) < share * frames / 16


def copies() -> dict[str, npt.NDArray[np.float64]]:
    sound = mono()
    return {
        "identical": sound,
        "inverted": -sound,
        "louder": sound * 1.5,
        "quieter": sound * 0.7,
        "half as loud": sound * -0.5,
        "three samples later": np.roll(sound, 3),
        "with noise": sound + noise(10, len(sound)),
        "in steps of 64": np.round(sound / 64) * 64,
    }


@pytest.mark.parametrize("name", sorted(copies()))
def test_a_copy_is_silenced_as_a_whole(name: str) -> None:
    pcm = pcm_of(np.stack([mono(), copies()[name]]))
    before = pcm.samples[0].copy()
    found = find_crosstalk(pcm)
    assert found == Crosstalk(echoes=((), (pcm.span,)), copies={1: 0})
    assert found.remarks == ("channel 1 is the same sound as channel 0 and was silenced",)
    silence(pcm, found)
    assert (pcm.samples[0] == before).all()
    assert not pcm.samples[1, 80:-80].any()


def test_a_word_of_its_own_is_not_lost_with_a_copy() -> None:
    sound = mono()
    copy = sound * 0.9
    copy[160_000:169_600] = call()[0, 10_000:19_600]
    found = find_crosstalk(pcm_of(np.stack([sound, copy])))
    assert not found.copies
    assert not shared_ms(found.echoes[1], [Span(start_ms=10_000, end_ms=10_600)])


def test_only_the_copy_among_three_channels_is_silenced() -> None:
    sound = call()
    found = find_crosstalk(pcm_of(np.stack([sound[0], sound[1], -sound[0]])))
    assert found.copies == {2: 0}
    assert [bool(echoes) for echoes in found.echoes] == [False, False, True]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 700, 40_000])
def test_silence_and_short_sounds_have_none(channels: int, frames: int) -> None:
    found = find_crosstalk(Waveform(samples=np.zeros((channels, frames), np.int16)))
    assert found == Crosstalk(echoes=((),) * channels, copies={})
    assert not found.remarks


def test_one_channel_alone_has_none() -> None:
    assert find_crosstalk(pcm_of(mono()[None])) == Crosstalk(echoes=((),), copies={})


def test_hum_on_both_channels_is_not_crosstalk() -> None:
    sound = call()
    hum = 2000 * np.sin(2 * np.pi * 50 * np.arange(sound.shape[1]) / SAMPLE_RATE)
    assert find_crosstalk(pcm_of(sound + hum)).echoes == ((), ())


def test_a_long_recording_has_no_seams() -> None:
    """Where one of the stretches that are compared at a time ends and the next begins."""
    sound = noise(1000, 100 * SAMPLE_RATE)
    pcm = pcm_of(np.stack([sound, sound / 10]))
    assert find_crosstalk(pcm).echoes == ((), (pcm.span,))


def test_silenced_parts_fade_and_the_rest_is_unchanged() -> None:
    pcm = Waveform(samples=np.full((2, 4800), 1000, np.int16))
    span = Span(start_ms=100, end_ms=200)
    silence(pcm, Crosstalk(echoes=((), (span, Span(start_ms=250, end_ms=300))), copies={}))
    assert (pcm.samples[0] == 1000).all()
    echo = pcm.samples[1]
    assert (echo[:1600] == 1000).all()
    assert (echo[3200:4000] == 1000).all()
    assert not echo[1680:3120].any()
    assert not echo[4080:-80].any()
    assert np.abs(np.diff(echo)).max() <= 20


def test_samples_are_changed_in_place() -> None:
    """So that hours of sound need no second copy."""
    pcm = decode(CALL, channels="keep", max_duration_s=60).pcm
    silence(pcm, Crosstalk(echoes=((pcm.span,), ()), copies={}))
    assert not pcm.samples[0, 80:-80].any()
    assert pcm.samples[1].any()


def test_mono_recordings_are_not_processed_again() -> None:
    settings = [make_plan(ProcessRequest(stereo=stereo), trivial()).stages for stereo in (False, True)]
    assert settings[0][Stage.NORMALIZED_AUDIO].settings == '{"stereo": false}'
    assert settings[1][Stage.NORMALIZED_AUDIO].settings == '{"crosstalk": 1, "stereo": true}'


def written(path: Path, sound: Sound) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(sound))
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.ascontiguousarray(pcm_of(sound).samples.T).tobytes())
    return path


def test_a_recording_says_what_was_silenced(tmp_path: Path) -> None:
    written(tmp_path / "in" / "clean.wav", call())
    written(tmp_path / "in" / "leaking.wav", leaking(call(), -20))
    written(tmp_path / "in" / "same.wav", np.stack([mono(), mono()]))
    ingested(tmp_path / "in", tmp_path / "lake", shards=1, workers=1, stereo=True)
    clean, leaks, same = [
        remarks for (remarks,) in rows(tmp_path / "lake", "SELECT remarks FROM recordings ORDER BY name")
    ]
    assert clean is None
    assert re.fullmatch(
        r"channel 0 was silenced for 1\d s in which it was an echo of another; "
        r"channel 1 was silenced for 1\d s in which it was an echo of another",
        leaks,
    )
    assert same == "channel 1 is the same sound as channel 0 and was silenced"


@pytest.mark.usefixtures("real_models")
def test_words_said_once_are_written_once(tmp_path: Path) -> None:
    engines = chosen_engines(engine_choice(Settings(), stereo=True))

    def heard(sound: Sound) -> RecordingResult:
        path = written(tmp_path / "call.wav", sound)
        return process_file(path, ProcessRequest(stereo=True), engines, max_audio_hours=1)

    def words(result: RecordingResult) -> Counter[tuple[str, str | None]]:
        letters = re.compile(r"[^a-z']")
        return Counter(
            (letters.sub("", word.word.text.lower()), word.speaker) for said in result.utterances for word in said.words
        )

    clean, leaks = heard(call()), heard(leaking(call(), -20))
    assert clean.transcript is not None
    said = len(clean.transcript.words)
    assert ((words(clean) - words(leaks)) + (words(leaks) - words(clean))).total() <= 0.05 * said
    assert leaks.audio.remarks

    same = heard(np.stack([mono(), mono()]))
    assert same.diarization is not None
    assert same.transcript is not None
    assert same.diarization.speakers == ("SPEAKER_00",)
    assert len(same.transcript.words) == pytest.approx(said, rel=0.1)
