"""Some of a file's bytes, as a file of their own."""

from __future__ import annotations

import errno
import io
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path


class Window(io.RawIOBase):
    """The bytes from `begin` to `end`, without those of `gaps`.

    FFmpeg seeks to places outside the file where damaged headers point; `seek` then fails as the system's would.

    Args:
        path: The file.
        begin: The first byte.
        end: The byte after the last one.
        gaps: Ranges to leave out, counted from `begin`, in order.
    """

    def __init__(self, path: Path, begin: int, end: int, gaps: Iterable[range] = ()) -> None:
        self._file = path.open("rb", buffering=0)
        self._kept = list(_kept(begin, end, gaps))
        self._starts = [start for start, _, _ in self._kept]
        self._size = sum(length for _, _, length in self._kept)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}.get(whence)
        if origin is None or origin + position < 0:
            return -errno.EINVAL
        self._position = origin + position
        return self._position

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if self._position >= self._size:
            return 0
        start, place, length = self._kept[bisect_right(self._starts, self._position) - 1]
        within = self._position - start
        found = os.pread(self._file.fileno(), min(len(buffer), length - within), place + within)
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()


def _kept(begin: int, end: int, gaps: Iterable[range]) -> Iterator[tuple[int, int, int]]:
    """For each piece: where it begins in the window, where in the file, and its length."""
    start, place = 0, begin
    for gap in gaps:
        if begin + gap.start > place:
            yield start, place, begin + gap.start - place
            start += begin + gap.start - place
        place = max(place, begin + gap.stop)
    if end > place:
        yield start, place, end - place
