"""Any file in, canonical audio out: right in time, pitch and loudness, and clear about what it refuses."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.pcm_file import read_pcm, write_pcm
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.errors import (
    AudioError,
    AudioTooLong,
    EmptyAudio,
    SourceUnavailable,
    TruncatedAudio,
    UnreadableAudio,
)
from sensory_pipeline.core.spans import Span
from sensory_pipeline_tests.decoded_audio import decoded
from sensory_pipeline_tests.encoded_audio import ENCODINGS, TONE_HZ, TONE_PEAK, TONE_S, Encoding, encode, tone

WAV = ENCODINGS["wav 44.1k stereo"]
FLOAT = Encoding(codec="pcm_f32le", container="wav", rate=16_000)


def sine(hertz: float, rate: int, seconds: float = 1.0, peak: float = 0.5) -> npt.NDArray[np.float64]:
    wanted: npt.NDArray[np.float64] = peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return wanted


def level(pcm: Waveform, channel: int = 0) -> float:
    """Peak of the sine that has the same power, full scale 1; without what filters do at the edges."""
    inner = pcm.samples[channel, 1600:-1600] / 32768
    return float(np.sqrt(2 * np.mean(inner**2)))


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_tone_arrives(name: str, tmp_path: Path) -> None:
    encoding = ENCODINGS[name]
    found = decoded(tone(name), tmp_path)
    assert (found.codec, found.sample_rate, found.channels) == (
        encoding.named or encoding.codec,
        encoding.rate,
        encoding.channels,
    )
    assert found.pcm.samples.shape[0] == 1
    assert found.pcm.samples.dtype == np.int16
    assert found.pcm.samples.shape[1] / SAMPLE_RATE == pytest.approx(TONE_S, abs=encoding.duration_tolerance_s)
    inner = found.pcm.mono()[1600:17_600]
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner))))
    assert int(spectrum.argmax()) == TONE_HZ  # bins of 1 Hz
    assert level(found.pcm) == pytest.approx(TONE_PEAK, abs=encoding.peak_tolerance)


@pytest.mark.parametrize("name", ["wav 44.1k stereo", "flac", "mp3 CBR", "opus stereo", "vorbis", "m4a"])
def test_channels_are_kept_when_asked(name: str, tmp_path: Path) -> None:
    encoding = ENCODINGS[name]
    left, right = sine(500, encoding.rate), sine(3000, encoding.rate, peak=0.25)
    found = decoded(encode(np.stack([left, right]), encoding), tmp_path, channels="keep").pcm
    assert found.channels == 2
    assert level(found, 0) == pytest.approx(0.5, abs=encoding.peak_tolerance)
    assert level(found, 1) == pytest.approx(0.25, abs=encoding.peak_tolerance)


@given(samples=arrays(np.int16, st.tuples(st.integers(1, 2), st.integers(1, 40_000))))
@settings(deadline=None, max_examples=10)
def test_pcm16_at_16_khz_is_bit_identical(
    samples: npt.NDArray[np.int16], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pcm") / "a.wav"
    write_pcm(path, Waveform(samples=samples))
    np.testing.assert_array_equal(decode(path, channels="keep", max_duration_s=10).pcm.samples, samples)


def test_mono_is_the_mean_of_the_channels(tmp_path: Path) -> None:
    one = sine(1000, 44_100, peak=0.8)
    assert level(decoded(encode(np.stack([one, 0 * one]), WAV), tmp_path).pcm) == pytest.approx(0.4, abs=1e-3)
    assert level(decoded(encode(np.stack([one, one]), WAV), tmp_path).pcm) == pytest.approx(0.8, abs=1e-3)


def test_the_mean_is_rounded_to_the_nearest(tmp_path: Path) -> None:
    write_pcm(tmp_path / "a.wav", Waveform(samples=np.array([[1, 3, -1, 32767], [2, 5, -2, 32767]], np.int16)))
    found = decode(tmp_path / "a.wav", max_duration_s=10).pcm
    assert found.samples.tolist() == [[2, 4, -2, 32767]]


def test_more_than_two_channels(tmp_path: Path) -> None:
    surround = Encoding(codec="pcm_s16le", container="wav", rate=16_000, layout="5.1")
    voices = np.stack([sine(1000, 16_000, peak=0.6), *np.zeros((5, 16_000))])
    content = encode(voices, surround)
    assert level(decoded(content, tmp_path).pcm) == pytest.approx(0.1, abs=1e-3)
    assert decoded(content, tmp_path, channels="keep").pcm.channels == 6


def test_loud_sound_is_clipped_not_wrapped(tmp_path: Path) -> None:
    found = decoded(encode(sine(1000, 16_000, peak=1.5)[None], FLOAT), tmp_path).pcm.samples
    assert (found.max(), found.min()) == (32767, -32768)
    assert np.abs(np.diff(found[0].astype(int))).max() < 25_000


def test_frequencies_above_8_khz_are_filtered_out(tmp_path: Path) -> None:
    above = decoded(encode(np.tile(sine(10_000, 44_100), (2, 1)), WAV), tmp_path).pcm
    assert level(above) < 1e-4  # -80 dB


@pytest.mark.parametrize("name", ["wav 44.1k stereo", "wav 8k", "flac", "mp3 CBR", "mp3 VBR", "opus", "vorbis", "m4a"])
def test_sound_keeps_its_place(name: str, tmp_path: Path) -> None:
    """Neither resampling nor the codec's own delay shifts a click at 0.6 s by a millisecond."""
    encoding = ENCODINGS[name]
    click = np.zeros((encoding.channels, encoding.rate))
    click[:, round(0.6 * encoding.rate)] = 0.9
    found = np.abs(decoded(encode(click, encoding), tmp_path).pcm.samples[0].astype(int))
    assert int(found.argmax()) / SAMPLE_RATE == pytest.approx(0.6, abs=0.001)


