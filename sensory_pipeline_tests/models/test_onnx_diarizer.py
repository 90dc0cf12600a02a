"""The diarizer of onnxruntime keeps the contract, and does well on real speech where its networks are there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from bench.der import diarization_errors
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.arrays import Floats
from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.errors import ConfigurationError, EngineError
from sensory_pipeline.core.process_request import DiarizationSettings
from sensory_pipeline.core.spans import Span
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import DiarizeJob
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.onnx.diarizer import OnnxDiarizer
from sensory_pipeline.engines.diarization.onnx.speaker_networks import Segmentation
from sensory_pipeline_tests import places
from sensory_pipeline_tests.checkpoint_files import write_checkpoint
from sensory_pipeline_tests.engine_contract import check_diarizer, sounds
from sensory_pipeline_tests.speaker_networks import random_campplus, random_pyannet

AUDIO = places.SHARED / "audio"
ANY = DiarizationSettings()


@pytest.fixture(scope="module")
def random_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Checkpoints of small networks that hear voices in any sound."""
    folder = tmp_path_factory.mktemp("networks")
    return (
        write_checkpoint(folder / "segmentation.bin", random_pyannet(1)),
        write_checkpoint(folder / "embedding.pt", random_campplus(1)),
    )


def diarizer(models: tuple[Path, Path], cache: ModelCache, **more: object) -> OnnxDiarizer:
    segmentation, embedding = models
    return OnnxDiarizer(lambda: segmentation, lambda: embedding, cache=cache, **more)  # type: ignore[arg-type]


def answer(engine: OnnxDiarizer, pcm: Waveform, settings: DiarizationSettings = ANY) -> Diarization:
    ((key, found),) = engine.diarize([DiarizeJob(key="a", pcm=pcm, settings=settings)])
    assert key == "a"
    assert isinstance(found, Diarization)
    return found


def noise(seed: int, seconds: float) -> Waveform:
    samples = np.random.default_rng(seed).integers(-3000, 3000, (1, round(seconds * SAMPLE_RATE)))
    return Waveform(samples=samples.astype(np.int16))


def test_random_networks_keep_the_contract(random_models: tuple[Path, Path], cache: ModelCache) -> None:
    answers = check_diarizer(diarizer(random_models, cache))
    assert any(isinstance(found, Diarization) and found.turns for found in answers.values())


def test_the_published_networks_keep_the_contract(
    open_models: tuple[Path, Path],
    cache: ModelCache,
) -> None:
    answers = check_diarizer(diarizer(open_models, cache))
    for name in ("silence", "noise", "offset", "10 ms", "nothing"):
        assert answers[name] == Diarization(turns=(), exclusive=()), name
    for name in ("speech", "stereo"):
        found = answers[name]
        assert isinstance(found, Diarization)
        assert found.speakers == ("SPEAKER_00",)
        assert [len(embedding.vector) for embedding in found.embeddings] == [192]


def test_every_speaker_of_the_turns_has_a_vector(random_models: tuple[Path, Path], cache: ModelCache) -> None:
    found = answer(diarizer(random_models, cache), noise(1, 35))
    assert found.turns
    assert tuple(embedding.speaker for embedding in found.embeddings) == found.speakers
    for embedding in found.embeddings:
        assert np.isfinite(embedding.vector).all()


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_speakers_than_allowed(random_models: tuple[Path, Path], cache: ModelCache, most: int) -> None:
    engine, sound = diarizer(random_models, cache), noise(2, 35)
    for settings in (DiarizationSettings(max_speakers=most), DiarizationSettings(speakers=most)):
        assert len(answer(engine, sound, settings).speakers) <= most


def test_networks_are_identified_by_their_files(
    random_models: tuple[Path, Path], cache: ModelCache, tmp_path: Path
) -> None:
    info = diarizer(random_models, cache).info
    assert (info.engine, info.model, info.algorithm) == ("onnx", "segmentation-3.0+campplus", 1)
    assert len(info.revision) == 12
    copies = tmp_path / "a", tmp_path / "b"
    for copy, original in zip(copies, random_models, strict=True):
        shutil.copy(original, copy)
    assert diarizer(copies, cache).info == info
    write_checkpoint(copies[1], random_campplus(9))
    assert diarizer(copies, cache).info.revision != info.revision


def test_files_are_fetched_when_needed_and_loaded_once(random_models: tuple[Path, Path], cache: ModelCache) -> None:
    asked: list[Path] = []

    def give(path: Path) -> Path:
        asked.append(path)
        return path

    activity = ActivityLog()
    engine = OnnxDiarizer(
        lambda: give(random_models[0]), lambda: give(random_models[1]), cache=cache, threads=2, activity=activity
    )
    assert not asked
    loads = cache.stats().loads
    for seed in range(3):
        answer(engine, noise(seed, 1))
    assert asked == list(random_models)
    assert cache.stats().loads == loads + 1
    noted = [one.what for one in activity.taken()]
    assert noted[:3] == ["loading the speaker networks", "segmentation-3.0 and CAM++", "clustering voices"]


