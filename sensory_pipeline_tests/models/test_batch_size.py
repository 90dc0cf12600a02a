"""How many clips are decoded at once: what is tried and remembered, and what becomes of a file that is not ours."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.core.transcripts import Transcript
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import TranscribeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.devices import CPU, ComputeType
from sensory_pipeline.engines.stt.batch_size import SIZES, BatchSizes, fastest
from sensory_pipeline.engines.stt.whisper import WhisperTranscriber
from sensory_pipeline_tests import places

DATA = places.DATA
MINIATURE = DATA / "miniatures" / "whisper"
FILE = "batch_sizes.json"


@given(st.integers(1, 300), st.floats(0.001, 10), st.floats(0, 1))
def test_the_batch_size_found_fits_the_memory(holds: int, first_s: float, more_s: float) -> None:
    tried: list[int] = []

    def measure(size: int) -> float | None:
        tried.append(size)
        return first_s + more_s * size if size <= holds else None

    found = fastest(measure)
    assert found == SIZES[0] or found <= holds
    assert tried == list(SIZES[: len(tried)])


def test_the_stored_batch_size_is_used_by_a_new_process(tmp_path: Path) -> None:
    BatchSizes(path=tmp_path / "new" / FILE, place="H100").keep("whisper small", 64)
    BatchSizes(path=tmp_path / "new" / FILE, place="T4").keep("whisper small", 16)
    again = BatchSizes(path=tmp_path / "new" / FILE, place="H100")
    assert (again.get("whisper small"), again.get("whisper base")) == (64, None)


@pytest.mark.parametrize("content", ["", "[1]", '{"H100: whisper small": "many"}', '{"H100: whisper small": -8}'])
def test_an_invalid_file_of_batch_sizes_is_ignored(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    sizes = BatchSizes(path=tmp_path / FILE, place="H100")
    assert sizes.get("whisper small") is None
    sizes.keep("whisper small", 32)
    assert json.loads((tmp_path / FILE).read_text()) == {"H100: whisper small": 32}


def test_if_nothing_can_be_written_transcription_continues(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "folder").write_text("in the way")
    sizes = BatchSizes(path=tmp_path / "folder" / FILE, place="H100")
    sizes.keep("whisper small", 32)
    assert sizes.get("whisper small") is None
    assert "is measured again next time" in caplog.text


def test_a_batch_size_is_found_once_and_changes_no_transcript(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    pcm = decode(DATA / "miniatures" / "conversations" / "english-two.flac", max_duration_s=60).pcm
    job = TranscribeJob(key="a", pcm=pcm, settings=TranscriptionSettings(clip_s=4))
    sizes = BatchSizes(path=tmp_path / FILE, place="this processor")
    searched, answers = [], []
    for given_sizes in (None, sizes, sizes):
        with closing(ModelCache(CacheSettings())) as cache:
            log = ActivityLog()
            engine = WhisperTranscriber(
                str(MINIATURE),
                device=CPU,
                compute_type=ComputeType.INT8,
                cache=cache,
                cpu_threads=1,
                sizes=given_sizes,
                activity=log,
            )
            answers += [answer for _, answer in engine.transcribe([job])]
        done = [activity.what for activity in log.taken()]
        searched.append(done.count("finding the batch size"))
        assert {"loading Whisper", "looking for speech", "features", "whisper"} <= set(done)
    assert searched == [0, 1, 0]
    (found,) = json.loads((tmp_path / FILE).read_text()).values()
    assert found in SIZES
    assert isinstance(answers[0], Transcript)
    assert answers[1] == answers[2] == answers[0]
