"""Definitions are made from settings that somebody gives, not from those that stood around at import."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.core.recordings import shard_of
from sensory_pipeline.definitions import build
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import environment

READ_NOTHING = """
import pkgutil, importlib
import resources, sensory_pipeline.assets, sensory_pipeline.automation, sensory_pipeline.definitions

for package in (resources, sensory_pipeline.assets, sensory_pipeline.automation):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name != "sensory_pipeline.automation.celery_worker":  # a program: Celery imports it to run it
            importlib.import_module(module.name)
"""


def given(folder: Path, **settings: Any) -> Settings:
    """For a lake and a source in the folder, with one recording."""
    tone(folder / "in" / "a.wav", 300)
    return Settings(lake=folder / "lake", sources=[str(folder / "in")], **settings)


def test_two_in_one_process(tmp_path: Path) -> None:
    one = given(tmp_path / "one", shards=3, nightly="0 1 * * *", owners=["team:one"])
    two = given(tmp_path / "two", shards=5, nightly="0 2 * * *", arrivals=False, webhook_url="http://127.0.0.1/")
    made = [(settings, build(settings)) for settings in (one, two)]
    with open_instance(tmp_path / "home") as instance:
        for settings, definitions in made:
            (asset,) = (
                spec for spec in definitions.resolve_all_asset_specs() if spec.key == dg.AssetKey("transcripts")
            )
            assert list(asset.owners) == list(settings.owners)
            assert isinstance(asset.partitions_def, dg.MultiPartitionsDefinition)
            shards = asset.partitions_def.get_partitions_def_for_dimension("shard").get_partition_keys()
            assert len(shards) == settings.shards
            nightly = definitions.resolve_schedule_def("nightly")
            assert nightly.cron_schedule == settings.nightly
            # each sweeps its own source into its own lake
            context = dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime.now(UTC))
            (request,) = list(nightly(context))  # type: ignore[arg-type]
            assert isinstance(request, dg.RunRequest)
            (recording,) = Lake.open(settings.lake).ledger.known()
            shard = shard_of((settings.lake.parent / "in" / "a.wav").as_uri(), settings.shards)
            assert (recording.partition.shard, str(request.partition_key)) == (shard, recording.partition.key)
    running = dg.DefaultSensorStatus.RUNNING
    statuses = [
        {name: definitions.resolve_sensor_def(name).default_status is running for name in ("arrivals", "failures")}
        for _, definitions in made
    ]
    assert statuses == [{"arrivals": True, "failures": False}, {"arrivals": False, "failures": True}]


def test_importing_reads_no_setting() -> None:
    script = [sys.executable, "-c", READ_NOTHING]
    done = subprocess.run(script, env=environment(SENSORY_SHARDS="many"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
