"""Files as FFmpeg, which PyAV carries with it, opens them: their tracks, and the sound of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
from av.codec import Codec, codecs_available
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.stream import Disposition

from sensory_pipeline.audio.clock import LONGEST_GAP_S, Clock, Piece
from sensory_pipeline.audio.decoding import CONVERT, Decoding
from sensory_pipeline.audio.decoding_report import DecodingReport
from sensory_pipeline.audio.parts import Part
from sensory_pipeline.audio.window import Window
from sensory_pipeline.core.errors import UnreadableAudio

FORMATS = "aac,aiff,amr,asf,au,caf,flac,matroska,mov,mp3,ogg,w64,wav"
"""The containers, by FFmpeg's names, that are opened: those in which a cut shows. Among FFmpeg's
hundreds are some that see themselves in any bytes, and lists that name other files to open."""

_DECLARED_DURATIONS = frozenset({"asf", "au", "caf", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg", "w64"})
"""Formats whose duration FFmpeg reads; others' it estimates from their first frames, often wrongly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One of a file's streams of sound. number: from 1; is_default: whether players take it first."""

    number: int
    is_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A track of a part. duration_s: as declared, None where it is not; pieces: to be iterated over once."""

    duration_s: float | None
    pieces: Iterator[Piece]


def tracks(path: Path, part: Part) -> tuple[Track, ...]:
    """Raises UnreadableAudio when there is none, or it is no file that is known here, and OSError."""
    with Window(path, part.begin, part.end, part.declared.gaps) as file, _container(file) as container:
        streams = container.streams.audio
        if not streams:
            raise UnreadableAudio("it has no audio stream; check that it is the right file")
        return tuple(
            Track(number=number, is_default=bool(stream.disposition & Disposition.default))
            for number, stream in enumerate(streams, 1)
        )


@contextmanager
def opened(path: Path, part: Part, number: int, clock: Clock, report: DecodingReport) -> Iterator[Sound]:
    """A track of a part; the first where it has fewer. Raises UnreadableAudio and OSError, the pieces as well."""
    declared = part.declared
    with Window(path, part.begin, part.end, declared.gaps) as file, _container(file) as container:
        streams = container.streams.audio
        if not streams:
            raise UnreadableAudio("it has no audio stream; check that it is the right file")
        stream = streams[number - 1] if number <= len(streams) else streams[0]
        codec = stream.codec_context
        if codec is None:  # which PyAV's types leave out
            raise UnreadableAudio(f"FFmpeg has no decoder for it; {CONVERT}")
        report.codec = report.codec or codec.codec.canonical_name
        duration_s = declared.duration_s
        if duration_s is None and container.duration and container.format.name in _DECLARED_DURATIONS:
            duration_s = container.duration / av.time_base
            begin_s = (container.start_time or 0) / av.time_base
            duration_s -= begin_s if LONGEST_GAP_S < begin_s < duration_s else 0
        yield Sound(
            duration_s=None if duration_s is None else duration_s * declared.share,
            pieces=Decoding(container, stream, declared, clock, report).pieces(),
        )


@cache
def _audio_decoders() -> str:
    return ",".join(name for name in sorted(codecs_available) if _is_audio_decoder(name))


def _is_audio_decoder(name: str) -> bool:
    try:
        return Codec(name, "r").type == "audio"
    except UnknownCodecError:  # it only encodes
        return False


def _container(file: Window) -> InputContainer:
    # a length that was never brought up to date: the window ends where the sound does
    # only sound is decoded to find out what is there: of pictures, that took a gigabyte
    options = {
        "codec_whitelist": _audio_decoders(),
        "format_whitelist": FORMATS,
        "protocol_whitelist": "",
        "ignore_length": "1",
    }
    try:
        return av.open(file, "r", options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise UnreadableAudio(f"it is not recognised as sound; {CONVERT}") from error
