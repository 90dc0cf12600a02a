"""`POST /v1/process`: processes an upload, either at once or as a background job."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from sensory_pipeline.gateway import webhooks
from sensory_pipeline.gateway.admission import too_late
from sensory_pipeline.gateway.job_store import Job
from sensory_pipeline.gateway.problems import Problem, busy, refused
from sensory_pipeline.gateway.request_json import RequestJson
from sensory_pipeline.gateway.responses import ProcessResponse
from sensory_pipeline.gateway.service import Service
from sensory_pipeline.gateway.uploads import Form, Upload, uploaded

T = TypeVar("T")

_FORM = Form(recording="audio", single=frozenset({"request_json"}))
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A received request.

    Attributes:
        client: Name of the client.
        upload: The recording.
        asked: The parsed `request_json`.
        idempotency_key: The header Idempotency-Key, if the client sent one.
    """

    client: str
    upload: Upload
    asked: RequestJson
    idempotency_key: str | None

    @property
    def digest(self) -> str:
        """Hash of the recording and the request, whatever the order of the request's fields."""
        asked = json.dumps(self.asked.model_dump(mode="json", exclude_unset=True), sort_keys=True)
        return hashlib.sha256(f"{self.upload.digest} {asked}".encode()).hexdigest()


@asynccontextmanager
async def sent(service: Service, request: Request, client: str) -> AsyncIterator[Sent]:
    """Receive a request. Its recording is on the disk for the duration of the `with` block.

    Raises:
        Problem: The request is invalid, or the queue is full.
    """
    idempotency_key = request.headers.get("idempotency-key")
    if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise refused({"Idempotency-Key": "it must be 1 to 255 visible ASCII characters: send a UUID"})
    async with uploaded(service, request, _FORM) as upload:
        if "request_json" not in upload.fields:
            raise refused({"request_json": 'it is missing: send at least {"settings": {"tasks": ["transcribe"]}}'})
        asked = RequestJson.read(upload.fields["request_json"][0])
        _check(service, asked)
        yield Sent(client=client, upload=upload, asked=asked, idempotency_key=idempotency_key)


def _check(service: Service, asked: RequestJson) -> None:
    """Raise Problem or UnsupportedLanguage if the engines cannot fulfil the request."""
    webhooks.check(asked, service.service_settings)
    wanted = asked.request(service.default)
    if wanted.tra.translate and not service.recognition.engines(stereo=wanted.stereo).transcriber.info.translates:
        raise refused({"settings.tra.task": "the model of this service does not translate: leave it out"})
    service.recognition.check(wanted)
    if ignored := service.ignored(wanted):
        raise refused({f"settings.tra: {name}": "the engine of this service ignores it" for name in ignored})
    if service.lake_jobs is not None and asked.async_process:
        service.lake_jobs.check(wanted)
    dia = asked.settings.dia
    diarizer = service.recognition.engines(stereo=wanted.stereo).diarizer
    if dia is not None and not dia.use_gpu and diarizer.info.device.startswith("cuda"):
        raise refused({"settings.dia.use_gpu": "the models of the service are on a GPU: leave it out"})


async def answered(service: Service, request: Request, sent: Sent) -> ProcessResponse:
    """Process a request, or make it a background job.

    Returns:
        The result, or the state of the job.

    Raises:
        SensoryError: The recording failed with this error.
        Problem: The request cannot be fulfilled, or took too long.
        ClientDisconnect: The client has disconnected.
    """
    limit_s = service.service_settings.request_timeout_s
    if not sent.asked.async_process and sent.idempotency_key is None:
        work = service.processed(sent.upload.path, sent.asked, client=sent.client)
        return ProcessResponse(status="completed", result=await while_connected(request, work, limit_s))
    job = await _earlier(service, sent)
    if job is None:
        job = await while_connected(request, _new_job(service, sent), limit_s)
    if sent.asked.async_process:
        return job.response
    job = await while_connected(request, service.background.finished(job), limit_s)
    if job.status is not None:
        raise Problem(job.status, job.kind or "failed", job.error or "")
    return job.response


async def _earlier(service: Service, sent: Sent) -> Job | None:
    """The job with the same idempotency key, if there is one."""
    if sent.idempotency_key is None:
        return None
    job = await asyncio.to_thread(service.background.store.with_key, sent.client, sent.idempotency_key)
    if job is None:
        return None
    if job.digest != sent.digest:
        raise Problem(
            422, "key-used", "this Idempotency-Key was sent with another recording or request: send a new key"
        )
    if job.status is not None and job.status >= 500:  # it may succeed now
        await service.background.delete(job.id, job.client)
        return None
    if not job.finished and not sent.asked.async_process:
        raise busy("under-way", f"the same request is being processed: GET /v1/jobs/{job.id}, or send it later", 5, 409)
    return job


async def _new_job(service: Service, sent: Sent) -> Job:
    """Make a background job. Decode the recording first, to find its length and to refuse an unreadable one now."""
    await service.background.check()
    async with service.recognition.decoded(sent.upload.path, sent.asked.request(service.default)) as decoded:
        audio_s = decoded.audio.duration_ms / 1000
    service.metrics.received(audio_s)
    try:
        return await service.background.add(
            sent.upload.path,
            client=sent.client,
            request=sent.upload.fields["request_json"][0].decode(),
            digest=sent.digest,
            idempotency_key=sent.idempotency_key,
            audio_s=audio_s,
            webhook_url=None if sent.asked.webhook_url is None else str(sent.asked.webhook_url),
        )
    except KeyError:  # two requests with the same key at once
        raise busy("under-way", "the same request is being processed: send it later", 5, 409) from None


async def while_connected(request: Request, work: Awaitable[T], limit_s: float) -> T:
    """Wait for the result of some work, and cancel the work if the client disconnects.

    Args:
        request: The request of the client.
        work: The work.
        limit_s: Maximum seconds to wait.

    Returns:
        The result of the work.

    Raises:
        ClientDisconnect: The client has disconnected.
        Problem: The work took too long.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientDisconnect
        raise too_late(limit_s)
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
