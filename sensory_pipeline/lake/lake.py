"""One folder that holds everything: tables, manifests, ledger, stage results, decoded audio.

lake.json                               format, number of shards, first date, where the ledger is; never changes
settings.json                           the settings that shape its results; changed only with a confirmation
ledger.sqlite                           which recordings were found and tried, unless that is in PostgreSQL
manifests/date=/shard=.json             what is published
generations/<table>/date=/shard=/       the rows; only files that a manifest names count
data/<table>/date=/shard=/rows.parquet  the same files, under a name for plain Parquet readers
stages/<stage>/date=/shard=/*.parquet   stage results, by fingerprint
audio/                                  cache of decoded audio
locks/                                  a lease for each partition, a lock for the creation of the lake, and in a folder
                                        for each host a lock for each device
.dagster/                               runs and logs of Dagster, unless DAGSTER_HOME is another folder
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


class _LakeConfig(BaseModel):
    """The content of lake.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int
    shards: int
    start_date: date = date(2024, 1, 1)
    ledger_schema: str | None = Field(None, pattern=r"^sensory_[0-9a-f]{12}$")  # in PostgreSQL; None: SQLite


@dataclass(frozen=True)
class Lake:
    """An open lake.

    Attributes:
        root: Absolute path of its folder.
        shards: Number of shards; fixed when the lake is created.
        start_date: First date of its partitions; fixed when the lake is created.
        database: Database of the ledger.
    """

    root: Path
    shards: int
    start_date: date
    database: Database

    @classmethod
    def open(cls, root: Path, *, ledger: SecretStr | None = None) -> Lake:
        """Open an existing lake.

        Args:
            root: Its folder.
            ledger: URL of the PostgreSQL database that holds its ledger; None if the ledger is in the folder.

        Raises:
            LakeMismatch: There is no lake, it has another format, or its ledger is elsewhere.
            LakeDamaged: lake.json is damaged.
        """
        _check_path(root)
        path = root / "lake.json"
        try:
            config = _LakeConfig.model_validate_json(unsealed(path.read_bytes()))
        except FileNotFoundError as error:
            raise LakeMismatch(
                f"there is no lake in {root}: make one with `sensory ingest FOLDER --lake {root}`"
            ) from error
        except OSError as error:
            raise LakeMismatch(f"{path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise LakeMismatch(f"{path} is not valid: {error.error_count()} fields are wrong") from error
        except ValueError as error:
            raise LakeDamaged(f"{path} is damaged ({error}): put it back from a backup") from error
        if config.format != FORMAT:
            raise LakeMismatch(f"{root} has format {config.format}, this version reads {FORMAT}: use a new lake")
        if config.ledger_schema is not None and ledger is None:
            raise LakeMismatch(f"the ledger of {root} is in PostgreSQL: set SENSORY_LEDGER to its URL")
        if config.ledger_schema is None and ledger is not None:
            raise LakeMismatch(
                f"{root} was made with its ledger in ledger.sqlite and SENSORY_LEDGER is set: unset it, or use a new "
                "lake"
            )
        database = _database(root.resolve(), ledger, config.ledger_schema)
        return cls(root=root.resolve(), shards=config.shards, start_date=config.start_date, database=database)

    @classmethod
    def create(cls, root: Path, *, shards: int, start_date: date, ledger: SecretStr | None = None) -> Lake:
        """Open the lake in a folder; create it first if there is none.

        Args:
            root: Its folder.
            shards: Number of shards.
            start_date: First date of its partitions.
            ledger: As for `open`.

        Raises:
            ConfigurationError: The start date is in the future.
            LakeMismatch: The lake exists with another number of shards or start date, or the folder holds something
                else.
            LakeDamaged: lake.json is damaged.
        """
        if start_date > datetime.now(UTC).date():
            raise ConfigurationError(
                f"SENSORY_START_DATE is {start_date}, which is in the future: use today or an earlier date"
            )
        _check_path(root)
        if not (root / "lake.json").exists():
            _check_vacant(root)
            _make_private(root)
            with held(root / "locks" / "lake.lock", what="the new lake"):
                if not (root / "lake.json").exists():
                    schema = None if ledger is None else f"sensory_{uuid4().hex[:12]}"
                    Ledger(_database(root.resolve(), ledger, schema))  # now, so that the first reader finds one
                    config = _LakeConfig(format=FORMAT, shards=shards, start_date=start_date, ledger_schema=schema)
                    write_text_atomically(root / "lake.json", sealed(config.model_dump_json(indent=1)))
        lake = cls.open(root, ledger=ledger)
        lake.check_made_with(shards=shards, start_date=start_date)
        return lake

    def check_made_with(self, *, shards: int, start_date: date) -> None:
        """Check that the settings match the lake, before anything is written to it.

        Raises:
            LakeMismatch: The number of shards or the start date is different.
        """
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
        """Yield every published partition with its manifest."""
        return manifest.read_all(self.manifests)

    def lease(self, partition: Partition) -> AbstractContextManager[None]:
        """Return a lock that a process must hold to write to the partition.

        It waits while another process holds the lock, and is released when the process ends.
        """
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
    """Create the folder for its owner, and for its group if the umask lets that write: recordings are private."""
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    root.mkdir(0o770, exist_ok=True)  # another process may create it at the same time
    if root.stat().st_mode & S_IRWXG != S_IRWXG:
        root.chmod(0o700)


def _check_vacant(root: Path) -> None:
    if not root.exists():
        return
    if not root.is_dir():
        raise LakeMismatch(f"{root} is a file: give a folder for the lake")
    # ignore what a killed creation left behind, and what another process has created by now
    strangers = sorted(
        path.name
        for path in root.iterdir()
        if path.name != "locks" and not path.name.startswith((".", "ledger.sqlite"))
    )
    if strangers and not (root / "lake.json").exists():
        raise LakeMismatch(f"{root} is not empty and not a lake (it holds {strangers[0]}): give a new folder")
