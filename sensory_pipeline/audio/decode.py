"""Decoded audio: made from a file of any format, and kept in a file of its own.

Whatever the source, the same steps: float32 at the source's rate, the mean of the channels (FFmpeg's
own downmix of stereo is 1.414 times too loud), soxr at its high quality, rounding to 16 bits.
PCM16 at 16 kHz comes through bit for bit, and all sound stands at its time on the file's clock. Beside
the result, a second of sound is in memory.
"""

from __future__ import annotations

import errno
import secrets
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensory_pipeline.audio.clock import Clock, Piece
from sensory_pipeline.audio.containers.declared import truncated
from sensory_pipeline.audio.frames import Track, opened, tracks
from sensory_pipeline.audio.hearing import Hearing
from sensory_pipeline.audio.parts import Part, split
from sensory_pipeline.audio.pcm import SAMPLE_RATE, Pcm
from sensory_pipeline.audio.resampling import Channels, canonical
from sensory_pipeline.core.errors import AudioError, AudioTooLong, EmptyAudio, SourceUnavailable, UnreadableAudio
from sensory_pipeline.core.recordings import printable

_SAMPLE_BYTES = 2
_LEAST_S = 0.5  # of a damaged file: with less than this nothing is kept
_SILENT = 3  # the loudest 16-bit value of a track without a signal: what rounding and dither make of nothing
_MOST_TRACKS = 8
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_SEAL = struct.Struct("<4sII")
_SEAL_NAME = b"crc "
_MOST_BYTES = (1 << 32) - 64  # a WAVE file counts in 32 bits, its header included; 37 hours of mono


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """pcm: the sound, on the file's own clock; codec ("pcm_s16le", "flac", "mp3", "opus", "aac"), sample_rate
    (Hz) and channels: the source's own, at its beginning; track: number of the one that was taken, None
    where there is only one; damage: what is damaged, None when nothing is; undecoded_s: seconds of sound
    that are lost by that, None where nobody can tell; remarks: what was decided about the sound.
    """

    pcm: Pcm
    codec: str
    sample_rate: int
    channels: int
    track: int | None
    damage: str | None
    undecoded_s: float | None
    remarks: tuple[str, ...]


def decode(path: Path, *, channels: Channels = "mono", max_duration_s: float, track: int | None = None) -> Decoded:
    """The sound of a file. What is damaged costs itself, and is told.

    channels: "mono" for the mean of them, "keep" for each. track: number of the one to take, from 1;
    None for the default one, or the first after it that can be decoded and is not silent. Raises
    EmptyAudio, UnreadableAudio, TruncatedAudio when next to nothing is left, AudioTooLong (before
    decoding, where the container says how long it is), and SourceUnavailable when the file cannot be read.
    """
    try:
        if path.stat().st_size == 0:
            raise EmptyAudio("the file has no bytes; record or upload it again")
        parts = split(path)
        there = tracks(path, parts[0])
        return _chosen(_Request(path, parts, channels, max_duration_s, len(there)), there, track)
    except OSError as error:
        raise SourceUnavailable(
            f"cannot read {printable(path)}: {error.strerror}; check that it exists and may be read"
        ) from error


@dataclass(frozen=True, slots=True)
class _Request:
    path: Path
    parts: tuple[Part, ...]
    channels: Channels
    max_duration_s: float
    tracks: int


def _chosen(request: _Request, there: tuple[Track, ...], track: int | None) -> Decoded:
    if track is not None:
        if track > len(there):
            raise UnreadableAudio(f"it has {len(there)} audio tracks, and SENSORY_TRACK asks for number {track}")
        return _decoded(request, track)
    silent: int | None = None
    failure: AudioError | None = None
    for candidate in sorted(there, key=lambda each: not each.is_default)[:_MOST_TRACKS]:
        try:
            found = _decoded(request, candidate.number)
        except AudioTooLong:
            raise
        except AudioError as error:
            failure = failure or error
            continue
        if len(there) == 1 or np.abs(found.pcm.samples).max() > _SILENT:
            return found
        silent = silent or candidate.number
        del found  # hours of silence
    if silent is not None:
        return _decoded(request, silent)
    assert failure is not None
    raise failure