def test_the_sound_of_a_video(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    with av.open(path, "w") as container:
        picture = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        sounds = [container.add_stream("aac", rate=16_000, layout="mono") for _ in range(2)]
        for frame in [*(av.VideoFrame(64, 64, "yuv420p") for _ in range(10)), None]:
            container.mux(picture.encode(frame))
        for stream, hertz in zip(sounds, (500, 3000), strict=True):
            for start in range(0, 16_000, 1024):
                samples = sine(hertz, 16_000)[None, start : start + 1024].astype(np.float32)
                piece = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
                piece.sample_rate, piece.pts = 16_000, start
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
    found = decode(path, max_duration_s=60)
    assert found.codec == "aac"
    assert level(found.pcm) == pytest.approx(0.5, abs=0.03)
    spectrum = np.abs(np.fft.rfft(found.pcm.mono()[:16_000]))
    assert int(spectrum.argmax()) == pytest.approx(500, abs=1)


def test_joined_files_may_differ_in_rate_and_channels(tmp_path: Path) -> None:
    joined = tone("mp3 CBR") + tone("mp3 16k")
    assert decoded(joined, tmp_path).pcm.duration_ms == pytest.approx(2 * TONE_S * 1000, abs=110)
    with pytest.raises(UnreadableAudio, match="from 2 to 1 channels"):
        decoded(joined, tmp_path, channels="keep")


def test_tags_in_any_encoding_are_accepted(tmp_path: Path) -> None:
    content = tone("wav 16k").replace(b"Lavf", "Gesprä".encode("latin-1")[:4])
    assert decoded(content, tmp_path).pcm.duration_ms == 1500


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"", EmptyAudio, id="no bytes"),
        pytest.param(tone("wav 16k")[:78], EmptyAudio, id="wav header"),
        pytest.param(b"fLaC\x80" + tone("flac")[5:42], EmptyAudio, id="flac header"),
        pytest.param(b"Dear diary, today I recorded nothing.\n" * 99, UnreadableAudio, id="text"),
        pytest.param(b"<!doctype html><title>404 Not Found</title>" * 99, UnreadableAudio, id="html"),
        pytest.param(np.random.default_rng(1).bytes(50_000), UnreadableAudio, id="random bytes"),
        pytest.param(np.arange(50_000, dtype="<i2").tobytes(), UnreadableAudio, id="samples without a header"),
        pytest.param(b"ffconcat version 1.0\nfile other.wav\n", UnreadableAudio, id="list of files"),
        pytest.param(b"#EXTM3U\n#EXTINF:9,\nother.wav\n#EXT-X-ENDLIST\n", UnreadableAudio, id="playlist"),
    ],
)
def test_what_is_not_sound(content: bytes, error: type[AudioError], tmp_path: Path) -> None:
    (tmp_path / "other.wav").write_bytes(tone("wav 16k"))
    with pytest.raises(error):
        decoded(content, tmp_path)


