"""One folder that holds everything: tables, manifests, ledger, stage results, decoded audio.

lake.json                               format and number of shards, frozen
ledger.sqlite                           what was discovered and tried
manifests/date=/shard=.json             what is published
data/<table>/date=/shard=/*.parquet     the rows; only files named by a manifest count
stages/<stage>/date=/shard=/*.parquet   stage results, by fingerprint
audio/                                  decoded audio, a cache
locks/                                  one lease a partition
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sensory_pipeline.core.errors import LakeMismatch
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake import manifest
from sensory_pipeline.lake.ledger import Ledger
from sensory_pipeline.lake.manifest import Manifest
from sensory_pipeline.lake.stage_store import StageStore
from sensory_pipeline.storage.files import write_text_atomically
from sensory_pipeline.storage.lock import held

FORMAT = 1


class _Birth(BaseModel):
    """lake.json"""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int
    shards: int


@dataclass(frozen=True)
class Lake:
    """An open lake. root: its folder; shards: frozen when it was made."""

    root: Path
    shards: int

    @classmethod
    def open(cls, root: Path) -> Lake:
        """A lake that exists. Raises LakeMismatch when there is none or of another format."""
        path = root / "lake.json"
        try:
            birth = _Birth.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise LakeMismatch(
                f"there is no lake in {root}: make one with `sensory ingest FOLDER --lake {root}`"
            ) from error
        except ValidationError as error:
            raise LakeMismatch(f"{path} is not a lake's: {error.error_count()} fields are wrong") from error
        if birth.format != FORMAT:
            raise LakeMismatch(f"{root} has format {birth.format}, this version reads {FORMAT}: use a new lake")
        return cls(root=root.resolve(), shards=birth.shards)

    @classmethod
    def create(cls, root: Path, *, shards: int) -> Lake:
        """The lake in that folder, made now if there is none.

        Raises LakeMismatch when it exists with another number of shards, or when the folder holds
        something else.
        """
        if not (root / "lake.json").exists():
            if root.exists() and not root.is_dir():
                raise LakeMismatch(f"{root} is a file: give a folder for the lake")
            with held(root / "locks" / "lake.lock", what="the new lake"):
                if not (root / "lake.json").exists():
                    strangers = sorted(p.name for p in root.iterdir() if p.name != "locks" and p.name[0] != ".")
                    if strangers:
                        raise LakeMismatch(
                            f"{root} is not empty and not a lake (it holds {strangers[0]}): give a new folder"
                        )
                    lake = cls(root=root.resolve(), shards=shards)
                    _ = lake.ledger  # there from the start, so that a reader finds one
                    birth = _Birth(format=FORMAT, shards=shards)
                    write_text_atomically(root / "lake.json", birth.model_dump_json(indent=1) + "\n")
        lake = cls.open(root)
        if lake.shards != shards:
            raise LakeMismatch(
                f"{root} was made with {lake.shards} shards and SENSORY_SHARDS is {shards}: "
                f"set it to {lake.shards}, or use a new lake"
            )
        return lake

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.root / "ledger.sqlite")

    @property
    def stages(self) -> StageStore:
        return StageStore(self.root / "stages")

    @property
    def manifests(self) -> Path:
        return self.root / "manifests"

    @property
    def audio(self) -> Path:
        """Folder of decoded audio."""
        return self.root / "audio"

    def manifest(self, partition: Partition) -> Manifest:
        return manifest.read(self.manifests, partition)

    def published(self) -> Iterator[tuple[Partition, Manifest]]:
        """Every partition that was ever published."""
        return manifest.read_all(self.manifests)

    def lease(self, partition: Partition) -> AbstractContextManager[None]:
        """Only its holder may write to the partition. Waits for another holder; ends with its process."""
        name = f"{partition.date.isoformat()}-{partition.shard}.lock"
        return held(self.root / "locks" / name, what=f"partition {partition.key}")
