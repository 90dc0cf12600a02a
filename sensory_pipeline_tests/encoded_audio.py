"""Recordings in the formats people bring, encoded when a test asks for one."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

TONE_HZ = 1000
TONE_PEAK = 0.5
TONE_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """codec and container by FFmpeg's names; named: what the decoder shall report of the codec."""

    codec: str
    container: str
    rate: int
    layout: str = "mono"
    named: str | None = None
    duration_tolerance_s: float = 1 / 16_000
    peak_tolerance: float = 0.001
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        return av.AudioLayout(self.layout).nb_channels


def _lossy(
    codec: str,
    container: str,
    rate: int,
    layout: str,
    named: str,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Encoding:
    """Padding that nobody trims is up to two frames, 52 ms; LAME makes what it encodes 5 % quieter."""
    return Encoding(
        codec=codec,
        container=container,
        rate=rate,
        layout=layout,
        named=named,
        duration_tolerance_s=0.055,
        peak_tolerance=0.03,
        options=options or {},
        container_options=container_options or {},
    )


_NO_TAGS = {"write_xing": "0", "id3v2_version": "0"}

ENCODINGS = {
    "wav 8k": Encoding(codec="pcm_s16le", container="wav", rate=8_000),
    "wav 16k": Encoding(codec="pcm_s16le", container="wav", rate=16_000),
    "wav 44.1k stereo": Encoding(codec="pcm_s16le", container="wav", rate=44_100, layout="stereo"),
    "wav 48k": Encoding(codec="pcm_s16le", container="wav", rate=48_000),
    "wav 24 bit": Encoding(codec="pcm_s24le", container="wav", rate=44_100, layout="stereo"),
    "wav float": Encoding(codec="pcm_f32le", container="wav", rate=48_000),
    "wav 8 bit": Encoding(codec="pcm_u8", container="wav", rate=16_000, peak_tolerance=0.01),
    "wav mu-law": Encoding(codec="pcm_mulaw", container="wav", rate=8_000, peak_tolerance=0.02),
    "rf64": Encoding(codec="pcm_s16le", container="wav", rate=16_000, container_options={"rf64": "always"}),
    "w64": Encoding(codec="pcm_s16le", container="w64", rate=16_000),
    "aiff": Encoding(codec="pcm_s16be", container="aiff", rate=44_100),
    "au": Encoding(codec="pcm_s16be", container="au", rate=16_000),
    "caf": Encoding(codec="pcm_s16be", container="caf", rate=16_000),
    "flac": Encoding(codec="flac", container="flac", rate=44_100, layout="stereo"),
    "flac 24 bit": Encoding(codec="flac", container="flac", rate=48_000, options={"sample_fmt": "s32"}),
    "mp3 CBR": _lossy("libmp3lame", "mp3", 44_100, "stereo", "mp3"),
    "mp3 VBR": _lossy("libmp3lame", "mp3", 48_000, "mono", "mp3", options={"global_quality": "472", "flags": "qscale"}),
    "mp3 16k": _lossy("libmp3lame", "mp3", 16_000, "mono", "mp3"),
    "mp3 headerless": _lossy("libmp3lame", "mp3", 44_100, "mono", "mp3", container_options=_NO_TAGS),
    "opus": _lossy("libopus", "ogg", 48_000, "mono", "opus"),
    "opus stereo": _lossy("libopus", "ogg", 48_000, "stereo", "opus"),
    "vorbis": _lossy("vorbis", "ogg", 44_100, "stereo", "vorbis", options={"strict": "-2"}),
    "flac in ogg": Encoding(codec="flac", container="ogg", rate=16_000),
    "m4a": _lossy("aac", "ipod", 44_100, "stereo", "aac"),
    "m4a index first": _lossy("aac", "ipod", 16_000, "mono", "aac", container_options={"movflags": "faststart"}),
    "mp4 fragments": _lossy(
        "aac", "mp4", 44_100, "mono", "aac", container_options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "webm": _lossy("libopus", "webm", 48_000, "mono", "opus"),
    "aac": _lossy("aac", "adts", 44_100, "mono", "aac"),
    "amr": replace(  # made for voices, not for tones
        _lossy("libopencore_amrnb", "amr", 8_000, "mono", "amr_nb", options={"b": "12200"}), peak_tolerance=0.2
    ),
    "wma": replace(  # whose first two frames say nothing
        _lossy("wmav2", "asf", 44_100, "mono", "wmav2", options={"b": "64000"}), duration_tolerance_s=0.1
    ),
}


@lru_cache
def tone(name: str) -> bytes:
    """1.5 s of a 1 kHz tone, peak half of full scale on every channel, in one of ENCODINGS."""
    encoding = ENCODINGS[name]
    times = np.arange(round(TONE_S * encoding.rate)) / encoding.rate
    wave = TONE_PEAK * np.sin(2 * np.pi * TONE_HZ * times)
    return encode(np.tile(wave, (encoding.channels, 1)), encoding)


def encode(samples: npt.NDArray[np.floating[Any]], encoding: Encoding, *, seekable: bool = True) -> bytes:
    """samples: of shape (channels, frames), full scale 1. Not seekable: written as into a pipe."""
    if not seekable:
        pipe = Pipe()
        _write(samples, encoding, pipe)
        return pipe.getvalue()
    with tempfile.NamedTemporaryFile() as file:  # by name, as an index moved to the front is read again
        _write(samples, encoding, file.name)
        return Path(file.name).read_bytes()


def _write(samples: npt.NDArray[np.floating[Any]], encoding: Encoding, file: str | Pipe) -> None:
    options = dict(encoding.options)
    sample_format, quality = options.pop("sample_fmt", None), options.pop("global_quality", None)
    with av.open(file, "w", format=encoding.container, options=dict(encoding.container_options)) as container:
        stream = container.add_stream(encoding.codec, rate=encoding.rate, layout=encoding.layout, options=options)
        assert isinstance(stream, av.AudioStream)
        context = stream.codec_context
        if sample_format:
            context.format = sample_format
        if quality:
            context.global_quality = int(quality)
        context.open()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), "fltp", encoding.layout)
        frame.sample_rate, frame.pts, frame.time_base = encoding.rate, 0, Fraction(1, encoding.rate)
        converter = av.AudioResampler(context.format, encoding.layout, encoding.rate, context.frame_size or 1024)
        for piece in [*converter.resample(frame), *converter.resample(None), None]:
            container.mux(stream.encode(piece))


