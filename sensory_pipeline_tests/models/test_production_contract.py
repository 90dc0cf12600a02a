"""The engines with models keep the same contract as the others; on miniature models."""

from __future__ import annotations

from contextlib import closing

import pytest

from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.devices import CPU, ComputeType
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber
from sensory_pipeline_tests import places
from sensory_pipeline_tests.engine_contract import check_classifier, check_diarizer, check_transcriber

MINIATURES = places.DATA / "miniatures"
NETWORKS = frozenset(f"sensory_pipeline_tests.miniature_pyannote.{name}" for name in ("TinySeg", "TinyXVector"))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_whisper_keeps_the_contract(batch_size: int | None) -> None:
    with closing(ModelCache(CacheSettings())) as cache:
        check_transcriber(
            WhisperTranscriber(
                str(MINIATURES / "whisper"),
                device=CPU,
                compute_type=ComputeType.INT8,
                cache=cache,
                cpu_threads=1,
                batch_size=batch_size,
            )
        )


def test_pyannote_keeps_the_contract() -> None:
    pytest.importorskip("pyannote.audio")
    with closing(ModelCache(CacheSettings())) as cache:
        check_diarizer(PyannoteDiarizer(str(MINIATURES / "pyannote"), cache=cache, trusted_classes=NETWORKS))


def test_gigaam_keeps_the_contract() -> None:
    pytest.importorskip("torch")
    with closing(ModelCache(CacheSettings())) as cache:
        check_classifier(GigaamClassifier(str(MINIATURES / "gigaam" / "emo.ckpt"), cache=cache))
