"""Where GigaAM-Emo's published weights are, and a copy of them on this machine."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from sensory_pipeline.core.errors import ConfigurationError

log = logging.getLogger(__name__)

_TIMEOUT_S = 60
_CHUNK = 1 << 20

Progress = Callable[[int, int | None], None]
"""Told how many bytes have come, and of how many, where the server says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """url: where it is; md5: of all of it, hexadecimal; place: relative to a folder of caches."""

    url: str
    md5: str
    place: Path

    def fetch(self, caches: Path, progress: Progress = lambda _come, _all: None) -> Path:
        """The file in its place under `caches`, downloaded unless it is there and whole.

        The place never holds a part of it. Raises ConfigurationError when it cannot be had.
        """
        path = caches / self.place
        if path.is_file() and md5(path) == self.md5:
            return path
        log.warning("downloading %s to %s", self.url, path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._download(path, progress)
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()
            raise ConfigurationError(
                f"cannot download {self.url} to {path}: {error}. Download it by hand, check that its md5 is "
                f"{self.md5}, and put it there; or set GIGAAM_MODEL_NAME to the path of your copy."
            ) from error
        return path

    def _download(self, path: Path, progress: Progress) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with urlopen(self.url, timeout=_TIMEOUT_S) as response, part.open("wb") as file:  # noqa: S310  our own URL
                length = response.headers["Content-Length"]
                while chunk := response.read(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
                    progress(file.tell(), int(length) if length else None)
                if digest.hexdigest() != self.md5:
                    raise OSError(f"the server sent {file.tell()} bytes with md5 {digest.hexdigest()}")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


EMO = PublishedFile(
    url="https://cdn.chatwm.opensmodel.sberdevices.ru/GigaAM/emo.ckpt",
    md5="7ce76f9535cb254488985057c0d33006",
    place=Path("gigaam", "emo.ckpt"),
)
"""GigaAM-Emo, where its authors' own package keeps it too."""


def md5(path: Path) -> str:
    """Hexadecimal, over the whole file; read once while the file stays as it is."""
    stat = path.stat()
    return _md5(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _md5(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
