"""Decodes one track of a container packet by packet, places it in time and compares it with what is declared.

A packet that is damaged becomes silence of its length, and is reported.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator

import av
from av import AudioFrame, AudioStream, Packet
from av.container import InputContainer
from av.stream import Discard

from sensory_pipeline.audio.decoding_report import DecodingReport
from sensory_pipeline.audio.integrity import flac
from sensory_pipeline.audio.integrity.declared import CONVERT, Damage, Declared
from sensory_pipeline.audio.timestamps import Clock, Piece
from sensory_pipeline.core.arrays import Array
from sensory_pipeline.core.errors import UnreadableAudio

_TIMED = frozenset({"asf", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg"})
"""Formats that state the time of a packet; in others FFmpeg counts what came before it."""

_INDEXED = frozenset({"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
"""Formats that state the duration of the part as it was written, even if it is cut."""

_ROUGHLY_TIMED = frozenset({"aiff", "au", "caf", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "ogg", "w64"})
"""Formats whose duration FFmpeg reads, accurate except for what encoders add before and after the sound."""

_WITHOUT_LENGTHS = frozenset({"flac", "speex"})
_SAME_PAGE_S, _HELD_FRAMES = 0.005, 1000
_FAILURES = 8  # in a row, to read on
_MISSING_S, _MISSING_OF_EXACT_S = 0.05, 0.005
_MISSING_ROUGHLY_S, _MISSING_SHARE = 0.5, 0.01
"""If nothing else shows damage, this much less sound than declared does: the greater of the two. Decoders trim 0.3 s
from the first and last frames of an MP3 at 8 kHz."""


class TrackDecoder:
    """Decodes one track of one part of a file."""

    def __init__(
        self, container: InputContainer, stream: AudioStream, declared: Declared, clock: Clock, report: DecodingReport
    ) -> None:
        self._container, self._stream = container, stream
        self._declared, self._clock, self._report = declared, clock, report
        self._samples = 0
        self._begin_s, self._places = clock.now_s, report.places

    def pieces(self) -> Iterator[Piece]:
        """The sound in order of time, with silence in gaps."""
        name = self._container.format.name
        declared = self._declared
        md5 = hashlib.md5(usedforsecurity=False)
        self._clock.next_part()
        for frame, at_s in self._timed():
            samples = interleaved(frame)
            if declared.md5 and declared.bits:
                md5.update(flac.signed_bytes(samples, declared.bits))
            self._samples += len(samples)
            piece = Piece(samples=samples, rate=frame.sample_rate, name=frame.format.name)
            yield from self._clock.place(piece, at_s, is_numbered=name == "flac")
        if not self._samples and not self._is_damaged:
            return
        self._compare()
        if not self._is_damaged and declared.md5 not in (None, md5.digest()):
            self._report.note_damage("its samples are not those that were encoded (their MD5 differs)")

    @property
    def _is_damaged(self) -> bool:
        return self._report.places > self._places

    def _timed(self) -> Iterator[tuple[AudioFrame, float | None]]:
        """Frames with the times at which they begin; None if the container does not say.

        A page of Ogg states when it ends. If a codec's packets do not state their length, FFmpeg takes the end of the
        page before for the beginning of the next. After a lost page that is the wrong one, until the next page.
        """
        name = self._container.format.name
        is_guessed = name == "ogg" and self._stream.codec_context.codec.canonical_name in _WITHOUT_LENGTHS
        held: list[AudioFrame] = []
        held_s, end_s = 0.0, 0.0
        for frame in self._frames():
            if not frame.sample_rate:
                raise UnreadableAudio(f"its sound has no sample rate; {CONVERT}")
            at_s = None
            if name in _TIMED and frame.pts is not None and frame.time_base is not None:
                at_s = float(frame.pts * frame.time_base)
            is_next = at_s is not None and (not held or abs(at_s - end_s) > _SAME_PAGE_S)
            end_s = (end_s if at_s is None else at_s) + frame.samples / frame.sample_rate
            if is_guessed and self._clock.is_damaged and len(held) < _HELD_FRAMES and not (held and is_next):
                held.append(frame)
                held_s += frame.samples / frame.sample_rate
                continue
            begin_s = at_s - held_s if held and is_next and at_s is not None else None
            for each in held:
                yield each, begin_s
                begin_s = None
            held, held_s = [], 0.0
            yield frame, at_s
        for each in held:
            yield each, None

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
                    raise UnreadableAudio(f"FFmpeg cannot decode all of it; {CONVERT}") from error
                self._fail(packet)
            except av.error.FFmpegError:
                self._fail(packet)
            else:
                yield from decoded
        for damage in waiting:
            self._lose(damage)

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        for other in self._container.streams:  # discarded streams, such as hours of video, are not read
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
                    raise UnreadableAudio(f"FFmpeg cannot read it; {CONVERT}") from error
                failures += 1
                if self._clock.lose():
                    self._note("it cannot be read")

    def _fail(self, packet: Packet[AudioStream]) -> None:
        duration_s = float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0
        if self._clock.lose(duration_s):
            self._note("it cannot be decoded")

    def _lose(self, damage: Damage) -> None:
        self._clock.lose(damage.lost_s)
        self._note(damage.what)

    def _note(self, what: str) -> None:
        self._report.note_damage(f"damaged at {self._clock.now_s:.1f} s: {what}")

    def _compare(self) -> None:
        """Compare what is declared with what was decoded."""
        there_s = self._clock.now_s - self._begin_s
        declared_s = self._declared_s(there_s)
        missing_s = 0.0 if declared_s is None else declared_s - there_s
        if missing_s > (_MISSING_S if self._declared.duration_s is None else _MISSING_OF_EXACT_S):
            self._report.lost_s += missing_s
            if not self._is_damaged:
                self._note(f"{declared_s:.1f} s are declared, {there_s:.1f} s are there")
        elif declared_s is None:
            self._report.lost_s += self._clock.owed_s
            last = self._declared.damage[-1:]
            self._report.lost_unknown |= self._clock.is_damaged and not (last and last[0].lost_s is not None)
        if declared_s is None and (roughly_s := self._roughly_s()) is not None:
            missing_s = roughly_s - there_s
            if missing_s > max(_MISSING_ROUGHLY_S, _MISSING_SHARE * roughly_s):
                self._report.lost_s += missing_s
                self._note(f"{roughly_s:.1f} s are declared, {there_s:.1f} s are there")

    def _roughly_s(self) -> float | None:
        """The least length of the part, from its frames' headers or from the container's duration."""
        if self._declared.is_chain:
            return self._declared.duration_s
        name = self._container.format.name
        if self._is_damaged or self._clock.has_jumped or name not in _ROUGHLY_TIMED:
            return None
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        is_alone = len(self._container.streams) == 1  # else it may be another stream's
        return self._container.duration / av.time_base if self._container.duration and is_alone else None

    def _declared_s(self, there_s: float) -> float | None:
        """The length the part declares, if it is known to be exact, or the part is known to be cut."""
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


def interleaved(frame: AudioFrame) -> Array:
    """The samples of a frame, shape (frames, channels)."""
    samples = frame.to_ndarray()
    return samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)
