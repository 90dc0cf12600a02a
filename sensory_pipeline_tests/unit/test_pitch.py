from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.engines.emotion.pitch import FRAME_MS, frame_at, track
from sensory_pipeline_tests.voices import Doubles, noise, pulses, resonate


def pcm(signal: Doubles, peak: float = 0.3) -> Waveform:
    scaled = signal * (peak * 32767 / max(1e-9, np.abs(signal).max()))
    return Waveform(samples=np.round(scaled).astype(np.int16)[None])


def steady(f0_hz: float, seconds: float = 0.6) -> Doubles:
    return pulses(np.full(round(seconds * SAMPLE_RATE), f0_hz))


def heard(recording: Waveform) -> Doubles:
    """The pitch of its voiced frames, which are most of those away from its ends."""
    f0 = track(recording).f0_hz[5:-5].astype(np.float64)
    assert (f0 > 0).mean() > 0.9
    return f0[f0 > 0]


@pytest.mark.parametrize("f0_hz", [68, 80, 110, 155, 220, 300, 410, 490])
def test_pulses_have_their_pitch_within_two_percent(f0_hz: float) -> None:
    assert heard(pcm(steady(f0_hz))) == pytest.approx(f0_hz, rel=0.02)


@settings(deadline=None, max_examples=30)
@given(f0_hz=st.floats(68, 490), peak=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_pitch_survives_noise_and_any_gain(f0_hz: float, peak: float, seed: int) -> None:
    voice = steady(f0_hz)
    noisy = voice + noise(len(voice), seed) * voice.std() / 10
    assert heard(pcm(noisy, peak)) == pytest.approx(f0_hz, rel=0.02)


@pytest.mark.parametrize("f0_hz", [90, 140, 220])
@pytest.mark.parametrize("harmonic", [2, 3])
def test_a_formant_on_a_harmonic_is_no_octave_jump(f0_hz: float, harmonic: int) -> None:
    source = steady(f0_hz)
    voice = source / 10 + resonate(source, harmonic * f0_hz, 80)
    assert heard(pcm(voice)) == pytest.approx(f0_hz, rel=0.02)


@pytest.mark.parametrize("f0_hz", [90, 140, 220])
def test_a_telephone_line_removes_the_fundamental_but_not_the_pitch(f0_hz: float) -> None:
    spectrum = np.fft.rfft(steady(f0_hz))
    hz = np.fft.rfftfreq(round(0.6 * SAMPLE_RATE), 1 / SAMPLE_RATE)
    voice = np.fft.irfft(np.where((hz > 300) & (hz < 3400), spectrum, 0))
    assert heard(pcm(voice)) == pytest.approx(f0_hz, rel=0.02)


def test_a_glide_is_followed() -> None:
    curve = np.geomspace(100, 300, 2 * SAMPLE_RATE)
    centres = (np.arange(200) * FRAME_MS + FRAME_MS // 2) * SAMPLE_RATE // 1000
    f0 = track(pcm(pulses(curve))).f0_hz
    assert f0[5:-5] == pytest.approx(curve[centres][5:-5], rel=0.03)


def test_noise_and_silence_have_no_voice() -> None:
    hiss, silence = noise(5 * SAMPLE_RATE), np.zeros(SAMPLE_RATE)
    hz = np.fft.rfftfreq(len(hiss), 1 / SAMPLE_RATE)
    rumble = np.fft.irfft(np.fft.rfft(hiss) / np.maximum(hz, 30))
    assert not track(pcm(hiss)).f0_hz.any()
    assert (track(pcm(rumble)).f0_hz > 0).mean() < 0.03
    assert not track(pcm(silence)).f0_hz.any()
    f0 = track(pcm(np.concatenate([steady(120, 1), silence, steady(200, 1)]))).f0_hz
    assert not f0[105:195].any()
    assert np.median(f0[205:]) == pytest.approx(200, rel=0.02)


def test_a_voice_far_in_the_background_is_no_voice() -> None:
    f0 = track(pcm(np.concatenate([steady(120, 1), steady(200, 1) / 100]))).f0_hz
    assert (f0[5:95] > 0).all()
    assert not f0[105:].any()


def test_level_is_against_full_scale() -> None:
    sine = np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    assert track(pcm(sine, peak=1.0)).level_db[5:-5] == pytest.approx(-3.01, abs=0.1)
    assert track(pcm(sine, peak=0.1)).level_db[5:-5] == pytest.approx(-23.01, abs=0.1)


def test_tilt_rises_with_the_upper_formants() -> None:
    source = steady(120)
    soft, pressed = (resonate(source, 500, 100) + gain * resonate(source, 2500, 200) for gain in (0.1, 1))
    gained = track(pcm(pressed)).tilt_db[5:-5] - track(pcm(soft)).tilt_db[5:-5]
    assert (gained > 10).all()


def test_earlier_sound_changes_no_frame() -> None:
    signal = np.concatenate([steady(150, 4), noise(SAMPLE_RATE) / 50, steady(210, 4)])
    whole = pcm(signal)
    later = Waveform(samples=whole.samples[:, SAMPLE_RATE:])
    assert np.array_equal(track(whole).f0_hz[110:-10], track(later).f0_hz[10:-10])
    assert track(whole).level_db[110:-10] == pytest.approx(track(later).level_db[10:-10], abs=1e-3)


def test_channels_are_mixed() -> None:
    voice = pcm(steady(130)).samples
    assert np.array_equal(
        track(Waveform(samples=np.vstack([voice, voice]))).f0_hz, track(Waveform(samples=voice)).f0_hz
    )


@pytest.mark.parametrize("length", [0, 1, 8, 80, 159, 160, 161, 1000])
def test_very_short_audio(length: int) -> None:
    voice = track(Waveform(samples=np.full((1, length), 1000, np.int16)))
    assert len(voice.f0_hz) == len(voice.level_db) == len(voice.tilt_db)
    assert np.isfinite(voice.level_db).all()
    assert np.isfinite(voice.tilt_db).all()


@settings(deadline=None, max_examples=30)
@given(first=st.integers(0, 10_000), length=st.integers(0, 500))
def test_a_span_holds_the_frames_centred_in_it(first: int, length: int) -> None:
    inside = [i for i in range(1200) if first <= i * FRAME_MS + FRAME_MS / 2 < first + length]
    assert inside == [i for i in range(frame_at(first), frame_at(first + length)) if i < 1200]


def test_a_long_recording_is_never_held_as_floats() -> None:
    minutes = Waveform(samples=np.random.default_rng(0).integers(-999, 999, (1, 300 * SAMPLE_RATE), np.int16))
    tracemalloc.start()
    try:
        track(minutes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < minutes.samples.nbytes
