"""GigaAM's weights: fetched whole, known by their content. Needs no torch."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.emotions import EmotionWindow
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import ClassifyJob
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier
from sensory_pipeline.engines.emotion.published import EMO, PublishedFile, md5

CHECKPOINT = Path(__file__).parent / "data" / "gigaam" / "emo.ckpt"


class Site:
    """A web server on this machine with one file on it. cut: how many of its bytes are sent."""

    def __init__(self, content: bytes, *, cut: int | None = None, status: int = 200) -> None:
        self.requests = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests += 1
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:cut])

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/emo.ckpt"

    def published(self, content: bytes) -> PublishedFile:
        digest = hashlib.md5(content).hexdigest()
        return PublishedFile(url=self.url, md5=digest, place=Path("gigaam", "emo.ckpt"))


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        thread.join()
        site.server.server_close()


CONTENT = bytes(range(256)) * 10_000


def test_a_download_is_whole_told_about_and_kept(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    with serving(Site(CONTENT)) as site:
        published = site.published(CONTENT)
        path = published.fetch(tmp_path, lambda come, total: told.append((come, total)))
        assert published.fetch(tmp_path) == path == tmp_path / "gigaam" / "emo.ckpt"
        assert site.requests == 1
        path.write_bytes(b"damaged")
        assert published.fetch(tmp_path).read_bytes() == CONTENT
    assert [come for come, _ in told] == sorted({come for come, _ in told})
    assert len(told) > 1 and told[-1] == (len(CONTENT), len(CONTENT))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("sent", "cut", "status"),
    [(CONTENT, 1000, 200), (CONTENT[1:], None, 200), (b"", None, 404)],
    ids=["cut short", "another file", "no such file"],
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    sent: bytes, cut: int | None, status: int, tmp_path: Path
) -> None:
    with serving(Site(sent, cut=cut, status=status)) as site, pytest.raises(ConfigurationError) as caught:
        site.published(CONTENT).fetch(tmp_path)
    for hint in (
        site.url,
        hashlib.md5(CONTENT).hexdigest(),
        str(tmp_path / "gigaam" / "emo.ckpt"),
        "GIGAAM_MODEL_NAME",
    ):
        assert hint in str(caught.value)
    assert not list((tmp_path / "gigaam").iterdir())


def test_no_network_says_what_to_do(tmp_path: Path) -> None:
    site = Site(b"")
    site.server.server_close()
    with pytest.raises(ConfigurationError, match="by hand"):
        site.published(CONTENT).fetch(tmp_path)


def test_a_model_is_known_by_its_content(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "emo.ckpt"
    copy.parent.mkdir()
    copy.write_bytes(CHECKPOINT.read_bytes())
    info = GigaamClassifier(str(CHECKPOINT)).info
    assert info == GigaamClassifier(str(copy)).info
    assert (info.engine, info.model, info.revision) == ("gigaam", "emo", md5(CHECKPOINT)[:12])
    copy.write_bytes(CHECKPOINT.read_bytes() + b"\0")
    assert GigaamClassifier(str(copy)).info.revision != info.revision


def test_the_published_model_is_known_without_being_there() -> None:
    info = GigaamClassifier("emo").info
    assert (info.model, info.revision) == ("emo", EMO.md5[:12])


def test_a_model_that_is_not_there_is_an_error_that_says_where_to_get_it() -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.ckpt.*https://.*emo\.ckpt"):
        _ = GigaamClassifier("nowhere.ckpt").info


def test_without_torch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("conformer", "mel"):
        monkeypatch.delitem(sys.modules, f"sensory_pipeline.engines.emotion.{module}", raising=False)
    pcm = Pcm(samples=np.zeros((1, 16_000), np.int16))
    window = EmotionWindow(span=Span(start_ms=0, end_ms=500), turn=pcm.span, speaker=None)
    job = ClassifyJob(key="a", pcm=pcm, windows=(window,), language="ru")
    with pytest.raises(ConfigurationError, match=r"torch.*make models"):
        list(GigaamClassifier(str(CHECKPOINT)).classify([job]))


def test_making_the_engine_loads_no_torch() -> None:
    code = (
        "import sys; from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier\n"
        f"GigaamClassifier({str(CHECKPOINT)!r}).info; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
