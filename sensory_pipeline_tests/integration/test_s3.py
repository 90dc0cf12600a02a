"""Recordings in S3, on real servers: what is found, what is done once, and what a bad network costs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import pytest

from resources.s3 import s3 as s3_resource
from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.triggers import arrivals
from sensory_pipeline.core.errors import ConfigurationError, NoRoom, SourceChanged, SourceUnavailable
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.recordings import SourceObject
from sensory_pipeline.definitions import build
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage import s3_client, s3_download, s3_uris
from sensory_pipeline.storage.files import sweep_temporaries, temporary
from sensory_pipeline.storage.inbox import Inbox
from sensory_pipeline.storage.sources import listed, local_copy, why_empty
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import sensory
from sensory_pipeline_tests.lakes import data_files, ingested, rows, tables
from sensory_pipeline_tests.ports import free_port
from sensory_pipeline_tests.radosgw import INSTALLED, PACKAGES, radosgw
from sensory_pipeline_tests.s3_servers import (
    Bucket,
    Fault,
    Server,
    asking_who,
    behind_bad_network,
    connect,
    disconnect,
    moto,
    some,
)
from sensory_pipeline_tests.trivial_engines import trivial

STRANGE = (
    "a b.wav",
    "ä/ü 🎧.wav",
    "50%20.wav",
    "a+b&c=d;e.wav",
    "q?versionId=1.wav",
    "h#1.wav",
    "/lead.wav",
    "../up.wav",
    "x/../y.wav",
    "x//double.wav",
    "./dot.wav",
    "quote'\".WAV",
    "tab\t and \x01.wav",
    "back\\slash.wav",
    "n" * 1020 + ".wav",
)


@pytest.fixture(scope="module", params=["moto", "radosgw"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "moto":
        with moto() as running:
            yield running
    elif not INSTALLED:
        pytest.skip(f"radosgw is not installed: apt install {PACKAGES}")
    else:
        with TemporaryDirectory(prefix="rgw-") as home, radosgw(Path(home)) as running:
            yield running


@pytest.fixture
def bucket(server: Server) -> Iterator[Bucket]:
    with closing(server.client()) as client:
        yield Bucket(server, client)


@pytest.fixture(autouse=True)
def connected(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process, and those it starts, know the server."""
    connect(server, monkeypatch)
    yield
    disconnect()


def everything(bucket: Bucket) -> list[SourceObject]:
    return [item for page in listed(bucket.uri()).pages for item in page.objects]


def sound(folder: Path, duration_ms: int) -> bytes:
    return tone(folder / "sound.wav", duration_ms).read_bytes()


