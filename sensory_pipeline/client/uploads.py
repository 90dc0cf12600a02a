"""A recording to send: a path, bytes or a file object."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

Audio = str | os.PathLike[str] | bytes | IO[bytes]
"""A path, the bytes of a file, or a file that is open for reading."""
Progress = Callable[[int, int], None]
"""Called with the number of bytes sent and the total."""

_IN_MEMORY = 16 << 20


class Upload(io.RawIOBase):
    """A recording that can be sent more than once.

    Attributes:
        name: Name of the file.
        size: Bytes.
    """

    def __init__(self, file: IO[bytes], name: str, progress: Progress | None) -> None:
        self._file = file
        self._begin = file.tell()
        self.size = file.seek(0, os.SEEK_END) - self._begin
        self.name = name
        self._progress = progress
        self.rewind()

    def rewind(self) -> None:
        """Go back to the beginning."""
        self._file.seek(self._begin)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell() - self._begin

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        start = self._begin if whence == os.SEEK_SET else 0
        return self._file.seek(start + position, whence) - self._begin

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        if self._progress is not None and data:
            self._progress(self.tell(), self.size)
        return data


@contextmanager
def opened(audio: Audio, progress: Progress | None) -> Iterator[Upload]:
    """Open a recording for reading.

    Args:
        audio: A path, the bytes of a file, or a file object.
        progress: Called with the number of bytes read and the total.

    Raises:
        OSError: The file cannot be read.
    """
    if isinstance(audio, bytes):
        yield Upload(io.BytesIO(audio), "audio", progress)
    elif isinstance(audio, str | os.PathLike):
        with Path(audio).open("rb") as file:
            yield Upload(file, Path(audio).name, progress)
    elif audio.seekable():
        yield Upload(audio, _name(audio), progress)
    else:
        with SpooledTemporaryFile(max_size=_IN_MEMORY) as copy:
            shutil.copyfileobj(audio, copy)
            copy.seek(0)
            yield Upload(copy, _name(audio), progress)


def _name(file: IO[bytes]) -> str:
    name = getattr(file, "name", None)
    return Path(name).name if isinstance(name, str) else "audio"
