"""Uploads: multipart forms, streamed to disk with their size and hash."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from sensory_pipeline.gateway.problems import Problem, busy, refused
from sensory_pipeline.gateway.service import Service

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_BLOCK = 1 << 20  # bytes per write
_FORM_BYTES = 1 << 16  # maximum of all other fields together
_STALLED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The fields of a form.

    Attributes:
        recording: The field with the recording.
        single: Other fields, each at most once.
        repeated: Fields that may occur several times.
        refused: Fields that are not supported, with the reasons.
    """

    recording: str
    single: frozenset[str]
    repeated: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A received form.

    Attributes:
        path: The recording.
        size: Size of the recording in bytes.
        digest: SHA-256 of the recording, in hexadecimal.
        fields: Values of the other fields, by name.
    """

    path: Path
    size: int
    digest: str
    fields: dict[str, list[bytes]]


@asynccontextmanager
async def uploaded(service: Service, request: Request, form: Form) -> AsyncIterator[Upload]:
    """Receive a form. Its recording is on the disk for the duration of the `with` block.

    Args:
        service: The service.
        request: The request; its body is not read yet.
        form: The fields of the form.

    Raises:
        Problem: The queue is full, or the request is too large, is not a form, or has other fields.
        ClientDisconnect: The client has disconnected.
    """
    service.admission.check()  # before the client uploads anything in vain
    path = service.uploads / uuid.uuid4().hex
    try:
        yield await _receive(request, path, form, max_bytes=int(service.service_settings.max_upload_mb * 1e6))
    finally:
        path.unlink(missing_ok=True)


async def _receive(request: Request, path: Path, form: Form, *, max_bytes: int) -> Upload:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes + _FORM_BYTES:
        raise _too_large(max_bytes)
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Problem(
            415, "no-form", f"send a form (multipart/form-data) with the recording as its field `{form.recording}`"
        )
    reading = _Reading(max_bytes=max_bytes, form=form)
    try:
        parser = MultipartParser(options[b"boundary"], reading.callbacks())
        with await asyncio.to_thread(path.open, "xb") as file:
            async for chunk in _patiently(request):
                parser.write(chunk)
                if len(reading.block) >= _BLOCK:
                    await asyncio.to_thread(reading.flush, file)
            parser.finalize()
            await asyncio.to_thread(reading.flush, file)
    except MultipartParseError as error:
        raise Problem(400, "form-damaged", f"the form cannot be read ({error}): send it again") from error
    except ClientDisconnect:
        raise
    except OSError as error:
        raise busy(
            "no-room", f"the upload cannot be stored ({error.strerror}): send it again later", 60, 503
        ) from error
    if not reading.ended:
        raise Problem(400, "form-damaged", "the form is incomplete: send it again")
    if reading.size is None:
        raise refused({form.recording: "the recording is missing: send it as this field of the form"})
    return Upload(path=path, size=reading.size, digest=reading.digest.hexdigest(), fields=reading.fields)


async def _patiently(request: Request) -> AsyncIterator[bytes]:
    """The chunks of the body. Raises Problem if none arrives for `_STALLED_S` seconds."""
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout(_STALLED_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Problem(408, "stalled", f"no data arrived for {_STALLED_S:.0f} s: send it again") from None
        yield chunk


@dataclass(slots=True, kw_only=True)
class _Reading:
    """The form received so far. `block` is not written yet; `size` counts bytes of the recording, None without one."""

    max_bytes: int
    form: Form
    block: bytearray = field(default_factory=bytearray)
    size: int | None = None
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    fields: dict[str, list[bytes]] = field(default_factory=dict)
    ended: bool = False
    _name: str = ""
    _header: bytes = b""
    _value: bytes = b""
    _headers: dict[bytes, bytes] = field(default_factory=dict)

    def callbacks(self) -> MultipartCallbacks:
        """The callbacks for the parser."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._named,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def flush(self, file: BinaryIO) -> None:
        """Write and hash the block."""
        self.digest.update(self.block)
        file.write(self.block)
        self.block.clear()

    def _begin(self) -> None:
        self._headers = {}
        self._header = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _named(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        form = self.form
        twice = self._name in self.fields and self._name not in form.repeated
        if twice or (self._name == form.recording and self.size is not None):
            raise refused({self._name: "it occurs twice"})
        if self._name == form.recording:
            self.size = 0
        elif self._name in form.single | form.repeated:
            self.fields.setdefault(self._name, []).append(b"")
        elif self._name in form.refused:
            raise refused({self._name: form.refused[self._name]})
        else:
            known = ", ".join((form.recording, *sorted(form.single | form.repeated)))
            raise refused({self._name[:64]: f"there is no such field: send {known}"})

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name == self.form.recording and self.size is not None:
            self.size += end - start
            if self.size > self.max_bytes:
                raise _too_large(self.max_bytes)
            self.block += data[start:end]
        else:
            self.fields[self._name][-1] += data[start:end]
            if sum(len(value) for values in self.fields.values() for value in values) > _FORM_BYTES:
                raise Problem(413, "form-too-large", f"{self._name} is longer than {_FORM_BYTES} bytes: shorten it")

    def _end(self) -> None:
        self.ended = True


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        413,
        "upload-too-large",
        f"the recording is larger than {max_bytes / 1e6:g} MB (SENSORY_MAX_UPLOAD_MB): compress it or cut it",
    )
