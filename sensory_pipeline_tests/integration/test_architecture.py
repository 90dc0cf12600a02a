"""What holds the house together, checked where it could quietly break."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from sensory_pipeline.automation.instance import CONFIG
from sensory_pipeline.definitions import defs
from sensory_pipeline_tests import places

ROOT = places.ROOT
HEAVY = (
    "torch", "torchaudio", "pyannote", "faster_whisper", "ctranslate2", "onnxruntime", "boto3",
    "matplotlib",
)  # fmt: skip


def test_definitions_load_no_model_library() -> None:
    script = f"import sys, sensory_pipeline.definitions; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_graph() -> None:
    dg.Definitions.validate_loadable(defs())
    graph = {
        spec.key.to_user_string(): sorted(dep.asset_key.to_user_string() for dep in spec.deps)
        for spec in defs().resolve_all_asset_specs()
    }
    assert graph == {
        "sources": [],
        "normalized_audio": ["sources"],
        "transcripts": ["normalized_audio"],
        "diarization": ["normalized_audio"],
        "emotions": ["diarization", "normalized_audio", "transcripts"],
        "merged_parquet": ["diarization", "emotions", "normalized_audio", "transcripts"],
    }


def test_the_lineage_is_drawn_unfolded() -> None:
    assert len({spec.group_name for spec in defs().resolve_all_asset_specs()}) == 1, "Dagster's UI folds several"


def test_no_asset_has_a_backfill_policy() -> None:
    # with one, backfill runs carry no shard tag and cannot be routed to a device
    assert all(d.backfill_policy is None for d in defs().resolve_asset_graph().assets_defs)


def test_steps_that_only_read_and_write_are_tried_again() -> None:
    patient = {d.op.name for d in defs().resolve_asset_graph().assets_defs if d.is_executable and d.op.retry_policy}
    assert patient == {"normalized_audio", "merged_parquet"}


def test_core_and_layers() -> None:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["dagster.yaml", "deploy/dagster-postgres.yaml"])
def test_every_dagster_yaml_agrees(name: str) -> None:
    found = yaml.safe_load((ROOT / name).read_text())
    assert {name: found[name] for name in CONFIG} == CONFIG


def test_a_bare_dagster_dev_keeps_its_state_in_one_folder() -> None:
    root = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    places = {root["storage"]["sqlite"]["base_dir"], root["local_artifact_storage"]["config"]["base_dir"]}
    assert places == {".dagster"}


def test_the_workspace_loads() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace["load_from"] == [{"python_module": "sensory_pipeline.definitions"}]
