"""The decoding of files of any format into PCM16 at 16 kHz.

The steps are the same for every source: float32 at the source's rate, the mean of the channels (FFmpeg's
own downmix of stereo is 1.414 times too loud), soxr at its high quality, rounding to 16 bits.
PCM16 at 16 kHz stays bit-identical, and all sound keeps its time on the file's clock. The result
is written to a file piece by piece, so only about a second of sound is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sensory_pipeline.audio.concatenated import Part, split_file
from sensory_pipeline.audio.decoding_report import DecodingReport
from sensory_pipeline.audio.integrity.declared import truncated
from sensory_pipeline.audio.pcm_file import MOST_BYTES, GrowingPcm
from sensory_pipeline.audio.resampling import Channels, resample
from sensory_pipeline.audio.timestamps import Clock, Piece
from sensory_pipeline.audio.tracks import Track, list_tracks, open_track
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.errors import (
    AudioError,
    AudioTooLong,
    EmptyAudio,
    SourceUnavailable,
    UnreadableAudio,
)
from sensory_pipeline.core.recordings import printable

_LEAST_S = 0.5  # a damaged file with less sound than this is rejected
_SILENT = 3  # the loudest 16-bit value of a track without a signal, from rounding and dither
_MOST_TRACKS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedAudio:
    """The decoded sound of a file.

    Attributes:
        pcm: The sound, on the file's own clock.
        codec: Of the source, such as "pcm_s16le", "flac", "mp3", "opus" or "aac".
        sample_rate: Of the source at its beginning, in Hz.
        channels: Of the source at its beginning.
        track: Number of the audio track that was used; None if there is only one.
        damage: What is damaged, in words; None if nothing is.
        undecoded_s: Seconds of sound lost by the damage; None if unknown.
        remarks: What was decided about the sound.
    """

    pcm: Waveform
    codec: str
    sample_rate: int
    channels: int
    track: int | None
    damage: str | None
    undecoded_s: float | None
    remarks: tuple[str, ...]


def decode(
    path: Path,
    *,
    channels: Channels = "mono",
    max_duration_s: float,
    track: int | None = None,
    folder: Path | None = None,
) -> DecodedAudio:
    """Decode a file. Damaged places are left out and reported; the rest is kept.

    Args:
        path: The file.
        channels: "mono" for the mean of the channels, "keep" for each of them.
        max_duration_s: The longest sound accepted, in seconds.
        track: Number of the audio track to use, from 1; None for the default track, or the first after it that can be
            decoded and is not silent.
        folder: Where to put an unnamed temporary file with the samples; None for the system's folder for these.

    Raises:
        NoRoom: The samples cannot be written.
        EmptyAudio: There is no sound.
        UnreadableAudio: It is no audio in a known format.
        TruncatedAudio: Almost nothing can be decoded.
        AudioTooLong: It is longer than `max_duration_s`; raised before decoding if the container declares its length.
        SourceUnavailable: The file cannot be read.
    """
    try:
        if path.stat().st_size == 0:
            raise EmptyAudio("the file has no bytes; record or upload it again")
        parts = split_file(path)
        played_s = sum(part.declared.played_s for part in parts)
        if played_s > max_duration_s:
            raise _too_long(f"its {played_s / 3600:.3g} hours exceed", max_duration_s)
        tracks = list_tracks(path, parts[0])
        request = _Request(path, parts, channels, max_duration_s, len(tracks), folder)
        return _decode_default_track(request, tracks) if track is None else _decode_given_track(request, track)
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
    folder: Path | None


def _decode_given_track(request: _Request, track: int) -> DecodedAudio:
    if track > request.tracks:
        raise UnreadableAudio(f"it has {request.tracks} audio tracks, and SENSORY_TRACK asks for number {track}")
    return _decode_track(request, track)


def _decode_default_track(request: _Request, tracks: tuple[Track, ...]) -> DecodedAudio:
    """Decode the default track, or the first after it that can be decoded and is not silent."""
    silent: int | None = None
    failure: AudioError | None = None
    for candidate in sorted(tracks, key=lambda each: not each.is_default)[:_MOST_TRACKS]:
        try:
            decoded = _decode_track(request, candidate.number)
        except AudioTooLong:
            raise
        except AudioError as error:
            failure = failure or error
            continue
        if len(tracks) == 1 or _peak(decoded.pcm) > _SILENT:
            return decoded
        silent = silent or candidate.number
        del decoded  # hours of silence
    if silent is not None:
        return _decode_track(request, silent)
    assert failure is not None
    raise failure


def _decode_track(request: _Request, track: int) -> DecodedAudio:
    pcm, report = _decode_once(request, track)
    octaves_down = report.octaves_over if report.codec.startswith("pcm_f") else 0
    if octaves_down:
        del pcm
        pcm, report = _decode_once(request, track, octaves_down=octaves_down)
    damage = report.damage
    if damage and report.decoded_s < _LEAST_S and (report.lost_unknown or report.lost_s >= report.decoded_s):
        raise truncated(damage)
    if not pcm.samples.size:
        raise EmptyAudio("there is no sound in it, or less than a sample at 16 kHz; record or export it again")
    remarks = []
    if request.tracks > 1:
        remarks.append(f"track {track} of {request.tracks}")
    if report.cancelled_s:
        remarks.append(f"its channels cancel each other: for {report.cancelled_s:.0f} s only the loudest one was used")
    if report.overlap_s >= 1:
        remarks.append(f"its packets overlap in time: {report.overlap_s:.0f} s of them were left out")
    if octaves_down:
        remarks.append(f"its sample values are far beyond full scale: they were divided by {2**octaves_down}")
    return DecodedAudio(
        pcm=pcm,
        codec=report.codec,
        sample_rate=report.sample_rate,
        channels=report.channels,
        track=track if request.tracks > 1 else None,
        damage=f"{damage}; the rest is kept, get the whole file from where it came from" if damage else None,
        undecoded_s=None if report.lost_unknown else report.lost_s,
        remarks=tuple(remarks),
    )


def _decode_once(request: _Request, track: int, *, octaves_down: int = 0) -> tuple[Waveform, DecodingReport]:
    """Decode a track in one pass through the file."""
    report = DecodingReport()
    with closing(GrowingPcm(request.folder)) as pcm:
        for piece in resample(_pieces(request, track, report), request.channels, report, octaves_down=octaves_down):
            pcm.add(piece)
            if pcm.duration_s > request.max_duration_s:
                raise _too_long("its length exceeds", request.max_duration_s)
            if pcm.size_bytes > MOST_BYTES:
                raise AudioTooLong(
                    "it decodes to more than the 4 GB a file of decoded sound can hold; cut it into parts"
                )
        return pcm.whole(), report


def _peak(pcm: Waveform) -> int:
    """The largest absolute value, found without copying the samples."""
    return max(int(pcm.samples.max()), -int(pcm.samples.min()))


def _pieces(request: _Request, track: int, report: DecodingReport) -> Iterator[Piece]:
    """The sound of all parts, one after the other on one clock."""
    clock = Clock(report)
    for part in request.parts:
        try:
            with open_track(request.path, part, track, clock, report) as opened:
                if (opened.duration_s or 0) + clock.now_s > request.max_duration_s:
                    hours = ((opened.duration_s or 0) + clock.now_s) / 3600
                    raise _too_long(f"its {hours:.3g} hours exceed", request.max_duration_s)
                for piece in opened.pieces:
                    if not report.sample_rate:
                        report.sample_rate, report.channels = piece.rate, piece.samples.shape[1]
                    yield piece
        except UnreadableAudio:
            if part is request.parts[0]:
                raise
            report.note_damage(f"damaged at {clock.now_s:.1f} s: what was joined there cannot be read")
            report.lost_unknown = True


def _too_long(how_long: str, max_duration_s: float) -> AudioTooLong:
    limit = f"the limit of {max_duration_s / 3600:.3g} hours"
    return AudioTooLong(f"{how_long} {limit}; cut it into parts, or raise SENSORY_MAX_AUDIO_HOURS")
