"""GigaAM's weights: fetched whole, known by their content. Needs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.emotions import EmotionWindow
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.base import ClassifyJob
from sensory_pipeline.engines.catalogue.store import digest
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier
from sensory_pipeline_tests import places

CHECKPOINT = places.DATA / "gigaam" / "emo.ckpt"


def test_a_model_is_identified_by_its_content(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "emo.ckpt"
    copy.parent.mkdir()
    copy.write_bytes(CHECKPOINT.read_bytes())
    info = GigaamClassifier(str(CHECKPOINT)).info
    assert info == GigaamClassifier(str(copy)).info
    assert (info.engine, info.model, info.revision) == ("gigaam", "emo", digest(CHECKPOINT, "md5")[:12])
    copy.write_bytes(CHECKPOINT.read_bytes() + b"\0")
    assert GigaamClassifier(str(copy)).info.revision != info.revision


def test_the_published_model_is_identified_before_it_is_downloaded() -> None:
    info = GigaamClassifier("emo").info
    assert (info.model, info.revision) == ("emo", "7ce76f9535cb")


def test_the_error_about_a_missing_model_says_where_to_get_it() -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.ckpt.*sensory models fetch gigaam-emo"):
        _ = GigaamClassifier("nowhere.ckpt").info


def test_without_torch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("conformer", "emotion_network", "mel"):
        monkeypatch.delitem(sys.modules, f"sensory_pipeline.engines.emotion.{module}", raising=False)
    pcm = Waveform(samples=np.zeros((1, 16_000), np.int16))
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