def _decoded(request: _Request, track: int) -> Decoded:
    pcm, hearing = _heard(request, track)
    octaves_down = hearing.octaves_over if hearing.codec.startswith("pcm_f") else 0
    if octaves_down:
        del pcm
        pcm, hearing = _heard(request, track, octaves_down=octaves_down)
    damage = hearing.damage
    if damage and hearing.heard_s < _LEAST_S and (hearing.lost_unknown or hearing.lost_s >= hearing.heard_s):
        raise truncated(damage)
    if not pcm.samples.size:
        raise EmptyAudio("there is no sound in it, or less than a sample at 16 kHz; record or export it again")
    remarks = []
    if request.tracks > 1:
        remarks.append(f"track {track} of {request.tracks}")
    if hearing.cancelled_s:
        remarks.append(f"its channels cancel each other: of {hearing.cancelled_s:.0f} s the loudest alone was taken")
    if hearing.overlap_s >= 1:
        remarks.append(f"its packets overlap in time: {hearing.overlap_s:.0f} s of them were left out")
    if octaves_down:
        remarks.append(f"its numbers go far beyond full scale: they were divided by {2**octaves_down}")
    return Decoded(
        pcm=pcm,
        codec=hearing.codec,
        sample_rate=hearing.sample_rate,
        channels=hearing.channels,
        track=track if request.tracks > 1 else None,
        damage=f"{damage}; the rest is kept, get the whole file from where it came from" if damage else None,
        undecoded_s=None if hearing.lost_unknown else hearing.lost_s,
        remarks=tuple(remarks),
    )


def _heard(request: _Request, track: int, *, octaves_down: int = 0) -> tuple[Pcm, Hearing]:
    """One pass through the file."""
    hearing = Hearing()
    pcm = bytearray()
    kept = 1
    for piece in canonical(_pieces(request, track, hearing), request.channels, hearing, octaves_down=octaves_down):
        kept = piece.shape[1]
        pcm += piece.tobytes()
        if len(pcm) > request.max_duration_s * SAMPLE_RATE * kept * _SAMPLE_BYTES:
            raise _too_long("it goes on beyond", request.max_duration_s)
        if len(pcm) > _MOST_BYTES:
            raise AudioTooLong("it decodes to more than the 4 GB a file of decoded sound can hold; cut it into parts")
    return Pcm(samples=np.frombuffer(pcm, np.int16).reshape(-1, kept).T), hearing


def _pieces(request: _Request, track: int, hearing: Hearing) -> Iterator[Piece]:
    """All parts, one after the other on one clock."""
    clock = Clock(hearing)
    for part in request.parts:
        try:
            with opened(request.path, part, track, clock, hearing) as sound:
                if (sound.duration_s or 0) + clock.now_s > request.max_duration_s:
                    hours = ((sound.duration_s or 0) + clock.now_s) / 3600
                    raise _too_long(f"its {hours:.3g} hours are over", request.max_duration_s)
                for piece in sound.pieces:
                    if not hearing.sample_rate:
                        hearing.sample_rate, hearing.channels = piece.rate, piece.samples.shape[1]
                    yield piece
        except UnreadableAudio:
            if part is request.parts[0]:
                raise
            hearing.tell(f"damaged at {clock.now_s:.1f} s: what was joined there cannot be read")
            hearing.lost_unknown = True


def _too_long(how_long: str, max_duration_s: float) -> AudioTooLong:
    limit = f"the limit of {max_duration_s / 3600:.3g} hours"
    return AudioTooLong(
        f"{how_long} {limit}; cut it into parts, or raise SENSORY_MAX_AUDIO_HOURS and ingest with --retry-failed"
    )


def write_pcm(path: Path, pcm: Pcm) -> None:
    """Writes a WAVE file, whole or not at all; a reader never sees a part.

    pcm: at least a sample, at most 4 GiB, which is 37 hours of mono. A chunk after the samples has their checksum.
    Raises OSError when there is no room, or no folder.
    """
    samples = np.ascontiguousarray(pcm.samples.T)
    header = _header(pcm.channels, samples.nbytes)
    seal = zlib.crc32(samples.data, zlib.crc32(header))
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with unfinished.open("xb") as file:
            file.write(header)
            file.write(samples.data)
            file.write(_SEAL.pack(_SEAL_NAME, 4, seal))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_pcm(path: Path) -> Pcm:
    """What write_pcm wrote; its samples cannot be changed.

    Raises FileNotFoundError when it is not there, or not what was written: decode the source again.
    """
    content = path.read_bytes()
    body = memoryview(content)[: -_SEAL.size]
    if len(body) < _HEADER.size or _SEAL.unpack(content[-_SEAL.size :]) != (_SEAL_NAME, 4, zlib.crc32(body)):
        raise FileNotFoundError(errno.ENOENT, "no whole file of decoded audio", str(path))
    channels = _HEADER.unpack_from(content)[6]
    return Pcm(samples=np.frombuffer(body[_HEADER.size :], np.int16).reshape(-1, channels).T)


def _header(channels: int, size: int) -> bytes:
    """Of a WAVE file: RIFF, its format (PCM), and the head of its samples."""
    riff = _HEADER.size - 8 + size + _SEAL.size
    frame = channels * _SAMPLE_BYTES
    pcm = (1, channels, SAMPLE_RATE, SAMPLE_RATE * frame, frame, 16)
    return _HEADER.pack(b"RIFF", riff, b"WAVE", b"fmt ", 16, *pcm, b"data", size)
