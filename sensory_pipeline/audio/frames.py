"""The sound of a file as FFmpeg, which PyAV carries with it, decodes it: placed in time, and checked as it passes.

A packet that is damaged costs itself: silence of its length, and a word about it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy.typing as npt
from av import AudioFrame, AudioStream, Packet
from av.container import InputContainer
from av.stream import Discard, Disposition

from sensory_pipeline.audio.clock import LONGEST_GAP_S, Clock, Piece
from sensory_pipeline.audio.containers import flac
from sensory_pipeline.audio.containers.declared import Damage, Declared
from sensory_pipeline.audio.hearing import Hearing
from sensory_pipeline.audio.parts import Part
from sensory_pipeline.audio.window import Window
from sensory_pipeline.core.errors import UnreadableAudio

FORMATS = "aac,aiff,amr,asf,au,caf,flac,matroska,mov,mp3,ogg,w64,wav"
"""The containers, by FFmpeg's names, that are opened: those in which a cut shows. Among FFmpeg's
hundreds are some that see themselves in any bytes, and lists that name other files to open."""

_DECLARED_DURATIONS = frozenset({"asf", "au", "caf", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg", "w64"})
"""Formats whose duration FFmpeg reads; others' it estimates from their first frames, often wrongly."""

_TIMED = frozenset({"asf", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg"})
"""Formats that say when a packet is to be heard; in others FFmpeg counts what came before it."""

_INDEXED = frozenset({"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
"""Formats whose duration, of the part and not of what is there, is written into it."""

_FAILURES = 8  # in a row, to read on
_MISSING_S, _MISSING_OF_EXACT_S = 0.05, 0.005
_CONVERT = "convert it to wav, flac, mp3, ogg, m4a or webm"


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
    with Window(path, part.begin, part.end) as file, _container(file) as container:
        streams = container.streams.audio
        if not streams:
            raise UnreadableAudio("it has no audio stream; check that it is the right file")
        return tuple(
            Track(number=number, is_default=bool(stream.disposition & Disposition.default))
            for number, stream in enumerate(streams, 1)
        )


@contextmanager
def opened(path: Path, part: Part, number: int, clock: Clock, hearing: Hearing) -> Iterator[Sound]:
    """A track of a part; the first where it has fewer. Raises UnreadableAudio and OSError, the pieces as well."""
    declared = part.declared
    with Window(path, part.begin, part.end, declared.gaps) as file, _container(file) as container:
        streams = container.streams.audio
        if not streams:
            raise UnreadableAudio("it has no audio stream; check that it is the right file")
        stream = streams[number - 1] if number <= len(streams) else streams[0]
        codec = stream.codec_context
        if codec is None:  # which PyAV's types leave out
            raise UnreadableAudio(f"FFmpeg has no decoder for it; {_CONVERT}")
        hearing.codec = hearing.codec or codec.codec.canonical_name
        duration_s = declared.duration_s
        if duration_s is None and container.duration and container.format.name in _DECLARED_DURATIONS:
            duration_s = container.duration / av.time_base
            begin_s = (container.start_time or 0) / av.time_base
            duration_s -= begin_s if LONGEST_GAP_S < begin_s < duration_s else 0
        yield Sound(
            duration_s=None if duration_s is None else duration_s * declared.share,
            pieces=_Decoding(container, stream, declared, clock, hearing).pieces(),
        )


def _container(file: Window) -> InputContainer:
    # a length that was never brought up to date: the window ends where the sound does
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "", "ignore_length": "1"}
    try:
        return av.open(file, "r", options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise UnreadableAudio(f"it is not recognised as sound; {_CONVERT}") from error


class _Decoding:
    """One track of one part."""

    def __init__(
        self, container: InputContainer, stream: AudioStream, declared: Declared, clock: Clock, hearing: Hearing
    ) -> None:
        self._container, self._stream = container, stream
        self._declared, self._clock, self._hearing = declared, clock, hearing
        self._samples = 0
        self._begin_s, self._places = clock.now_s, hearing.places

    def pieces(self) -> Iterator[Piece]:
        """Its sound in time, with silence where there is none."""
        name = self._container.format.name
        declared = self._declared
        md5 = hashlib.md5(usedforsecurity=False)
        self._clock.next_part()
        for frame in self._frames():
            if not frame.sample_rate:
                raise UnreadableAudio(f"its sound has no sample rate; {_CONVERT}")
            samples = interleaved(frame)
            if declared.md5 and declared.bits:
                md5.update(flac.signed_bytes(samples, declared.bits))
            self._samples += len(samples)
            at_s = None
            if name in _TIMED and frame.pts is not None and frame.time_base is not None:
                at_s = float(frame.pts * frame.time_base)
            piece = Piece(samples=samples, rate=frame.sample_rate, name=frame.format.name)
            yield from self._clock.place(piece, at_s, is_numbered=name == "flac")
        if not self._samples and not self._is_damaged:
            return
        self._compare()
        if not self._is_damaged and declared.md5 not in (None, md5.digest()):
            self._hearing.tell("its samples are not those that were encoded (their MD5 differs)")

    @property
    def _is_damaged(self) -> bool:
        return self._hearing.places > self._places

    def _frames(self) -> Iterator[AudioFrame]:
        waiting = deque(self._declared.damage)
        removed = deque(self._declared.gaps)  # FFmpeg does not see these bytes
        removed_bytes = 0
        for packet in self._packets():
            while packet.pos is not None and removed and removed[0].start <= packet.pos + removed_bytes:
                removed_bytes += len(removed.popleft())
            while packet.pos is not None and waiting and waiting[0].begin <= packet.pos + removed_bytes:
                self._lose(waiting.popleft())
            try:
                decoded = packet.decode()
            except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError) as error:
                if not self._samples:
                    raise UnreadableAudio(f"FFmpeg cannot decode all of it; {_CONVERT}") from error
                self._fail(packet)
            except av.error.FFmpegError:
                self._fail(packet)
            else:
                yield from decoded
        for damage in waiting:
            self._lose(damage)

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        for other in self._container.streams:  # what is discarded need not be read: hours of video
            if other is not self._stream:
                other.discard = Discard.all
        failures = 0
        while failures < _FAILURES:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except av.error.FFmpegError as error:
                if not self._samples and isinstance(error, av.error.PatchWelcomeError):
                    raise UnreadableAudio(f"FFmpeg cannot read it; {_CONVERT}") from error
                failures += 1
                if self._clock.lose():
                    self._tell("it cannot be read")

    def _fail(self, packet: Packet[AudioStream]) -> None:
        duration_s = float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0
        if self._clock.lose(duration_s):
            self._tell("it cannot be decoded")

    def _lose(self, damage: Damage) -> None:
        self._clock.lose(damage.lost_s)
        self._tell(damage.what)

    def _tell(self, what: str) -> None:
        self._hearing.tell(f"damaged at {self._clock.now_s:.1f} s: {what}")

    def _compare(self) -> None:
        """What is declared with what is there."""
        there_s = self._clock.now_s - self._begin_s
        declared_s = self._declared_s(there_s)
        missing_s = 0.0 if declared_s is None else declared_s - there_s
        if missing_s > (_MISSING_S if self._declared.duration_s is None else _MISSING_OF_EXACT_S):
            self._hearing.lost_s += missing_s
            if not self._is_damaged:
                self._tell(f"{declared_s:.1f} s are declared, {there_s:.1f} s are there")
        elif declared_s is None:
            self._hearing.lost_s += self._clock.owed_s
            last = self._declared.damage[-1:]
            self._hearing.lost_unknown |= self._clock.is_damaged and not (last and last[0].lost_s is not None)

    def _declared_s(self, there_s: float) -> float | None:
        """How long the part is by its own account, as far as that is known to be exact or it is known to be cut."""
        declared, name = self._declared, self._container.format.name
        if declared.is_chain:
            return None
        if declared.duration_s is not None:
            return declared.duration_s
        if self._is_damaged and name in _INDEXED:
            if self._stream.duration and self._stream.time_base:
                start = self._stream.start_time or 0
                return float((start + self._stream.duration) * self._stream.time_base)
            return self._container.duration / av.time_base if self._container.duration else None
        return there_s / declared.share if 0 < declared.share < 1 else None


def interleaved(frame: AudioFrame) -> npt.NDArray[Any]:
    """Its samples, of shape (frames, channels)."""
    samples = frame.to_ndarray()
    return samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)
