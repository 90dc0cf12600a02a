"""A bucket that changes while it is listed, and listings that are killed: nothing is missed or done twice.

Histories are drawn at random and run on a real ledger, real manifests and the real lister, against a server whose pages
hold two keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sensory_pipeline.automation.discovery import sweep
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.recordings import recording_id, shard_of
from sensory_pipeline.lake import manifest as manifests
from sensory_pipeline.lake.database import Database, Transaction
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.manifest import Published
from sensory_pipeline.processing.plans import Plans, make_plan
from sensory_pipeline.storage import s3_uris
from sensory_pipeline_tests.listing_server import FakeBucket, Stored, connected
from sensory_pipeline_tests.trivial_engines import trivial

KEYS = ("a.wav", "b.wav", "b/1.wav", "c d.wav", "z.txt", "é.wav")
"""Their order as keys is not that of their uris."""

START = date(2024, 1, 1)

NOW = datetime.now(UTC).replace(microsecond=0)

MOMENTS = (NOW, NOW - timedelta(days=400), NOW + timedelta(days=3), datetime(1999, 1, 1, tzinfo=UTC))
"""Of modification: now and the same second again, late, of a clock that runs ahead, before the lake's start."""


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A disk would take most of the time."""


class KilledError(BaseException):
    """As kill -9: nothing catches it, and nothing works afterwards."""


@dataclass
class Mortal:
    """A database whose user is killed around the nth time it writes, before or after that takes effect."""

    inner: Database
    writes_left: int | None = None
    after: bool = False
    dead: bool = False

    def exists(self) -> bool:
        return self.inner.exists()

    def check(self) -> None:
        self.inner.check()

    def seal(self, db: Transaction, table: str, columns: Iterable[str], *, rebuild: bool) -> None:
        self.inner.seal(db, table, columns, rebuild=rebuild)

    @contextmanager
    def exclusive(self) -> Iterator[Transaction]:
        with self._dying(), self.inner.exclusive() as db:
            yield db
            self._last_breath()

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self._dying(), self.inner.writing() as db:
            yield db
            self._last_breath()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        if self.dead:
            raise KilledError
        with self.inner.reading() as db:
            yield db

    @contextmanager
    def _dying(self) -> Iterator[None]:
        if self.dead:
            raise KilledError
        if self.writes_left is not None:
            self.writes_left -= 1
        yield
        if self.writes_left == 0:
            self.dead = True
            raise KilledError

    def _last_breath(self) -> None:
        """Before the commit."""
        if self.writes_left == 0 and not self.after:
            self.dead = True
            raise KilledError


@dataclass(frozen=True)
class Put:
    key: str
    content: str
    modified_at: datetime


@dataclass(frozen=True)
class Delete:
    key: str


@dataclass(frozen=True)
class Death:
    """With which write, and whether that takes effect."""

    writes: int
    after: bool


@dataclass(frozen=True)
class Sweep:
    """pages: after which it is cut off; None: never."""

    pages: int | None
    death: Death | None


@dataclass(frozen=True)
class Run:
    """Everything pending is processed. rewritten: what is put in its place while that lasts."""

    death: Death | None
    rewritten: Put | None


Event = Put | Delete | Sweep | Run

deaths = st.none() | st.builds(Death, st.integers(1, 4), st.booleans())

puts = st.builds(Put, st.sampled_from(KEYS), st.sampled_from("AABC"), st.sampled_from(MOMENTS))

sweeps = st.builds(Sweep, st.none() | st.integers(1, 5), deaths)

runs = st.builds(Run, deaths, st.none() | puts)

histories = st.lists(
    st.lists(puts | st.builds(Delete, st.sampled_from(KEYS)), max_size=4).flatmap(
        lambda changes: st.tuples(sweeps, st.none() | runs).map(lambda after: [*changes, *filter(None, after)])
    ),
    min_size=3,
    max_size=8,
)
"""Some changes, somebody who looks, and often somebody who does something about it; several times."""

WHOLE, DONE = Sweep(None, None), Run(None, None)

THERE_AND_BACK: list[list[Event]] = [
    [WHOLE, DONE],
    [Put("a.wav", "B", NOW), WHOLE],
    [Put("a.wav", "A", NOW), WHOLE, DONE],
]
"""Rewritten twice, and as it was before anybody did something about it."""

GONE_BETWEEN_PIECES: list[list[Event]] = [[WHOLE, DONE], [Delete("b.wav"), Sweep(1, None)], [Sweep(4, None)]]


@dataclass
class World:
    """A bucket, a lake, and what has been committed so far: recording_id -> versions."""

    bucket: FakeBucket
    lake: Lake
    plans: Plans
    commits: dict[str, list[str]] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    """Keys that changed since the sweep that is under way began: it may have seen either."""

    def happen(self, event: Event) -> None:
        match event:
            case Put(key, content, modified_at):
                self.bucket.objects[key] = Stored(content=content, modified_at=modified_at)
                self.unsettled.add(key)
            case Delete(key):
                self.bucket.objects.pop(key, None)
                self.unsettled.add(key)
            case Sweep(pages, death):
                with self._mortal(death) as lake:
                    self.sweep(lake, pages)
            case Run(death, rewritten):
                with self._mortal(death) as lake:
                    self.run(lake, rewritten)

    def sweep(self, lake: Lake, pages: int | None) -> None:
        """Two keys a page, one page a tick."""
        if pages is None:
            before, number = set(self.unsettled), self._number()
            self.unsettled.clear()
            try:
                assert sweep(lake, self.plans, "s3://calls", confirm_missing=True).complete
            finally:
                if self._number() == number:  # it never began, and the interrupted one continues
                    self.unsettled |= before
            self.check()
            return
        for _ in range(pages):
            if not self._under_way():
                self.unsettled.clear()
            if sweep(lake, self.plans, "s3://calls", seconds=0, confirm_missing=True).complete:
                self.check()

    def run(self, lake: Lake, rewritten: Put | None) -> None:
        """As the assets do: catch up, read what is pending in the version that was listed, commit, settle."""
        for partition in lake.ledger.pending_partitions():
            base = lake.manifest(partition)
            lake.ledger.catch_up(base)
            pending = lake.ledger.pending(partition)
            if rewritten:
                self.happen(rewritten)
            entries = {}
            for item in pending:
                lake.ledger.attempts.started(item.recording)
                key = s3_uris.place_of(item.recording.uri)[1]
                found = self.bucket.objects.get(key)
                if found is None or found.version != item.recording.version:
                    lake.ledger.attempts.deferred(item.recording, "rewritten, or gone")
                    continue
                entries[item.recording.recording_id] = Published(
                    version=found.version,
                    status="failed" if found.content == "C" else "ok",
                    fingerprint=self.plans.default.fingerprint,
                )
            if entries:
                new = base.model_copy(
                    update={"generation": base.generation + 1, "recordings": {**base.recordings, **entries}}
                )
                manifests.commit(lake.manifests, partition, new)
                for identity, entry in entries.items():
                    self.commits.setdefault(identity, []).append(entry.version)
                lake.ledger.settle(entries)

    def check(self) -> None:
        """A sweep has come to its end: what has not changed since it began is as it is in the bucket."""
        with self.lake.database.reading() as db:
            rows = {
                row[0]: row[1:]
                for row in db.execute(
                    "SELECT uri, version, status, present, date, shard, first_seen_at FROM recordings"
                ).fetchall()
            }
        published = {
            identity: entry for _, manifest in self.lake.published() for identity, entry in manifest.recordings.items()
        }
        for key in KEYS:
            uri = s3_uris.uri_of("calls", key)
            if key in self.unsettled or key.endswith(".txt"):
                continue
            found = self.bucket.objects.get(key)
            if found is None:
                assert uri not in rows or not rows[uri][2], f"{key} is gone, and not marked"
                continue
            assert uri in rows, f"{key} was missed"
            version, status, present, day, shard, _ = rows[uri]
            assert (version, present) == (found.version, 1), f"{key} is missed in its latest version"
            assert shard == shard_of(uri, self.lake.shards)
            assert START <= date.fromisoformat(day) <= NOW.date() + timedelta(days=1)
            if status != "pending":
                assert published[recording_id(uri)].version == version, f"{key} is settled and not published"
        for identity, versions in self.commits.items():
            twice = [one for one, two in pairwise(versions) if one == two]
            assert not twice, f"{identity} was committed twice"

    def _number(self) -> object:
        with self.lake.database.reading() as db:
            return db.execute("SELECT max(number) FROM sweeps").fetchall()

    def _under_way(self) -> bool:
        with self.lake.database.reading() as db:
            return bool(db.execute("SELECT 1 FROM sweeps WHERE after IS NOT NULL").fetchall())

    @contextmanager
    def _mortal(self, death: Death | None) -> Iterator[Lake]:
        if death is None:
            yield self.lake
            return
        database = Mortal(self.lake.database)
        lake = replace(self.lake, database=database)
        _ = lake.ledger  # it is opened before it dies
        database.writes_left, database.after = death.writes, death.after
        with suppress(KilledError):
            yield lake


@pytest.fixture(scope="module")
def bucket() -> Iterator[FakeBucket]:
    with connected(page=2) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def plans() -> Plans:
    return Plans(default=make_plan(ProcessRequest(), trivial()))


def test_no_history_loses_or_repeats_a_recording(bucket: FakeBucket, plans: Plans, soak: bool) -> None:
    @settings(
        max_examples=500 if soak else 50,
        derandomize=not soak,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories)
    @example(THERE_AND_BACK)
    @example(GONE_BETWEEN_PIECES)
    def lived(history: list[list[Event]]) -> None:
        bucket.objects = {key: Stored(content="A", modified_at=NOW) for key in KEYS}
        with TemporaryDirectory(prefix="history-", dir=MEMORY) as folder:
            lake = Lake.create(Path(folder) / "lake", shards=1, start_date=START)
            world = World(bucket, lake, plans)
            for event in chain.from_iterable(history):
                world.happen(event)
            # in the end somebody looks at everything, and does it
            for event in (Sweep(9, None), Run(None, None), Sweep(None, None)):
                world.happen(event)
            assert not lake.ledger.pending_partitions()

    lived()
