"""The pyannote engine downloads its model from a hub."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.catalogue.revisions import HubModel
from sensory_pipeline.engines.diarization.pyannote.checkpoints import NETWORK
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline.engines.diarization.pyannote.hub import PUBLISHED
from sensory_pipeline.settings import environment_with
from sensory_pipeline_tests.stock_pyannote import MINIATURE, linked, replaced

COMMIT = str(getattr(HubModel.named(PUBLISHED), "commit", None))


@pytest.fixture
def cache() -> Iterator[ModelCache]:
    with closing(ModelCache(CacheSettings(ttl_s=None))) as models:
        yield models


class Hub:
    """A model hub on this machine, closed to those without its token."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        self.token = "hf_secret"
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.requests.append(self.path)
                if self.headers["Authorization"] != f"Bearer {hub.token}":
                    self.answer(401, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
                elif f"/revision/{COMMIT}" in self.path:
                    self.answer(200, json.dumps({"id": PUBLISHED, "sha": COMMIT, "siblings": []}).encode())
                elif "/tree/" in self.path:
                    paths = [path for path in folder.rglob("*") if path.is_file()]
                    entries = [
                        {"type": "file", "path": path.relative_to(folder).as_posix(), "size": path.stat().st_size}
                        for path in paths
                    ]
                    self.answer(200, json.dumps([{**entry, "oid": "0" * 40} for entry in entries]).encode())
                else:
                    name = self.path.partition(f"/resolve/{COMMIT}/")[2]
                    tag = f'"{name.encode().hex()}"'
                    self.answer(200, (folder / name).read_bytes(), {"ETag": tag, "X-Repo-Commit": COMMIT})

            do_HEAD = do_GET  # noqa: N815

            def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.server.shutdown()
        thread.join()
        hub.server.server_close()


def ask_hub(url: str, home: Path, token: str) -> str:
    """What a fresh process finds out of the published model: its revision, or the error."""
    code = f"""
import sys
from pydantic import SecretStr
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
try:
    engine = PyannoteDiarizer(cache=ModelCache(CacheSettings()), token=SecretStr({token!r}))
    sys.stdout.write(engine.info.model + "@" + engine.info.revision)
except ConfigurationError as error:
    sys.stdout.write(str(error))
sys.exit("torch" in sys.modules)
"""
    environment = environment_with(HF_ENDPOINT=url, HF_HOME=str(home), HF_HUB_DISABLE_XET="1")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def test_a_model_of_the_hub_is_downloaded_once_with_a_token(tmp_path: Path) -> None:
    model = linked(MINIATURE, tmp_path)
    for part in ("segmentation", "embedding"):
        replaced(model / part / NETWORK).write_bytes(b"weights")
    with serving(Hub(model)) as hub:
        refused = ask_hub(hub.url, tmp_path / "home", "hf_wrong")
        for hint in (f"https://huggingface.co/{PUBLISHED}", "PYANNOTE_AUTH_TOKEN", "PYANNOTE_MODEL=", "Gated"):
            assert hint in refused
        assert "hf_wrong" not in refused
        assert ask_hub(hub.url, tmp_path / "home", hub.token) == f"{PUBLISHED}@{COMMIT}"
        asked = len(hub.requests)
        assert ask_hub(hub.url, tmp_path / "home", hub.token) == f"{PUBLISHED}@{COMMIT}"
        assert len(hub.requests) == asked
        (snapshot,) = (tmp_path / "home").glob(f"hub/*/snapshots/{COMMIT}")
        (snapshot / "embedding" / NETWORK).unlink()
        assert ask_hub(hub.url, tmp_path / "home", hub.token) == f"{PUBLISHED}@{COMMIT}"
        assert (snapshot / "embedding" / NETWORK).is_file()
    shutil.rmtree(tmp_path / "home")
    assert "PYANNOTE_MODEL=" in ask_hub(hub.url, tmp_path / "home", hub.token)


@pytest.mark.parametrize("name", ["nowhere", "/nowhere/at/all", "./nowhere", "a/b/c"])
def test_the_error_about_a_missing_folder_says_what_to_set(name: str, cache: ModelCache) -> None:
    with pytest.raises(ConfigurationError, match="PYANNOTE_MODEL"):
        _ = PyannoteDiarizer(name, cache=cache).info
