"""`POST /v1/process`, from an upload to its result."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from typing import Any, TypeVar

import structlog
from starlette.requests import ClientDisconnect, Request

from sensory_pipeline.core.formats import service as answer_format
from sensory_pipeline.core.requests import ProcessRequest
from sensory_pipeline.gateway.admission import too_late
from sensory_pipeline.gateway.contract import RequestJson
from sensory_pipeline.gateway.problems import refused
from sensory_pipeline.gateway.service import Service
from sensory_pipeline.gateway.uploads import Upload, receive

log = structlog.get_logger()

T = TypeVar("T")
FIELDS = frozenset({"request_json"})


async def uploaded(service: Service, request: Request) -> tuple[Upload, RequestJson, ProcessRequest]:
    """What a client sends. The file is the caller's to remove. Raises Problem."""
    service.admission.check()  # before anything is sent that would then be refused
    path = service.uploads / uuid.uuid4().hex
    try:
        limit = int(service.service_settings.max_upload_mb * 1e6)
        upload = await receive(request, path, max_bytes=limit, fields=FIELDS)
        if "request_json" not in upload.fields:
            raise refused({"request_json": 'it is missing: send {"settings": {"tasks": ["transcribe"]}} at least'})
        asked = RequestJson.read(upload.fields["request_json"])
        wanted = asked.request(service.default)
        engines = service.recognition.engines(stereo=wanted.stereo)
        on_gpu = engines.diarizer.info.device.startswith("cuda")
        if on_gpu and asked.settings.dia is not None and not asked.settings.dia.use_gpu:
            raise refused({"settings.dia.use_gpu": "the service has its models on a GPU: leave it out"})
        service.recognition.check(wanted)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return upload, asked, wanted


async def processed(
    service: Service,
    upload: Upload,
    asked: RequestJson,
    wanted: ProcessRequest,
    *,
    client: str,
    background: bool = False,
) -> dict[str, Any]:
    """The result of a recording, when its turn has come. Raises what it fails with."""
    log_level = "info" if asked.settings.tra is not None and asked.settings.tra.log_progress else "debug"
    told = getattr(log, log_level)
    async with service.recognition.decoded(upload.path, wanted) as decoded:
        audio_s = decoded.audio.duration_ms / 1000
        told("decoded", audio_s=audio_s, codec=decoded.audio.codec)
        async with service.admission.turn(client, audio_s, background=background) as waited_s:
            told("started", audio_s=audio_s, waited_s=round(waited_s, 3))
            result = await service.recognition.result(decoded)
            told("recognised", audio_s=audio_s)
    return await asyncio.to_thread(
        answer_format.document,
        result,
        wanted,
        as_text=asked.format_output == "text",
        with_words=asked.with_words,
    )


async def while_connected(request: Request, work: Awaitable[T], limit_s: float) -> T:
    """What comes of the work; it is dropped when the client goes. Raises Problem after so many seconds."""
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
