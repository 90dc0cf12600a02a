"""Dagster's resources: what its UI shows of them, and that the fields it shows are those that count."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource
from pydantic import SecretStr

from resources.s3 import s3 as s3_resource
from sensory_pipeline.definitions import build
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.runs.runner import Runner
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage import s3_client
from sensory_pipeline.storage.s3_access import S3Access

ENDPOINT = "http://127.0.0.1:9"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        lake=tmp_path / "lake",
        shards=3,
        start_date=date(2025, 1, 1),
        sources=["s3://calls"],
        pyannote_auth_token=SecretStr("hf_hush"),
        workers=2,
        side_by_side=False,
        worker_memory_mb=1000,
        s3_endpoint_url=ENDPOINT,
        s3_region="eu-central-1",
        s3_unsigned=True,
    )


def test_every_resource_is_configurable_and_shows_no_secret(settings: Settings) -> None:
    definitions = build(settings)
    assert definitions.resources is not None
    assert set(definitions.resources) == {"lake", "engines", "s3"}
    for resource in definitions.resources.values():
        assert isinstance(resource, dg.ConfigurableResource)
        assert "hf_hush" not in str(resource.get_resource_definition().config_schema.default_value)
    lake = definitions.resources["lake"].get_resource_definition().config_schema.default_value
    assert lake == {"folder": str(settings.lake), "shards": 3, "start_date": "2025-01-01"}


def test_a_lake_of_folders_has_none_for_s3(tmp_path: Path) -> None:
    assert set(build(Settings(lake=tmp_path / "lake", sources=[str(tmp_path)])).resources or ()) == {"lake", "engines"}


def test_resources_are_built_from_their_fields(settings: Settings) -> None:
    definitions = build(settings)
    assert definitions.resources is not None
    with dg.build_resources(definitions.resources) as made:
        assert isinstance(made.lake, Lake)
        assert (made.lake.root, made.lake.shards, made.lake.start_date) == (settings.lake, 3, settings.start_date)
        assert isinstance(made.engines, Runner)
        assert made.engines.context.pool.memory_mb == 1000
        assert made.engines.context.access == S3Access.of(settings)


def test_the_client_is_the_one_that_sweeps_use(settings: Settings) -> None:
    resource = s3_resource(settings)
    assert isinstance(resource, S3Resource)
    client = resource.get_client()
    assert client is s3_client.client(S3Access.of(settings))
    assert (client.meta.endpoint_url, client.meta.region_name) == (ENDPOINT, "eu-central-1")
    client.close()
    s3_client.client.cache_clear()
