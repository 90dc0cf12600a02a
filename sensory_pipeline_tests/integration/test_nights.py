"""A night over prefixes of a bucket, on a network that loses one request in twenty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested, tables
from sensory_pipeline_tests.radosgw import INSTALLED, radosgw
from sensory_pipeline_tests.s3_servers import QUICK, Bucket, Server, behind_bad_network, connect, disconnect, moto, some

PREFIXES = ("calls/north", "visits", "calls/south")


@pytest.fixture
def server() -> Iterator[Server]:
    """Ceph's where it is installed, else moto's."""
    if INSTALLED:
        with TemporaryDirectory(prefix="rgw-") as home, radosgw(Path(home)) as running:
            yield running
    else:
        print("radosgw is not installed: moto stands in for it")  # noqa: T201
        with moto() as running:
            yield running


def test_a_night_on_a_bad_network_has_the_same_result(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak: bool
) -> None:
    count, prefixes = (2000, PREFIXES) if soak else (12, PREFIXES[:2])
    sounds = [tone(tmp_path / f"{length}.wav", length).read_bytes() for length in range(100, 200, 10)]
    with closing(server.client()) as client, ThreadPoolExecutor(4) as threads:
        bucket = Bucket(server, client)
        keys = [f"{prefixes[index % len(prefixes)]}/{index:04}.wav" for index in range(count)]
        list(threads.map(lambda key: bucket.put(key, sounds[int(key[-8:-4]) % 10]), keys))
    connect(server, monkeypatch)
    for prefix in prefixes:
        ingested(bucket.uri(prefix), tmp_path / "calm", shards=1)
    published: Counter[str] = Counter()
    kinds = (*QUICK, "stall") if soak else QUICK
    with behind_bad_network(server, some(0.05, seed=5, kinds=kinds)) as (far, seen):
        connect(far, monkeypatch)
        for _ in range(20):  # nights; one or two are enough
            reports = [ingested(bucket.uri(prefix), tmp_path / "rough", shards=1) for prefix in prefixes]
            published["objects"] += sum(report.published for report in reports)
            published["failed"] += sum(report.failed for report in reports)
            if not reports[-1].pending:
                break
        disconnect()
    assert seen, "nothing went wrong"
    assert set(seen) == set(kinds) or not soak
    assert published == {"objects": count, "failed": 0}
    rough, calm = tables(tmp_path / "rough"), tables(tmp_path / "calm")
    assert len(calm["recordings"]) == count
    assert rough == calm