def test_a_bucket_becomes_tables(bucket: Bucket, tmp_path: Path) -> None:
    for index in range(4):
        bucket.put(f"calls/sub{index % 2}/{index}.wav", sound(tmp_path, 500 + 10 * index))
    whole = sound(tmp_path, 500)
    bucket.put("calls/bad/empty.wav", b"")
    bucket.put("calls/bad/text.wav", b"this is not sound\n" * 20)
    bucket.put("calls/bad/cut.wav", whole[: len(whole) // 2])
    for other in ("calls/notes.txt", "calls/sub0/", "calls/.hidden.wav", "calls/.trash/1.wav", "calls2/1.wav"):
        bucket.put(other, whole)
    report = ingested(bucket.uri("calls"), tmp_path / "lake")
    assert (report.published, report.failed, report.pending) == (7, 3, 0)
    assert report.run_failures == []
    said = rows(tmp_path / "lake", "SELECT uri, text FROM words ORDER BY text")
    assert said == [(bucket.uri(f"calls/sub{i % 2}/{i}.wav"), f"{500 + 10 * i}") for i in range(4)]
    found = rows(tmp_path / "lake", "SELECT uri, error_class FROM recordings WHERE status = 'failed' ORDER BY uri")
    assert found == [
        (bucket.uri("calls/bad/cut.wav"), "TruncatedAudio"),
        (bucket.uri("calls/bad/empty.wav"), "EmptyAudio"),
        (bucket.uri("calls/bad/text.wav"), "UnreadableAudio"),
    ]
    assert {path.suffix for path in (tmp_path / "lake" / "audio").iterdir()} == {".wav"}
    assert not list((tmp_path / "lake" / "audio").glob(".*"))

    before = data_files(tmp_path / "lake")
    again = ingested(bucket.uri("calls/"), tmp_path / "lake")
    assert (again.registration.unchanged, again.published, again.runs, again.missing) == (7, 0, 0, 0)
    assert data_files(tmp_path / "lake") == before


def test_a_recording_is_put_once(bucket: Bucket, tmp_path: Path) -> None:
    inbox = Inbox(bucket.uri("in box"))
    first, second = tone(tmp_path / "first.wav", 500), tone(tmp_path / "second.wav", 600)
    put = inbox.put("a.wav", first)
    assert put.uri == inbox.uri("a.wav") == bucket.uri("in%20box/a.wav")
    assert inbox.put("a.wav", second) == put
    assert everything(bucket) == [put]
    with local_copy(put.uri, put.version, tmp_path / "copies") as copy:
        assert copy.read_bytes() == first.read_bytes()
    with pytest.raises(SourceUnavailable, match="there is no such bucket"):
        Inbox("s3://nobody-has-made-this/in").put("a.wav", first)


def test_the_same_answers_as_from_a_folder(bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for index in range(3):
        bucket.put(f"{index}.wav", tone(folder / f"{index}.wav", 500 + 10 * index).read_bytes())
    ingested(folder, tmp_path / "one", shards=1)
    ingested(bucket.uri(), tmp_path / "two", shards=1)
    one, two = tables(tmp_path / "one"), tables(tmp_path / "two")
    assert {name: len(found) for name, found in one.items()} == {name: len(found) for name, found in two.items()}
    asked = "SELECT parse_filename(uri), start_s, end_s, text, speaker, emotion FROM utterances ORDER BY 1"
    assert rows(tmp_path / "one", asked) == rows(tmp_path / "two", asked)


def test_strange_keys(bucket: Bucket, tmp_path: Path) -> None:
    content = sound(tmp_path, 500)
    for key in STRANGE:
        bucket.put(key, content)
    report = ingested(bucket.uri(), tmp_path / "lake")
    assert (report.published, report.failed, report.pending) == (len(STRANGE), 0, 0)
    found = {s3_uris.place_of(uri) for (uri,) in rows(tmp_path / "lake", "SELECT uri FROM recordings")}
    assert found == {(bucket.name, key) for key in STRANGE}


def test_a_strange_prefix(bucket: Bucket, tmp_path: Path) -> None:
    for prefix in ("new ones/50% off?#1", "/lead"):
        bucket.put(f"{prefix}/1.wav", sound(tmp_path, 500))
        assert ingested(bucket.uri(prefix), tmp_path / "lake").published == 1
        bucket.delete(f"{prefix}/1.wav")
        assert ingested(bucket.uri(prefix), tmp_path / "lake").emptied == 1  # that is no proof


def test_more_keys_than_a_page(bucket: Bucket) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda index: bucket.put(f"{index:05}.wav", b"sound"), range(1050)))
    uris = [item.uri for item in everything(bucket)]
    assert uris == [bucket.uri(f"{index:05}.wav") for index in range(1050)]


def test_one_recording_without_a_lake(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a b.wav", sound(tmp_path, 300))
    found = process_file(bucket.uri("a%20b.wav"), ProcessRequest(), trivial(), max_audio_hours=1)
    assert found.audio.duration_ms == 300
    with pytest.raises(SourceUnavailable, match=r"none\.wav is not there"):
        process_file(bucket.uri("none.wav"), ProcessRequest(), trivial(), max_audio_hours=1)


def test_rewritten_after_it_was_listed(bucket: Bucket, tmp_path: Path) -> None:
    for index in range(3):
        bucket.put(f"{index}.wav", sound(tmp_path, 500 + 10 * index))
    report = ingested(bucket.uri(), tmp_path / "lake", meanwhile=lambda: bucket.put("1.wav", sound(tmp_path, 900)))
    assert (report.published, report.failed, report.pending) == (2, 0, 1)
    report = ingested(bucket.uri(), tmp_path / "lake")
    assert (report.registration.changed, report.published, report.pending) == (1, 1, 0)
    said = [text for (text,) in rows(tmp_path / "lake", "SELECT text FROM words ORDER BY text")]
    assert said == ["500", "520", "900"]


def test_deleted_after_it_was_listed(bucket: Bucket, tmp_path: Path) -> None:
    for index in range(2):
        bucket.put(f"{index}.wav", sound(tmp_path, 500 + 10 * index))
    report = ingested(bucket.uri(), tmp_path / "lake", meanwhile=lambda: bucket.delete("1.wav"))
    assert (report.published, report.failed, report.pending) == (1, 0, 1)
    report = ingested(bucket.uri(), tmp_path / "lake")
    assert (report.missing, report.published, report.pending) == (1, 0, 0)


def test_deleted_and_replaced(bucket: Bucket, tmp_path: Path) -> None:
    for index in range(3):
        bucket.put(f"{index}.wav", sound(tmp_path, 500 + 10 * index))
    ingested(bucket.uri(), tmp_path / "lake")
    bucket.delete("0.wav")
    bucket.put("1.wav", sound(tmp_path, 900))
    report = ingested(bucket.uri(), tmp_path / "lake")
    assert (report.missing, report.registration.changed, report.published) == (1, 1, 1)
    said = [text for (text,) in rows(tmp_path / "lake", "SELECT text FROM words ORDER BY text")]
    assert said == ["520", "900"]


def test_each_version_is_itself_or_an_error(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("1.wav", b"first")
    (first,) = everything(bucket)
    assert first.size_bytes == 5
    assert abs((datetime.now(UTC) - first.modified_at).total_seconds()) < 60
    with local_copy(first.uri, first.version, tmp_path / "cache") as path:
        assert path.read_bytes() == b"first"
        assert path.suffix == ".wav"
    assert not list((tmp_path / "cache").iterdir())
    bucket.put("1.wav", b"other")
    with pytest.raises(SourceChanged, match="the next ingest"), local_copy(first.uri, first.version, tmp_path):
        pass
    bucket.delete("1.wav")
    with pytest.raises(SourceUnavailable, match="no longer there"), local_copy(first.uri, first.version, tmp_path):
        pass


def test_errors_of_use_are_clear(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    bucket.put("calls/a.wav", b"sound")
    for source, changes, *words in (
        ("s3://no-such-bucket", {}, "no bucket", "AWS_ENDPOINT_URL"),
        ("s3://", {}, "names no bucket"),
        ("gs://calls", {}, "neither a folder nor s3://", "AWS_ENDPOINT_URL"),
        (bucket.uri("calls/a.wav"), {}, "is an object", "before its last slash"),
        (bucket.uri("cals"), {}, "no recording's key begins with cals/"),
        ("s3://not a bucket/", {}, "bucket name"),
        (bucket.uri(), {"AWS_ENDPOINT_URL": nowhere}, nowhere, "AWS_ENDPOINT_URL"),
        (bucket.uri(), {"AWS_ENDPOINT_URL": "nonsense"}, "nonsense", "AWS_ENDPOINT_URL"),
        (bucket.uri(), {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials", "AWS_ACCESS_KEY_ID"),
        (bucket.uri(), {"AWS_PROFILE": "nobody"}, "nobody", "AWS_PROFILE"),
    ):
        with monkeypatch.context() as changed:
            for name, value in changes.items():
                changed.setenv(name, value)
            disconnect()
            with pytest.raises(ConfigurationError) as raised:
                report = ingested(source, tmp_path / "lake")
                raise ConfigurationError(why_empty(source) if not report.found else "")
            assert all(word in str(raised.value) for word in words), raised.value


ELSEWHERE = dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"), "")
"""Nothing in the environment says where it is."""


def open_to_all(bucket: Bucket, folder: Path) -> None:
    """A bucket with a recording that everybody can read."""
    bucket.put("calls/a.wav", tone(folder / "a.wav", 400).read_bytes())
    bucket.client.put_bucket_acl(Bucket=bucket.name, ACL="public-read")
    bucket.client.put_object_acl(Bucket=bucket.name, Key="calls/a.wav", ACL="public-read")


def test_access_depends_on_settings_alone(bucket: Bucket, tmp_path: Path) -> None:
    open_to_all(bucket, tmp_path)
    settings = {"SENSORY_S3_ENDPOINT_URL": bucket.server.endpoint, "SENSORY_S3_UNSIGNED": "true"}
    done = sensory("ingest", bucket.uri(), "--lake", "lake", cwd=tmp_path, **ELSEWHERE, **settings)
    assert done.returncode == 0, done.stderr  # it was listed here, and read by an engine process
    assert "processed 1 recording (0 s of audio), 0 of them failed" in done.stderr


def test_a_sensor_reaches_it_by_the_resource(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_to_all(bucket, tmp_path)
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        lake=tmp_path / "lake", sources=[bucket.uri()], s3_endpoint_url=bucket.server.endpoint, s3_unsigned=True
    )
    reached = s3_resource(settings)
    with open_instance(tmp_path / "home") as instance, closing(reached.get_client()):
        context = dg.build_sensor_context(
            instance=instance, resources={"s3": reached}, definitions=build(settings, s3=reached)
        )
        tick = arrivals(settings).evaluate_tick(context)
    s3_client.client.cache_clear()
    assert "1 recordings wait" in str(tick.skip_message)
    assert [item.uri for item in Lake.open(settings.lake).ledger.known()] == [bucket.uri("calls/a.wav")]


def test_errors_about_credentials_are_clear(bucket: Bucket, tmp_path: Path) -> None:
    wrong = {**bucket.server.variables(), "AWS_ACCESS_KEY_ID": "stranger", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
    with asking_who(bucket.server):
        done = sensory("ingest", bucket.uri(), "--lake", "lake", cwd=tmp_path, **wrong)
    assert done.returncode == 2
    assert "InvalidAccessKeyId" in done.stderr and "AWS_SECRET_ACCESS_KEY" in done.stderr
    assert "hush-hush" not in done.stderr + done.stdout


def test_secrets_are_never_logged(bucket: Bucket, tmp_path: Path) -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": "hush-hush", "AWS_SESSION_TOKEN": "hush-token"}
    variables = {**bucket.server.variables(), **secrets, "LOG_LEVEL": "DEBUG"}
    done = sensory("ingest", bucket.uri(), "--lake", "lake", cwd=tmp_path, **variables)
    assert "DEBUG" in done.stderr
    assert not any(secret in done.stderr + done.stdout for secret in secrets.values())


def test_a_bad_network_loses_nothing(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(24):
        bucket.put(f"{index}.wav", sound(tmp_path, 500 + 10 * index))
    with behind_bad_network(bucket.server, some(0.05, seed=1)) as (far, seen):
        connect(far, monkeypatch)
        report = ingested(bucket.uri(), tmp_path / "lake")
        assert (report.published, report.failed, report.pending) == (24, 0, 0)
        wanted = {item.uri: item for item in everything(bucket)}
        assert len(wanted) == 24
        for turn in range(8):
            for index, item in enumerate(wanted.values()):
                s3_download.download(item.uri, item.version, tmp_path / "copy")
                assert (tmp_path / "copy").stat().st_size == item.size_bytes, (turn, index)
        disconnect()
    assert set(seen) == {"500", "503", "short", "reset"}
    said = {text for (text,) in rows(tmp_path / "lake", "SELECT text FROM words")}
    assert said == {f"{500 + 10 * index}" for index in range(24)}


def test_a_stalled_network_does_not_block(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak: bool
) -> None:
    if not soak:
        pytest.skip("takes 30 s: --soak")
    bucket.put("1.wav", sound(tmp_path, 500))
    (item,) = everything(bucket)
    faults: Iterator[Fault | None] = iter(("stall", None))
    with behind_bad_network(bucket.server, lambda _path: next(faults)) as (far, seen):
        connect(far, monkeypatch)
        s3_download.download(item.uri, item.version, tmp_path / "copy")
        disconnect()
    assert seen["stall"] == 1
    assert (tmp_path / "copy").read_bytes() == sound(tmp_path, 500)


def test_a_full_disk_is_not_reported_as_a_network_fault(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("1.wav", b"sound")
    (item,) = everything(bucket)
    (tmp_path / "cache").write_text("in the way of the folder")
    with pytest.raises(NoRoom, match="permissions"), local_copy(item.uri, item.version, tmp_path / "cache"):
        pass


def test_files_of_a_killed_download_are_removed(tmp_path: Path) -> None:
    old, new = temporary(tmp_path, ".wav"), temporary(tmp_path, ".wav")
    for path in (old, new):
        path.write_bytes(b"part")
    os.utime(old, (0, 0))
    sweep_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_an_unavailable_object_stays_pending(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("good", "short", "denied"):
        bucket.put(f"{name}.wav", sound(tmp_path, 500))
    with behind_bad_network(
        bucket.server, lambda path: "short" if "short.wav" in path else "403" if "denied.wav" in path else None
    ) as (far, _):
        connect(far, monkeypatch)
        report = ingested(bucket.uri(), tmp_path / "lake")
        disconnect()
    assert (report.published, report.failed, report.pending) == (1, 0, 2)
    notes = dict(rows(tmp_path / "lake", "SELECT parse_filename(uri), error_message FROM recordings"))
    assert "download interrupted" in notes["short.wav"]
    assert "s3:GetObject" in notes["denied.wav"]
    connect(bucket.server, monkeypatch)
    assert ingested(bucket.uri(), tmp_path / "lake").published == 2