def test_a_file_of_pictures_alone(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(path, "w") as container:
        picture = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for frame in [av.VideoFrame(64, 64, "yuv420p"), None]:
            container.mux(picture.encode(frame))
    with pytest.raises(UnreadableAudio, match="no audio stream"):
        decode(path, max_duration_s=60)


def test_an_unknown_codec(tmp_path: Path) -> None:
    content = bytearray(tone("wav 16k"))
    content[20:22] = b"\x99\x99"
    with pytest.raises(UnreadableAudio, match="no decoder"):
        decoded(bytes(content), tmp_path)


def test_invalid_samples_become_silence(tmp_path: Path) -> None:
    whole = sine(1000, 16_000)[None]
    for value in (np.nan, np.inf, 1e30):
        samples = whole.copy()
        samples[0, 9000] = value
        found = decoded(encode(samples, FLOAT), tmp_path)
        assert "1 of its samples are not valid numbers" in str(found.damage)
        assert found.undecoded_s == pytest.approx(1 / 16_000)
        difference = found.pcm.mono() - whole[0]
        assert np.flatnonzero(np.abs(difference) > 1e-4).tolist() in ([9000], [])
    with pytest.raises(TruncatedAudio, match="not valid numbers"):
        decoded(encode(np.full((1, 16_000), np.nan), FLOAT), tmp_path)


def test_floats_of_another_scale_are_scaled_down(tmp_path: Path) -> None:
    """As of 16-bit integers that were made floats and not divided; junk of a few numbers is no scale."""
    for gain, octaves in ((32, 6), (20_000, 16), (1.9, 0)):
        samples = gain * sine(1000, 16_000, peak=0.9)[None]
        samples[0, 5000:5075] = np.logspace(0, 9, 75)
        found = decoded(encode(samples, FLOAT), tmp_path)
        assert level(found.pcm) == pytest.approx(min(1.1, gain * 0.9 / 2**octaves), abs=0.35)
        assert bool(found.remarks) == (octaves > 0)


@pytest.mark.parametrize("right", [-1.0, -0.8])
def test_channels_that_cancel_each_other(right: float, tmp_path: Path) -> None:
    one = sine(1000, 44_100, seconds=4, peak=0.8)
    one[: 44_100 * 2] *= 0.5
    found = decoded(encode(np.stack([one, right * one]), WAV), tmp_path)
    assert level(found.pcm.cut(Span(start_ms=2000, end_ms=4000))) == pytest.approx(0.8, abs=1e-3)
    assert found.remarks == ("its channels cancel each other: for 4 s only the loudest one was used",)
    kept = decoded(encode(np.stack([one, right * one]), WAV), tmp_path, channels="keep")
    assert kept.remarks == ()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="No such file"):
        decode(tmp_path / "missing.wav", max_duration_s=60)
    with pytest.raises(SourceUnavailable, match="Is a directory"):
        decode(tmp_path, max_duration_s=60)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "private.wav"
    path.write_bytes(tone("wav 16k"))
    path.chmod(0)
    with pytest.raises(SourceUnavailable, match="Permission denied"):
        decode(path, max_duration_s=60)


def _ten_hours(path: Path, *, declared: int | None = None) -> None:
    """A wav of silence that takes no room on the disk."""
    content = 10 * 3600 * SAMPLE_RATE * 2
    header = bytearray(tone("wav 16k")[:78])
    header[74:78] = (content if declared is None else declared).to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + content)


def test_too_long_by_its_declared_length(tmp_path: Path) -> None:
    """Nothing is decoded: ten hours would take seconds."""
    _ten_hours(tmp_path / "long.wav")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(AudioTooLong, match="its 10 hours exceed the limit of 8 hours"):
        decode(tmp_path / "long.wav", max_duration_s=8 * 3600)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 0.5


