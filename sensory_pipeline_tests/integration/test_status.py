"""`sensory status`: what an operator asks in the morning."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sensory_pipeline.automation.run_history import next_night
from sensory_pipeline.cli.app import app
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.effective_settings import keep
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.local import stat_object
from sensory_pipeline.storage.lock import held
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested
from sensory_pipeline_tests.trivial_engines import broken


def status(**variables: str) -> list[str]:
    done = CliRunner().invoke(app, ["status", "--lake", "lake"], env=variables)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_it_shows_what_is_done_pending_failed_and_next(
    tmp_path: Path, real_models: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = tone(tmp_path / "in" / "cut.wav", 4000)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    tone(tmp_path / "in" / "good.wav", 300)
    (tmp_path / "in" / "empty.wav").write_bytes(b"")
    (tmp_path / "in" / "other.wav").write_bytes(b"")
    ingested(tmp_path / "in", tmp_path / "lake", history=True)
    lake = Lake.open(tmp_path / "lake")
    keep(lake, Settings(lake=lake.root, hotwords="Ada"))
    ledger = lake.ledger
    added = stat_object(tone(tmp_path / "in" / "new.wav", 400))
    ledger.register([added], fingerprint=lambda _: "", shards=1, start_date=lake.start_date)
    found = status()
    assert found[0] == f"lake {lake.root}"
    assert "2 recordings processed, 2 s of audio; 1 damaged and partly processed" in found
    assert "1 waiting, 0.000 GB in 1 partition" in found
    assert "2 failed:" in found
    assert any(line.startswith("  2 EmptyAudio, for example: the file has no bytes") for line in found)
    assert "4 recordings would be processed again by the next ingest or sweep" in found
    assert "nothing is running" in found
    assert any(line.startswith("  20") and "success after" in line for line in found)
    assert "no sources are watched (SENSORY_SOURCES)" in found
    assert "  SENSORY_STT=whisper" in found
    assert "  SENSORY_HOTWORDS=Ada" in found
    monkeypatch.setenv("SENSORY_HOTWORDS", "Grace")
    with held(lake.root / ".dagster" / "services.lock", what="a Dagster"):
        found = status(SENSORY_SOURCES='["in"]', SENSORY_TIME_ZONE="Europe/Berlin")
    assert "  SENSORY_HOTWORDS: Ada in the lake, Grace given" in found
    assert any(line.startswith("next night: ") and line.endswith(" 02:00 Europe/Berlin") for line in found)


def test_it_shows_why_runs_failed_and_that_nothing_is_scheduled(tmp_path: Path, real_models: None) -> None:
    for length_ms in range(300, 322):
        tone(tmp_path / "in" / f"{length_ms}.wav", length_ms)
    ingested(tmp_path / "in", tmp_path / "lake", engines=broken, history=True)
    found = status(SENSORY_SOURCES='["in"]')
    assert "22 waiting" in " ".join(found)
    assert any("failure after" in line for line in found)
    assert any("the device is lost" in line for line in found)
    assert any("if sensory dev runs by then" in line for line in found)


def test_the_next_night_is_in_the_settings_time_zone() -> None:
    night = next_night(Settings(nightly="30 3 * * *", time_zone="Asia/Tokyo"))
    assert (night.hour, night.minute, str(night.tzinfo)) == (3, 30, "Asia/Tokyo")
    assert night > datetime.now(UTC)
