"""A toy model: its catalogue, its files, and the places that it can be downloaded from."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sensory_pipeline.engines.catalogue.models import Catalogue

WEIGHTS = bytes(range(256)) * 4000

CONFIG = b'{"a": 1}'

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Site:
    """A web server on this machine. pages: content by path; cut: how many bytes of a page are sent at most."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.cut: int | None = None
        self.asked: list[tuple[str, str | None]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.answer(self)

            do_HEAD = do_GET  # noqa: N815  the name that http.server looks for

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        content = self.pages.get(request.path)
        if content is None:
            request.send_response(404)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        request.send_response(206 if wanted else 200)
        for name, value in self.headers.items():
            request.send_header(name, value.format(sha256=hashlib.sha256(content).hexdigest()))
        request.send_header("Content-Length", str(len(content) - first))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content[first:][: self.cut])
            request.close_connection = self.cut is not None


def toml(*, hub: bool = False, url: str | None = None, parts: bool = True, md5: bool = False) -> str:
    """A catalogue of one model of two files, the larger in two parts."""
    source = {
        "hub": f'hub = "owner/toy"\nrevision = "{COMMIT}"' if hub else "",
        "digest": f'md5 = "{hashlib.md5(WEIGHTS).hexdigest()}"'
        if md5
        else f'sha256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"\nbytes = {len(WEIGHTS)}',
        "two": 'parts = [{ carrier = "toy-one", path = "toy_one/model.part1" }, '
        '{ carrier = "toy-two", path = "toy_two/model.part2" }]'
        if parts
        else "",
        "one": 'parts = [{ carrier = "toy-one", path = "toy_one/config.json" }]' if parts else "",
    }
    return f"""
[toy]
task = "transcription"
about = "a toy"
languages = "any"
licence = "MIT"
{source["hub"]}

[toy.files."model.bin"]
{source["digest"]}
{source["two"]}
{f'url = "{url}/model.bin"' if url else ""}

[toy.files."config.json"]
bytes = {len(CONFIG)}
sha256 = "{hashlib.sha256(CONFIG).hexdigest()}"
{source["one"]}
{f'url = "{url}/config.json"' if url else ""}

[carriers.toy-one]
version = "1.0"
bytes = 1000
[carriers.toy-two]
version = "1.0"
bytes = 1000
built_for = {{ python = "3.11", platform = "manylinux_2_28_x86_64" }}
"""


def listed(*, url: str | None = None, parts: bool = True, md5: bool = False) -> Catalogue:
    return Catalogue.parse(toml(url=url, parts=parts, md5=md5))


def wheels(folder: Path, weights: bytes = WEIGHTS) -> list[Path]:
    """The two carriers."""
    half = len(weights) // 2
    contents = {
        "toy_one-1.0-py3-none-any.whl": {"toy_one/model.part1": weights[:half], "toy_one/config.json": CONFIG},
        "toy_two-1.0-cp311-cp311-manylinux_2_28_x86_64.whl": {"toy_two/model.part2": weights[half:]},
    }
    made = []
    for name, files in contents.items():
        package, version = name.split("-")[:2]
        files[f"{package}-{version}.dist-info/METADATA"] = (
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode()
        )
        files[f"{package}-{version}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        files[f"{package}-{version}.dist-info/RECORD"] = b""
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        made.append(folder / name)
    return made


@contextmanager
def package_index(site: Site, files: list[Path]) -> Iterator[None]:
    """pip asks this site alone (https://packaging.python.org/en/latest/specifications/simple-repository-api/)."""
    for file in files:
        package = file.name.partition("-")[0].replace("_", "-")
        site.pages[f"/files/{file.name}"] = file.read_bytes()
        site.pages[f"/simple/{package}/"] = f'<a href="/files/{file.name}">{file.name}</a>'.encode()
    site.headers = {"Content-Type": "text/html"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_INDEX_URL", f"{site.url}/simple")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_CACHE_DIR", "1")
        patch.delenv("PIP_FIND_LINKS", raising=False)
        patch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        yield


def whole(folder: Path) -> bool:
    return (folder / "model.bin").read_bytes() == WEIGHTS and (folder / "config.json").read_bytes() == CONFIG
