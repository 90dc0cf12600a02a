"""The API describes itself, without a network, and tells its figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from sensory_pipeline.gateway.openai.errors import ErrorDocument
from sensory_pipeline.gateway.openai.formats import DiarizedTranscription, Transcription, VerboseTranscription
from sensory_pipeline.gateway.problems import ProblemDocument
from sensory_pipeline.gateway.request_json import RequestJson
from sensory_pipeline.gateway.responses import ProcessResponse
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import Gateway, gateway


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("documents") / "spool") as running:
        running.wait_until_ready()
        yield running


def test_openapi_has_every_address_with_its_problems(service: Gateway) -> None:
    found = service.http.get("/openapi.json").json()
    assert set(found["paths"]) >= {
        "/v1/process", "/v1/jobs", "/v1/jobs/{job_id}", "/cache/stats", "/health/live", "/health/ready", "/metrics",
        "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/models", "/v1/models/{model}",
    }  # fmt: skip
    answers = found["paths"]["/v1/process"]["post"]["responses"]
    assert set(answers) >= {"200", "400", "401", "413", "415", "422", "429", "500", "503", "504"}
    text = str(found)
    for name in found["components"]["schemas"]:
        assert "$defs" not in found["components"]["schemas"][name]
    references = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= set(found["components"]["schemas"])


@pytest.mark.parametrize(
    "model",
    [
        *(RequestJson, ProcessResponse, ProblemDocument, ErrorDocument),
        *(Transcription, VerboseTranscription, DiarizedTranscription),
    ],
)
def test_examples_are_valid(model: type[BaseModel], service: Gateway) -> None:
    described = service.http.get("/openapi.json").json()["components"]["schemas"][model.__name__]
    model.model_validate(described["example"])


def test_the_page_loads_nothing_from_other_hosts(service: Gateway) -> None:
    page = service.http.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_metrics_have_no_unbounded_labels(service: Gateway, tmp_path: Path) -> None:
    for ms in (300, 400):
        assert service.process(tone(tmp_path / f"{ms}.wav", ms), {"settings": {}}).status_code == 200
    for number in range(20):
        service.http.get(f"/nowhere/{number}")
        service.http.get(f"/v1/jobs/{number}")
        service.http.request(f"VERB{number}", "/v1/jobs")
    page = service.http.get("/metrics")
    samples = [sample for family in text_string_to_metric_families(page.text) for sample in family.samples]
    found = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}
    assert found["sensory_requests_total", "/v1/process", "200", "POST"] == 2
    assert found["sensory_requests_total", "/v1/jobs/{job_id}", "404", "GET"] == 20
    assert found["sensory_audio_received_seconds_total",] == pytest.approx(0.7)
    # that of the silence by which the service sees that its models answer is a second
    assert found["sensory_audio_done_seconds_total", "transcripts"] == pytest.approx(1.7)
    assert found["sensory_queue_seconds_count",] == 2
    assert found["sensory_jobs", "queued"] == 0
    assert len({sample.labels["route"] for sample in samples if "route" in sample.labels}) < 12
    assert {sample.labels["method"] for sample in samples if "method" in sample.labels} <= {"GET", "POST", "other"}


def test_an_address_names_all_its_methods(service: Gateway) -> None:
    refused = service.http.put("/v1/jobs/1")
    assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, {"GET", "DELETE"})


def test_cache_statistics_show_no_folder(service: Gateway) -> None:
    stats = service.http.get("/cache/stats").json()
    assert {"hits", "misses", "loads", "evictions", "models"} <= set(stats)
