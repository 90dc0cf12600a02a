"""Decoded audio: made from a file of any format, and kept in a file of its own.

Whatever the source, the same steps: float32 at the source's rate, the mean of the channels (FFmpeg's
own downmix of stereo is 1.414 times too loud), soxr at its high quality, rounding to 16 bits.
PCM16 at 16 kHz comes through bit for bit. Beside the result, a second of sound is in memory.
"""

from __future__ import annotations

import errno
import secrets
import wave
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from sensory_pipeline.audio import frames
from sensory_pipeline.audio.frames import Sound
from sensory_pipeline.audio.pcm import SAMPLE_RATE, Pcm
from sensory_pipeline.audio.resampling import Channels, canonical
from sensory_pipeline.core.errors import AudioTooLong, EmptyAudio, SourceUnavailable
from sensory_pipeline.core.recordings import printable

_SAMPLE_BYTES = 2
_MOST_BYTES = (1 << 32) - 64  # a WAVE file counts in 32 bits, its header included; 37 hours of mono


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """pcm: the sound; codec ("pcm_s16le", "flac", "mp3", "opus", "aac"), sample_rate (Hz) and
    channels: the source's own, at its beginning.
    """

    pcm: Pcm
    codec: str
    sample_rate: int
    channels: int


def decode(path: Path, *, channels: Channels = "mono", max_duration_s: float) -> Decoded:
    """The first audio stream of a file, whole: damage or a cut is an error, never a shorter Pcm.

    channels: "mono" for the mean of them, "keep" for each. Raises EmptyAudio, UnreadableAudio,
    TruncatedAudio, AudioTooLong (before decoding, where the container says how long it is), and
    SourceUnavailable when the file cannot be read.
    """
    try:
        with frames.opened(path) as sound:
            return _decoded(sound, channels, max_duration_s)
    except OSError as error:
        raise SourceUnavailable(
            f"cannot read {printable(path)}: {error.strerror}; check that it exists and may be read"
        ) from error


def _decoded(sound: Sound, channels: Channels, max_duration_s: float) -> Decoded:
    if sound.duration_s is not None and sound.duration_s > max_duration_s:
        raise _too_long(f"its {sound.duration_s / 3600:.3g} hours are over", max_duration_s)
    first = next(sound.frames, None)
    if first is None:
        raise EmptyAudio("there is not one sample in it; record or export it again")
    pcm = bytearray()
    kept = first.layout.nb_channels if channels == "keep" else 1
    for piece in canonical(chain([first], sound.frames), channels):
        pcm += piece.tobytes()
        if len(pcm) > max_duration_s * SAMPLE_RATE * kept * _SAMPLE_BYTES:
            raise _too_long("it goes on beyond", max_duration_s)
        if len(pcm) > _MOST_BYTES:
            raise AudioTooLong("it decodes to more than the 4 GB a file of decoded sound can hold; cut it into parts")
    if not pcm:
        raise EmptyAudio("it is shorter than a sample at 16 kHz; record or export it again")
    return Decoded(
        pcm=Pcm(samples=np.frombuffer(pcm, np.int16).reshape(-1, kept).T),
        codec=sound.codec,
        sample_rate=first.sample_rate,
        channels=first.layout.nb_channels,
    )


def _too_long(how_long: str, max_duration_s: float) -> AudioTooLong:
    limit = f"the limit of {max_duration_s / 3600:.3g} hours"
    return AudioTooLong(
        f"{how_long} {limit}; cut it into parts, or raise SENSORY_MAX_AUDIO_HOURS and ingest with --retry-failed"
    )


def write_pcm(path: Path, pcm: Pcm) -> None:
    """Writes a WAVE file, whole or not at all; a reader never sees a part.

    pcm: at least a sample, at most 4 GiB, which is 37 hours of mono. Raises OSError when there is no
    room, or no folder.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with unfinished.open("xb") as file, wave.open(file, "wb") as written:
            written.setnchannels(pcm.channels)
            written.setsampwidth(_SAMPLE_BYTES)
            written.setframerate(SAMPLE_RATE)
            written.setnframes(pcm.samples.shape[1])
            written.writeframesraw(np.ascontiguousarray(pcm.samples.T).data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_pcm(path: Path) -> Pcm:
    """What write_pcm wrote; its samples cannot be changed.

    Raises FileNotFoundError when it is not there, or not whole: decode the source again.
    """
    try:
        with path.open("rb") as file, wave.open(file) as opened:
            channels, sample_bytes, rate, length, *_ = opened.getparams()
            data = opened.readframes(length)
    except (wave.Error, EOFError) as error:
        raise _no_decoded_audio(path) from error
    if (sample_bytes, rate, len(data)) != (_SAMPLE_BYTES, SAMPLE_RATE, length * channels * _SAMPLE_BYTES):
        raise _no_decoded_audio(path)
    return Pcm(samples=np.frombuffer(data, np.int16).reshape(-1, channels).T)


def _no_decoded_audio(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "no whole file of decoded audio", str(path))
