"""The sound of a file as FFmpeg, which PyAV carries with it, decodes it, checked as it passes."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av import AudioFrame
from av.container import InputContainer
from av.stream import Discard

from sensory_pipeline.audio import containers
from sensory_pipeline.audio.containers import adts, flac, mpeg
from sensory_pipeline.audio.containers.declared import Declared, truncated
from sensory_pipeline.audio.resampling import interleaved
from sensory_pipeline.core.errors import EmptyAudio, UnreadableAudio

FORMATS = "aac,aiff,amr,asf,au,caf,flac,matroska,mov,mp3,ogg,w64,wav"
"""The containers, by FFmpeg's names, that are opened: those in which a cut shows. Among FFmpeg's
hundreds are some that see themselves in any bytes, and lists that name other files to open."""

_DECLARED_DURATIONS = frozenset({"asf", "au", "caf", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg", "w64"})
"""Formats whose duration FFmpeg reads; others' it estimates from their first frames, often wrongly."""

_CONVERT = "convert it to wav, flac, mp3, ogg, m4a or webm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The first audio stream of a file. duration_s: as declared, None where it is not.

    frames: raises TruncatedAudio where they are damaged, or are less or other than was declared.
    """

    codec: str
    duration_s: float | None
    frames: Iterator[AudioFrame]


@contextmanager
def opened(path: Path) -> Iterator[Sound]:
    """Raises EmptyAudio, UnreadableAudio, TruncatedAudio where the container tells, and OSError."""
    with _Source(path) as file, path.open("rb") as examined:
        if os.fstat(file.fileno()).st_size == 0:
            raise EmptyAudio("the file has no bytes; record or upload it again")
        declared = containers.examine(examined)
        with _container(file) as container:
            if not container.streams.audio:
                raise UnreadableAudio("it has no audio stream; check that it is the right file")
            codec = container.streams.audio[0].codec_context
            if codec is None:  # which PyAV's types leave out
                raise UnreadableAudio(f"FFmpeg has no decoder for it; {_CONVERT}")
            if container.format.name == "mp3":
                declared = mpeg.examine(examined)
            elif container.format.name == "aac":
                adts.examine(examined)
            duration_s = declared.duration_s
            if duration_s is None and container.duration and container.format.name in _DECLARED_DURATIONS:
                duration_s = container.duration / av.time_base
            yield Sound(
                codec=codec.codec.canonical_name,
                duration_s=duration_s,
                frames=_as_declared(_decoded(container, declared.gaps), declared),
            )


class _Source(io.FileIO):
    """A file as FFmpeg expects it: it tries places that no file has, where damaged headers point."""

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        try:
            return super().seek(position, whence)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return -errno.EINVAL


def _container(file: _Source) -> InputContainer:
    options = {"format_whitelist": FORMATS, "protocol_whitelist": ""}
    try:
        return av.open(file, "r", options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise UnreadableAudio(f"it is not recognised as sound; {_CONVERT}") from error


def _decoded(container: InputContainer, gaps: tuple[range, ...]) -> Iterator[AudioFrame]:
    """Packets that begin in a gap are passed over."""
    stream = container.streams.audio[0]
    for other in container.streams:  # what is discarded need not be read: hours of video
        if other is not stream:
            other.discard = Discard.all
    seconds = 0.0
    try:
        for packet in container.demux(stream):
            if any(packet.pos in gap for gap in gaps):
                continue
            for frame in packet.decode():
                seconds += frame.samples / frame.sample_rate
                yield frame
    except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError) as error:
        raise UnreadableAudio(f"FFmpeg cannot decode all of it; {_CONVERT}") from error
    except av.error.FFmpegError as error:
        raise truncated(f"damaged at {seconds:.1f} s: it cannot be decoded") from error


def _as_declared(frames: Iterable[AudioFrame], declared: Declared) -> Iterator[AudioFrame]:
    md5 = hashlib.md5(usedforsecurity=False)
    samples, seconds = 0, 0.0
    begin: int | None = None  # of the next frame, at which sample
    for frame in frames:
        if frame.pts is not None:
            if declared.numbered and begin not in (None, frame.pts):
                raise truncated(f"damaged at {seconds:.1f} s: frames are missing")
            begin = frame.pts
        begin = None if begin is None else begin + frame.samples
        if declared.md5 and declared.bits:
            md5.update(flac.signed_bytes(interleaved(frame), declared.bits))
        samples += frame.samples
        seconds += frame.samples / frame.sample_rate
        yield frame
    if not samples:
        return
    if samples < (declared.samples or 0):
        raise truncated(f"damaged at {seconds:.1f} s: {declared.samples} samples are declared, {samples} are there")
    if declared.md5 not in (None, md5.digest()):
        raise truncated("its samples are not those that were encoded (their MD5 differs)")