@pytest.mark.parametrize("name", ["wav 8k", "flac", "mp3 CBR", "mp3 headerless", "opus", "m4a", "aac", "aiff"])
def test_too_long(name: str, tmp_path: Path) -> None:
    with pytest.raises(AudioTooLong):
        decoded(tone(name), tmp_path, max_duration_s=1)
    assert decoded(tone(name), tmp_path, max_duration_s=TONE_S + 0.06).pcm.duration_ms >= 1500


_MEASURED = """
import resource, sys
from pathlib import Path
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.errors import AudioTooLong
path, small, limit = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
decode(small, max_duration_s=60)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    size = decode(path, max_duration_s=limit).pcm.samples.nbytes
except AudioTooLong:
    size = 0
print(size, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def _measured(path: Path, small: Path, max_duration_s: float) -> tuple[int, int]:
    """Bytes of the result, and by how many the process grew at most, in a process of its own."""
    command = [sys.executable, "-c", _MEASURED, str(path), str(small), str(max_duration_s)]
    size, growth = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(size), int(growth)


def test_memory_is_bounded_by_the_result(tmp_path: Path) -> None:
    small, big = tmp_path / "small.wav", tmp_path / "big.wav"
    small.write_bytes(tone("wav 44.1k stereo"))
    minute = np.random.default_rng(0).integers(-9000, 9000, (60 * 44_100, 2), dtype=np.int16).tobytes()
    with wave.open(str(big), "wb") as file:
        file.setparams((2, 2, 44_100, 0, "NONE", ""))
        for _ in range(20):
            file.writeframes(minute)
    size, growth = _measured(big, small, 3600)
    assert size == 20 * 60 * SAMPLE_RATE * 2
    assert growth < 1.5 * size


def test_a_limit_stops_files_without_a_declared_length(tmp_path: Path) -> None:
    small, endless = tmp_path / "small.wav", tmp_path / "endless.wav"
    small.write_bytes(tone("wav 16k"))
    _ten_hours(endless, declared=0xFFFF_FFFF)
    size, growth = _measured(endless, small, 60)
    assert (size, growth < 30e6) == (0, True)


class TestDecodedAudioOnDisk:
    @given(samples=arrays(np.int16, st.tuples(st.integers(1, 2), st.integers(1, 3000))))
    @settings(deadline=None, max_examples=20)
    def test_is_read_as_it_was_written(
        self, samples: npt.NDArray[np.int16], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.mktemp("pcm") / "a.wav"
        write_pcm(path, Waveform(samples=samples))
        np.testing.assert_array_equal(read_pcm(path).samples, samples)
        assert [file.name for file in path.parent.iterdir()] == ["a.wav"]

    def test_is_replaced_at_once(self, tmp_path: Path) -> None:
        for value in (1, 2):
            write_pcm(tmp_path / "a.wav", Waveform(samples=np.full((1, 9), value, np.int16)))
        assert read_pcm(tmp_path / "a.wav").samples[0, 0] == 2

    def test_a_failed_write_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").mkdir()
        with pytest.raises(OSError):
            write_pcm(tmp_path / "a.wav", Waveform(samples=np.zeros((1, 9), np.int16)))
        assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]

    def test_a_missing_or_incomplete_file_is_a_miss(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        with pytest.raises(FileNotFoundError):
            read_pcm(path)
        write_pcm(path, Waveform(samples=np.ones((2, 5000), np.int16)))
        whole = path.read_bytes()
        for content in (b"", whole[:10], whole[:44], whole[:-1], whole[:-4], b"text", tone("wav 8k"), tone("flac")):
            path.write_bytes(content)
            with pytest.raises(FileNotFoundError):
                read_pcm(path)

    def test_is_a_file_that_other_programs_read(self, tmp_path: Path) -> None:
        write_pcm(tmp_path / "a.wav", Waveform(samples=np.ones((2, 5000), np.int16)))
        with wave.open(io.BytesIO((tmp_path / "a.wav").read_bytes())) as file:
            assert file.getparams()[:4] == (2, 2, SAMPLE_RATE, 5000)
