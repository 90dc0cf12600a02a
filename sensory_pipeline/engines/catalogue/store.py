"""Where models lie on this machine, and whether they are what they should be."""

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

    A file counts only once it was read through and had the digest of the catalogue. That it was is kept beside
    it with its size and time, so it is read again only when it has changed.
    """

    folder: Path
    catalogue: Catalogue = field(default_factory=catalogue, repr=False)

    def place(self, model: Model) -> Path:
        """Where the model's files belong, there or not."""
        return self.folder / model.name

    def here(self, name: str) -> bool:
        """Whether all files of a model are on this machine. They are not read."""
        model = self.catalogue.known(name)
        return all((self.place(model) / file).is_file() for file in model.files)

    def verified(self, name: str) -> Path:
        """The folder of a model whose files all have been verified.

        Raises:
            ConfigurationError: It is not here, or a file is not what it should be.
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
        with suppress(OSError):  # of a store that is read-only the files are read through each time
            write_text_atomically(place / _STAMP, json.dumps(found))
        return place

    def damaged(self, name: str) -> list[str]:
        """Names of the model's files that are missing or have another digest. Reads them all."""
        model = self.catalogue.known(name)
        return [file for file, entry in model.files.items() if not matches(self.place(model) / file, entry.digest)]


HOME = Store(Path.home() / ".cache" / "sensory_pipeline" / "models")
"""Where no setting names another."""


def matches(path: Path, expected: tuple[str, str]) -> bool:
    """Whether there is a file with that digest. expected: algorithm and hexadecimal value."""
    algorithm, value = expected
    return path.is_file() and digest(path, algorithm) == value


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal, over the whole file; read once in a process while the file stays as it is.

    md5 serves only where a model's makers publish nothing else: it tells damage, and malice not.
    """
    return _digest(path, algorithm, *state(path))


@lru_cache(maxsize=128)
def _digest(path: Path, algorithm: str, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def state(path: Path) -> list[int]:
    """Size in bytes and time of last change in nanoseconds: what differs when a file was written anew."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _stamp(place: Path) -> object:
    try:
        return json.loads((place / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
