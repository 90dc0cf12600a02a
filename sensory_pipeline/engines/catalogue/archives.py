"""Reads files of models from folders and archives of users. Nothing is unpacked as a whole, nothing is run."""

from __future__ import annotations

import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sensory_pipeline.core.errors import ConfigurationError


class Archive(ABC):
    """A folder or an archive.

    Attributes:
        sizes: Name and size in bytes of each file in it.
    """

    sizes: Mapping[str, int]

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """The content of one of the files in `sizes`."""

    def ending_in(self, path: str) -> str | None:
        """The first name that is `path`, or ends in it after a slash; None if there is none."""
        return next((name for name in self.sizes if name == path or name.endswith(f"/{path}")), None)


class _Folder(Archive):
    def __init__(self, path: Path) -> None:
        self._path = path
        self.sizes = {
            file.relative_to(path).as_posix(): file.stat().st_size for file in sorted(path.rglob("*")) if file.is_file()
        }

    def open(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")


class _Zip(Archive):
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.sizes = {entry.filename: entry.file_size for entry in archive.infolist() if not entry.is_dir()}

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(name)


class _Tar(Archive):
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.sizes = {member.name: member.size for member in archive.getmembers() if member.isreg()}

    def open(self, name: str) -> IO[bytes]:
        content = self._archive.extractfile(name)
        if content is None:
            raise KeyError(name)
        return content


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a folder, a zip (as wheels are) or a tar.

    Raises:
        ConfigurationError: It is none of these, or not there.
    """
    if path.is_dir():
        yield _Folder(path)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as zipped:
            yield _Zip(zipped)
    elif path.is_file() and tarfile.is_tarfile(path):
        with tarfile.open(path) as tarred:
            yield _Tar(tarred)
    elif path.exists():
        raise ConfigurationError(f"{path} is neither a folder nor a zip, wheel or tar archive")
    else:
        raise ConfigurationError(f"{path} is not there: give a folder or an archive that holds the model's files")
