"""One folder that holds everything: tables, manifests, ledger, stage results, decoded audio.

lake.json                               format, number of shards, first date and place of the ledger, frozen
ledger.sqlite                           what was discovered and tried, unless that is in PostgreSQL
manifests/date=/shard=.json             what is published
generations/<table>/date=/shard=/       the rows; only files named by a manifest count
data/<table>/date=/shard=/rows.parquet  the same files, under a name for plain Parquet readers
stages/<stage>/date=/shard=/*.parquet   stage results, by fingerprint
audio/                                  decoded audio, a cache
locks/                                  one lease a partition
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from stat import S_IRWXG
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from sensory_pipeline.core.errors import ConfigurationError, LakeDamaged, LakeMismatch
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake import manifest
from sensory_pipeline.lake.database import Database
from sensory_pipeline.lake.ledger import Ledger
from sensory_pipeline.lake.manifest import Manifest
from sensory_pipeline.lake.sqlite import SqliteDatabase
from sensory_pipeline.lake.stage_store import StageStore
from sensory_pipeline.storage.checksums import sealed, unsealed
from sensory_pipeline.storage.files import write_text_atomically
from sensory_pipeline.storage.lock import held

FORMAT = 1


class _Birth(BaseModel):
    """lake.json"""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int
    shards: int
    start_date: date = date(2024, 1, 1)
    ledger_schema: str | None = Field(None, pattern=r"^sensory_[0-9a-f]{12}$")  # in PostgreSQL; None: SQLite


@dataclass(frozen=True)
class Lake:
    """An open lake. root: its folder; shards, start_date: frozen when it was made; database: of the ledger."""

    root: Path
    shards: int
    start_date: date
    database: Database

    @classmethod
    def open(cls, root: Path, *, ledger: SecretStr | None = None) -> Lake:
        """A lake that exists. ledger: URL of the PostgreSQL that has its ledger; in its folder when None.

        Raises LakeMismatch when there is none, of another format, or with its ledger elsewhere, and LakeDamaged.
        """
        _check_path(root)
        path = root / "lake.json"
        try:
            birth = _Birth.model_validate_json(unsealed(path.read_bytes()))
        except FileNotFoundError as error:
            raise LakeMismatch(
                f"there is no lake in {root}: make one with `sensory ingest FOLDER --lake {root}`"
            ) from error
        except OSError as error:
            raise LakeMismatch(f"{path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise LakeMismatch(f"{path} is not a lake's: {error.error_count()} fields are wrong") from error
        except ValueError as error:
            raise LakeDamaged(f"{path} is damaged ({error}): put it back from a backup") from error
        if birth.format != FORMAT:
            raise LakeMismatch(f"{root} has format {birth.format}, this version reads {FORMAT}: use a new lake")
        if birth.ledger_schema is not None and ledger is None:
            raise LakeMismatch(f"the ledger of {root} is in PostgreSQL: set SENSORY_LEDGER to where that is")
        if birth.ledger_schema is None and ledger is not None:
            raise LakeMismatch(
                f"{root} was made with its ledger in ledger.sqlite and SENSORY_LEDGER is set: unset it, or use a new "
                "lake"
            )
        database = _database(root.resolve(), ledger, birth.ledger_schema)
        return cls(root=root.resolve(), shards=birth.shards, start_date=birth.start_date, database=database)

    @classmethod
    def create(cls, root: Path, *, shards: int, start_date: date, ledger: SecretStr | None = None) -> Lake:
        """The lake in that folder, made now if there is none. ledger: as for `open`.

        Raises LakeMismatch when it exists with another number of shards or another start, or when
        the folder holds something else.
        """
        if start_date > datetime.now(UTC).date():
            raise ConfigurationError(f"SENSORY_START_DATE is {start_date}, a day to come: give one that has been")
        _check_path(root)
        if not (root / "lake.json").exists():
            _check_vacant(root)
            _make_private(root)
            with held(root / "locks" / "lake.lock", what="the new lake"):
                if not (root / "lake.json").exists():
                    schema = None if ledger is None else f"sensory_{uuid4().hex[:12]}"
                    Ledger(_database(root.resolve(), ledger, schema))  # from the start, so that a reader finds one
                    birth = _Birth(format=FORMAT, shards=shards, start_date=start_date, ledger_schema=schema)
                    write_text_atomically(root / "lake.json", sealed(birth.model_dump_json(indent=1)))
        lake = cls.open(root, ledger=ledger)
        lake.check_made_with(shards=shards, start_date=start_date)
        return lake

    def check_made_with(self, *, shards: int, start_date: date) -> None:
        """Whoever works on the lake has to cut it as it was cut. Raises LakeMismatch."""
        if self.shards != shards:
            raise LakeMismatch(
                f"{self.root} was made with SENSORY_SHARDS={self.shards} and it is {shards} now: "
                f"set it to {self.shards}, or use a new lake"
            )
        if self.start_date != start_date:
            raise LakeMismatch(
                f"{self.root} was made to start on {self.start_date} and SENSORY_START_DATE is {start_date}: "
                f"set it to {self.start_date}, or use a new lake"
            )

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.database)

    def first_date(self) -> date | None:
        """Return the earliest date of all recordings; None if no recording was ever registered."""
        if not self.database.exists():
            return None
        with self.database.reading() as db:
            ((first,),) = db.execute("SELECT min(date) FROM recordings").fetchall()
        return None if first is None else date.fromisoformat(first)

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


def _database(root: Path, url: SecretStr | None, schema: str | None) -> Database:
    if url is None or schema is None:
        return SqliteDatabase(root / "ledger.sqlite")
    try:
        from sensory_pipeline.lake.postgres import PostgresDatabase
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"SENSORY_LEDGER needs {error.name}: pip install -c constraints.txt -e '.[postgres]'"
        ) from error
    return PostgresDatabase(url, schema)


def _check_path(root: Path) -> None:
    if strange := [part for part in root.resolve().parts if "=" in part]:
        raise LakeMismatch(f"{root}: DuckDB takes {strange[0]!r} for a column; give the lake a path without '='")


def _make_private(root: Path) -> None:
    """A folder that is new is its owner's, and its group's where the umask lets that write: recordings are private."""
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    root.mkdir(0o770, exist_ok=True)  # somebody else makes it too
    if root.stat().st_mode & S_IRWXG != S_IRWXG:
        root.chmod(0o700)


def _check_vacant(root: Path) -> None:
    if not root.exists():
        return
    if not root.is_dir():
        raise LakeMismatch(f"{root} is a file: give a folder for the lake")
    # what a kill leaves of a lake that was being made, and what another process has made of it by now
    strangers = sorted(
        path.name
        for path in root.iterdir()
        if path.name != "locks" and not path.name.startswith((".", "ledger.sqlite"))
    )
    if strangers and not (root / "lake.json").exists():
        raise LakeMismatch(f"{root} is not empty and not a lake (it holds {strangers[0]}): give a new folder")