def test_a_recording_that_fails_fails_alone(
    random_models: tuple[Path, Path], cache: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Segmentation.scores

    def scores(self: Segmentation, heard: Floats) -> Floats:
        """The real network, which is given nonsense where the sound starts with a click."""
        return whole(self, heard[:, 0] if heard[0, 0, 0] > 0.9 else heard)

    monkeypatch.setattr(Segmentation, "scores", scores)
    click = noise(2, 1)
    click.samples[0, 0] = 32_000
    jobs = [
        DiarizeJob(key=key, pcm=pcm, settings=ANY)
        for key, pcm in {"a": noise(1, 1), "b": click, "c": noise(1, 1)}.items()
    ]
    answers = list(diarizer(random_models, cache).diarize(jobs))
    assert [key for key, _ in answers] == ["a", "b", "c"]
    (_, first), (_, failed), (_, last) = answers
    assert isinstance(failed, EngineError)
    assert "diarization failed on this recording" in str(failed)
    assert first == last


@pytest.mark.parametrize("swapped", [True, False])
def test_files_of_other_networks_are_refused_by_name(
    random_models: tuple[Path, Path], cache: ModelCache, tmp_path: Path, swapped: bool
) -> None:
    if swapped:
        models = random_models[1], random_models[0]
    else:
        tensors = random_pyannet(4)
        tensors["classifier.weight"] = tensors["classifier.weight"][:6]
        models = write_checkpoint(tmp_path / "other.bin", tensors), random_models[1]
    with pytest.raises(ConfigurationError, match=f"{models[0].name} holds something else than a PyanNet"):
        answer(diarizer(models, cache), noise(1, 1))


@pytest.mark.parametrize("part", ["lstm.weight_hh_l1", "sincnet.conv1d.1.weight", "xvector.tdnn.linear.weight"])
def test_tensors_of_other_shapes_are_refused(
    random_models: tuple[Path, Path], cache: ModelCache, tmp_path: Path, part: str
) -> None:
    first, second = random_pyannet(1), random_campplus(1)
    for tensors in (first, second):
        if part in tensors:
            tensors[part] = np.concatenate([tensors[part]] * 2, axis=1)
    models = write_checkpoint(tmp_path / "first", first), write_checkpoint(tmp_path / "second", second)
    with pytest.raises(ConfigurationError, match="holds something else"):
        answer(diarizer(models, cache), noise(1, 1))


def test_a_file_that_is_not_there_is_an_error(
    random_models: tuple[Path, Path], cache: ModelCache, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        _ = diarizer((tmp_path / "nowhere", random_models[1]), cache).info


def test_a_file_that_changes_is_an_error(random_models: tuple[Path, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copy(random_models[0], tmp_path / "copy"))
    with closing(ModelCache(CacheSettings())) as cache:
        engine = diarizer((copy, random_models[1]), cache)
        _ = engine.info
        write_checkpoint(copy, random_pyannet(8))
        with pytest.raises(ConfigurationError, match="changed while it was in use"):
            answer(engine, noise(1, 1))


def test_the_engine_needs_no_torch(random_models: tuple[Path, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from sensory_pipeline.audio.waveform import Waveform\n"
        "from sensory_pipeline.core.process_request import DiarizationSettings\n"
        "from sensory_pipeline.engines.base import DiarizeJob\n"
        "from sensory_pipeline.engines.cache import CacheSettings, ModelCache\n"
        "from sensory_pipeline.engines.diarization.onnx.diarizer import OnnxDiarizer\n"
        f"models = [lambda: Path({str(random_models[0])!r}), lambda: Path({str(random_models[1])!r})]\n"
        "pcm = Waveform(samples=np.random.default_rng(0).integers(-900, 900, (1, 32000)).astype(np.int16))\n"
        "job = DiarizeJob(key='a', pcm=pcm, settings=DiarizationSettings())\n"
        "((_, found),) = OnnxDiarizer(*models, cache=ModelCache(CacheSettings(ttl_s=None))).diarize([job])\n"
        "sys.exit(bool({'torch', 'pyannote', 'onnx'} & set(sys.modules)) or not found.turns)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=places.ROOT)


def labelled(*, everything: bool) -> Iterator[tuple[Waveform, list[Turn]]]:
    """Real meetings, and a simulated conversation and a call or all there are, with who speaks when."""
    folder = AUDIO / "labelled"
    meetings = ((AUDIO / f"ami_{path.stem}.flac", path) for path in sorted((folder / "ami").glob("*.rttm")))
    others = (
        (next(path.parent.glob(f"{path.stem}.[fw]*")), path)
        for path in sorted(folder.glob("s*/*.rttm" if everything else "s*/*_02.rttm"))
    )
    for sound, rttm in chain(meetings, others):
        lines = (line.split() for line in rttm.read_text().splitlines())
        yield (
            decode(sound, max_duration_s=600).pcm,
            [
                Turn(span=Span.from_seconds(float(line[3]), float(line[3]) + float(line[4])), speaker=line[7])
                for line in lines
            ],
        )


def test_real_speakers_are_distinguished(
    open_models: tuple[Path, Path],
    cache: ModelCache,
    soak: bool,
) -> None:
    """Measured: 14.6 % of speech wrong, 0.9 % given to another. References count pauses within a sentence as speech."""
    if not (AUDIO / "labelled").is_dir():
        pytest.skip("the labelled recordings are not there")
    engine = diarizer(open_models, cache)
    speech = confused = wrong = 0
    for pcm, reference in labelled(everything=soak):
        errors = diarization_errors(reference, answer(engine, pcm).turns, collar_ms=0)
        speech += errors.speech_ms
        confused += errors.confused_ms
        wrong += errors.errors_ms
    assert speech > (900_000 if soak else 300_000)
    assert wrong / speech < 0.17
    assert confused / speech < 0.03


def test_the_wanted_number_of_real_speakers(open_models: tuple[Path, Path], cache: ModelCache) -> None:
    engine, speech = diarizer(open_models, cache), sounds()["speech"]
    thrice = Waveform(samples=np.tile(speech.samples, 5))
    assert len(answer(engine, thrice).speakers) == 1
    assert len(answer(engine, thrice, DiarizationSettings(min_speakers=2)).speakers) == 2
    assert len(answer(engine, thrice, DiarizationSettings(max_speakers=1)).speakers) == 1
