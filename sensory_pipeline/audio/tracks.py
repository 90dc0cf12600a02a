"""The audio tracks of a file, opened with FFmpeg, which is part of PyAV."""

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

from sensory_pipeline.audio.byte_range import Window
from sensory_pipeline.audio.concatenated import Part
from sensory_pipeline.audio.decoding_report import DecodingReport
from sensory_pipeline.audio.integrity.declared import CONVERT
from sensory_pipeline.audio.timestamps import LONGEST_GAP_S, Clock, Piece
from sensory_pipeline.audio.track_decoder import TrackDecoder
from sensory_pipeline.core.errors import UnreadableAudio

FORMATS = "aac,aiff,amr,asf,au,caf,flac,matroska,mov,mp3,ogg,w64,wav"
"""The containers that are opened, by FFmpeg's names: those in which a cut can be found. FFmpeg has hundreds more,
of which some recognise any bytes as theirs, and some are lists of other files to open."""

_DECLARED_DURATIONS = frozenset({"asf", "au", "caf", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg", "w64"})
"""Formats whose duration FFmpeg reads. It estimates that of others from their first frames, often wrongly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One audio stream of a file.

    Attributes:
        number: From 1.
        is_default: Whether players take it first.
    """

    number: int
    is_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTrack:
    """One audio track of a part of a file, opened.

    Attributes:
        duration_s: As declared; None if it is not.
        pieces: Can be iterated over once.
    """

    duration_s: float | None
    pieces: Iterator[Piece]


def list_tracks(path: Path, part: Part) -> tuple[Track, ...]:
    """The audio tracks of a part.

    Raises:
        UnreadableAudio: There is none, or the format is unknown.
        OSError: The file cannot be read.
    """
    with Window(path, part.begin, part.end, part.declared.gaps) as file, _container(file) as container:
        streams = container.streams.audio
        if not streams:
            raise UnreadableAudio("it has no audio stream; check that it is the right file")
        return tuple(
            Track(number=number, is_default=bool(stream.disposition & Disposition.default))
            for number, stream in enumerate(streams, 1)
        )


@contextmanager
def open_track(path: Path, part: Part, number: int, clock: Clock, report: DecodingReport) -> Iterator[OpenTrack]:
    """Open a track of a part; the first one if it has fewer. Iterating over the pieces raises the same errors.

    Raises:
        UnreadableAudio: It is not recognised, or cannot be decoded.
        OSError: The file cannot be read.
    """
    declared = part.declared
    with Window(path, part.begin, part.end, declared.gaps) as file, _container(file) as container:
        streams = container.streams.audio
        if not streams:
            raise UnreadableAudio("it has no audio stream; check that it is the right file")
        stream = streams[number - 1] if number <= len(streams) else streams[0]
        codec = stream.codec_context
        if codec is None:  # a case that PyAV's types leave out
            raise UnreadableAudio(f"FFmpeg has no decoder for it; {CONVERT}")
        report.codec = report.codec or codec.codec.canonical_name
        duration_s = declared.duration_s
        if duration_s is None and container.duration and container.format.name in _DECLARED_DURATIONS:
            duration_s = container.duration / av.time_base
            begin_s = (container.start_time or 0) / av.time_base
            duration_s -= begin_s if LONGEST_GAP_S < begin_s < duration_s else 0
        yield OpenTrack(
            duration_s=None if duration_s is None else duration_s * declared.share,
            pieces=TrackDecoder(container, stream, declared, clock, report).pieces(),
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
    # a declared length may be out of date, and the window ends where the sound does: ignore it
    # FFmpeg decodes streams to find out what they are, which took a gigabyte for pictures: allow audio only
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