class Pipe(io.BytesIO):
    """Where what was written cannot be corrected afterwards."""

    def seekable(self) -> bool:
        return False

    seek = None  # type: ignore[assignment]
    tell = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A track as a recorder writes it. samples: of shape (channels, frames); start_s: when its first packet is to be
    heard; gap: seconds of its sound after which no packets come, and for how many seconds; speed: of its clock."""

    samples: npt.NDArray[np.floating[Any]]
    encoding: Encoding
    start_s: float = 0.0
    gap: tuple[float, float] | None = None
    is_default: bool = False
    speed: float = 1.0


def recorded(*tracks: Recorded, container: str, picture_s: float = 0.0) -> bytes:
    """A file of these tracks, with black pictures of so many seconds before them in its order of streams.

    An Ogg's pages, of which each has one time, hold a packet each.
    """
    options = {"page_duration": "20000"} if container == "ogg" else {}
    with tempfile.NamedTemporaryFile() as file:
        with av.open(file.name, "w", format=container, options=options) as made:
            packets: list[av.Packet[Any]] = []
            if picture_s:
                picture = made.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
                for _ in range(round(10 * picture_s)):
                    packets += picture.encode(av.VideoFrame(64, 64, "yuv420p"))
                packets += picture.encode(None)
            streams = [_sound_stream(made, track) for track in tracks]  # all of them before the first packet
            for track, stream in zip(tracks, streams, strict=True):
                for frame in _frames(track, stream.codec_context):
                    packets += stream.encode(frame)
            for packet in sorted(packets, key=_seconds):
                made.mux(packet)
        return Path(file.name).read_bytes()


def _sound_stream(container: av.container.OutputContainer, track: Recorded) -> av.AudioStream:
    encoding = track.encoding
    options = dict(encoding.options)
    stream = container.add_stream(encoding.codec, rate=encoding.rate, layout=encoding.layout, options=options)
    assert isinstance(stream, av.AudioStream)
    if track.is_default:
        stream.disposition = av.stream.Disposition.default
    return stream


def _seconds(packet: av.Packet[Any]) -> Fraction:
    assert packet.dts is not None
    assert packet.time_base is not None
    return packet.dts * packet.time_base


def _frames(track: Recorded, context: av.AudioCodecContext) -> Iterator[av.AudioFrame | None]:
    encoding = track.encoding
    context.open()
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(track.samples, np.float32), "fltp", encoding.layout)
    whole.sample_rate, whole.pts, whole.time_base = encoding.rate, 0, Fraction(1, encoding.rate)
    converter = av.AudioResampler(context.format, encoding.layout, encoding.rate, context.frame_size or 1024)
    begin = 0
    for piece in [*converter.resample(whole), *converter.resample(None)]:
        late = track.gap is not None and begin / encoding.rate >= track.gap[0]
        wait_s = track.start_s + (track.gap[1] if track.gap is not None and late else 0.0)
        piece.pts = round((begin / encoding.rate * track.speed + wait_s) * encoding.rate)
        begin += piece.samples
        yield piece
    yield None
