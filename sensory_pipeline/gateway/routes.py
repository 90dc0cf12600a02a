"""The routes of the API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from sensory_pipeline.engines.cache_stats import CacheStats, together
from sensory_pipeline.gateway.problems import MEDIA_TYPE, TITLES, Problem, ProblemDocument, busy
from sensory_pipeline.gateway.process_route import answered, sent
from sensory_pipeline.gateway.request_json import RequestJson
from sensory_pipeline.gateway.responses import ProcessResponse
from sensory_pipeline.gateway.service import Service

router = APIRouter()


def service_of(request: Request) -> Service:
    """The service of the app."""
    service: Service = request.app.state.service
    return service


def client_of(connection: HTTPConnection) -> str:
    """Name of the client: the owner of its key, or its address."""
    return str(connection.scope.get("client_name") or (connection.client.host if connection.client else "local"))


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for the OpenAPI schema.

    Args:
        statuses: HTTP statuses besides those that every route has.
    """
    schema = {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}
    found = sorted({401, 403, 421, 422, *statuses})
    return {status: {"description": TITLES[status].capitalize(), "content": {MEDIA_TYPE: schema}} for status in found}


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["audio", "request_json"],
                    "properties": {
                        "audio": {"type": "string", "format": "binary", "description": "A recording, in any format."},
                        "request_json": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": f"#/components/schemas/{RequestJson.__name__}"},
                            "example": '{"settings": {"tasks": ["transcribe"]}}',
                        },
                    },
                }
            }
        },
    }
}


@router.post(
    "/v1/process",
    response_model=ProcessResponse,
    responses=problems(400, 408, 409, 413, 415, 422, 429, 500, 503, 504),
    openapi_extra=_FORM,
    tags=["recordings"],
    summary="Transcribe a recording, tell its speakers apart, classify its emotions",
)
async def process(request: Request) -> JSONResponse:
    """Send a recording and the tasks to perform; the response has the result.

    With `async_process` the response comes at once, with a `job_id` for `GET /v1/jobs/{job_id}`. Requests with the same
    Idempotency-Key are processed once. If the client disconnects, the request is cancelled.
    """
    service = service_of(request)
    async with sent(service, request, client_of(request)) as mine:
        answer = await answered(service, request, mine)
    return JSONResponse(answer.model_dump())


@router.get("/v1/jobs", response_model=list[ProcessResponse], responses=problems(), tags=["jobs"], summary="Your jobs")
async def jobs(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[ProcessResponse]:
    """Your jobs, newest first, without results."""
    found = await run_in_threadpool(service_of(request).background.store.of, client_of(request), limit)
    return [job.response for job in found]


@router.get(
    "/v1/jobs/{job_id}",
    response_model=ProcessResponse,
    responses=problems(404),
    tags=["jobs"],
    summary="A job and its result",
)
async def job(request: Request, job_id: str) -> ProcessResponse:
    """Results are kept for a day, or for SENSORY_JOB_TTL_HOURS."""
    found = await run_in_threadpool(service_of(request).background.store.get, job_id, client_of(request))
    if found is None:
        raise _no_job()
    return found.response


@router.delete(
    "/v1/jobs/{job_id}", status_code=204, responses=problems(404), tags=["jobs"], summary="Cancel or delete a job"
)
async def delete_job(request: Request, job_id: str) -> None:
    """A waiting job is not started, a running job is cancelled, and a result is removed."""
    if not await service_of(request).background.delete(job_id, client_of(request)):
        raise _no_job()


def _no_job() -> Problem:
    return Problem(404, "no-job", "there is no such job: it was deleted, has expired, or was sent with another key")


@router.get("/cache/stats", tags=["service"], summary="Models loaded by the engine processes")
async def cache_stats(request: Request) -> dict[str, Any]:
    """Counts of all engine processes since each started, and of those on each device.

    A process reports when it finishes some work.
    """
    caches = service_of(request).recognition.caches
    every = [cache for of_device in caches.values() for cache in of_device]
    return {**_counts(every), "devices": {device: _counts(of_device) for device, of_device in caches.items()}}


def _counts(caches: Sequence[CacheStats]) -> dict[str, Any]:
    total = together(caches)
    return {
        "processes": len(caches),
        "hits": total.hits,
        "misses": total.misses,
        "loads": total.loads,
        "evictions": total.evictions,
        "load_s": round(total.load_s, 3),
        "size_bytes": total.size_bytes,
        "models": sorted({_without_folders(model.key) for model in total.resident}),
    }


def _without_folders(key: str) -> str:
    """The key of a model without the folders of the machine.

    >>> _without_folders("whisper /srv/models/tiny.en 3 cpu")
    'whisper tiny.en 3 cpu'
    """
    return " ".join(PurePath(part).name if part.startswith("/") else part for part in key.split(" "))


@router.get("/health/live", tags=["service"], summary="Whether the process answers")
async def live() -> dict[str, str]:
    """Always answers while the process runs."""
    return {"status": "live"}


@router.get("/health/ready", responses=problems(503), tags=["service"], summary="Whether the models are ready")
async def ready(request: Request) -> dict[str, str]:
    """503 while models load, and after the service is asked to stop."""
    service = service_of(request)
    if not service.ready or service.admission.closed or service.recognition.closed:
        raise busy("not-ready", "the models are not ready: try again in a few seconds", 5, 503)
    return {"status": "ready"}


@router.get("/metrics", response_class=Response, responses=problems(), tags=["service"], summary="For Prometheus")
async def metrics(request: Request) -> Response:
    """Counts and times, in Prometheus's text format."""
    service = service_of(request)
    counts = await run_in_threadpool(service.background.store.counts)
    return Response(service.metrics.page(counts, service.recognition.caches), media_type=CONTENT_TYPE_LATEST)
