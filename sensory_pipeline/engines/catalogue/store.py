"""Where models are on this machine, and whether they are what they should be."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.catalogue.models import Catalogue, Model, catalogue
from sensory_pipeline.storage.files import write_text_atomically

_STAMP = ".verified"


@dataclass(frozen=True, slots=True)
class Store:
    """A folder with a folder for each model.

    A file counts only if it was read completely and had the digest of the catalogue. That result is kept beside
    it with its size and time, so it is read again only if it has changed.
    """

    folder: Path
    catalogue: Catalogue = field(default_factory=catalogue, repr=False)

    def place(self, model: Model) -> Path:
        """Where the model's files belong, whether or not they are there."""
        return self.folder / model.name

    def here(self, name: str) -> bool:
        """Whether all files of a model are on this machine. They are not read."""
        model = self.catalogue.known(name)
        return all((self.place(model) / file).is_file() for file in model.files)

    def verified(self, name: str) -> Path:
        """The folder of a model, all of whose files have been verified.

        Raises:
            ConfigurationError: The model is not here, or a file is not what it should be.
        """
        model = self.catalogue.known(name)
        place = self.place(model)
        if not self.here(name):
            raise ConfigurationError(
                f"the model {name} is not on this machine: run `sensory models fetch {name}`, or copy its folder "
                f"from a machine that has it to {place}"
            )
        found = {file: state(place / file) for file in model.files}
        if _stamp(place) == found:
            return place
        if damaged := self.damaged(name):
            raise ConfigurationError(
                f"{', '.join(str(place / file) for file in damaged)}: not the published file of the model {name}. "
                f"Run `sensory models fetch {name}` to get it again"
            )
        with suppress(OSError):  # the files of a read-only store are read each time
            write_text_atomically(place / _STAMP, json.dumps(found))
        return place

    def damaged(self, name: str) -> list[str]:
        """Names of the model's files that are missing or have another digest. Reads all of them."""
        model = self.catalogue.known(name)
        return [file for file, entry in model.files.items() if not matches(self.place(model) / file, entry.digest)]


HOME = Store(Path.home() / ".cache" / "sensory_pipeline" / "models")
"""The default store."""


def matches(path: Path, expected: tuple[str, str]) -> bool:
    """Whether there is a file with that digest.

    Args:
        path: The file.
        expected: Algorithm and hexadecimal value.
    """
    algorithm, value = expected
    return path.is_file() and digest(path, algorithm) == value


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file, computed once in a process as long as the file does not change.

    md5 is used only if a model's makers publish nothing else: it detects damage, but not malice.
    """
    return _digest(path, algorithm, *state(path))


@lru_cache(maxsize=128)
def _digest(path: Path, algorithm: str, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def state(path: Path) -> list[int]:
    """Size in bytes and time of last change in nanoseconds; they differ if a file was written again."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _stamp(place: Path) -> object:
    try:
        return json.loads((place / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
