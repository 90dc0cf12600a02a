"""Decoded audio in files: one that grows during decoding, and WAVE files that are kept."""

from __future__ import annotations

import errno
import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.errors import NoRoom

MOST_BYTES = (1 << 32) - 64
"""A WAVE file's size, header included, has 32 bits: 37 hours of mono."""

_SAMPLE_BYTES = 2
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_SEAL = struct.Struct("<4sII")
_SEAL_NAME = b"crc "


class GrowingPcm:
    """Sound that grows in an unnamed file, so that hours of it take no memory.

    Args:
        folder: For the file; None for the system's folder for temporary files.

    Raises:
        NoRoom: The file cannot be written. The methods raise it too.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._channels = 1
        self.size_bytes = 0
        with writing(folder):
            self._file = TemporaryFile(dir=folder, prefix=".decoding-")  # noqa: SIM115 - `close` does

    @property
    def duration_s(self) -> float:
        return self.size_bytes / (SAMPLE_RATE * self._channels * _SAMPLE_BYTES)

    def add(self, piece: npt.NDArray[np.int16]) -> None:
        """Append some sound.

        Args:
            piece: Shape (frames, channels), with as many channels as the first piece.
        """
        self._channels = piece.shape[1]
        self.size_bytes += piece.nbytes
        with writing(self._folder):
            self._file.write(piece.tobytes())

    def whole(self) -> Waveform:
        """All of the sound. The samples are in the file, which is removed with the last array that refers to it."""
        with writing(self._folder):
            self._file.flush()
        samples = np.memmap(self._file, np.int16, "r+") if self.size_bytes else np.empty(0, np.int16)
        return Waveform(samples=np.asarray(samples).reshape(-1, self._channels).T)

    def close(self) -> None:
        """Close the file. Nothing can be added any more."""
        self._file.close()


@contextmanager
def writing(folder: Path | None) -> Iterator[None]:
    """Turn errors of writing to `folder` into NoRoom.

    Raises:
        NoRoom: An OSError was raised, other than FileNotFoundError.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        where = folder or gettempdir()
        raise NoRoom(f"{where}: {error.strerror}; check its free space and permissions, then ingest again") from error


def write_pcm(path: Path, pcm: Waveform) -> None:
    """Write a WAVE file, complete or not at all; readers never see a part of it.

    A chunk after the samples has their checksum.

    Args:
        path: The file.
        pcm: At least one sample, at most 4 GiB, which is 37 hours of mono.

    Raises:
        OSError: There is no room, or no folder.
    """
    samples = np.ascontiguousarray(pcm.samples.T)
    header = _header(pcm.channels, samples.nbytes)
    seal = zlib.crc32(samples.data, zlib.crc32(header))
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # `sweep_temporaries` knows such names
    try:
        with unfinished.open("xb") as file:
            file.write(header)
            file.write(samples.data)
            file.write(_SEAL.pack(_SEAL_NAME, 4, seal))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_pcm(path: Path) -> Waveform:
    """Read what `write_pcm` wrote. The samples are read-only.

    Raises:
        FileNotFoundError: The file is not there, or not as it was written; decode the source again.
    """
    content = path.read_bytes()
    body = memoryview(content)[: -_SEAL.size]
    if len(body) < _HEADER.size or _SEAL.unpack(content[-_SEAL.size :]) != (_SEAL_NAME, 4, zlib.crc32(body)):
        raise FileNotFoundError(errno.ENOENT, "no whole file of decoded audio", str(path))
    channels = _HEADER.unpack_from(content)[6]
    return Waveform(samples=np.frombuffer(body[_HEADER.size :], np.int16).reshape(-1, channels).T)


def _header(channels: int, size: int) -> bytes:
    """The header of a WAVE file: RIFF, the format (PCM), and the head of the samples."""
    riff = _HEADER.size - 8 + size + _SEAL.size
    frame = channels * _SAMPLE_BYTES
    pcm = (1, channels, SAMPLE_RATE, SAMPLE_RATE * frame, frame, 16)
    return _HEADER.pack(b"RIFF", riff, b"WAVE", b"fmt ", 16, *pcm, b"data", size)
