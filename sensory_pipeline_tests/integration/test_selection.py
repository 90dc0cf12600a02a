"""Which engines the settings choose, and what is said when one is not to be had."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.process_request import ProcessRequest, TranscriptionSettings
from sensory_pipeline.engines.diagnosis import diagnose
from sensory_pipeline.engines.registry import ENGINES, engine_named
from sensory_pipeline.engines.selection import chosen_engines, light, weights
from sensory_pipeline.engines.spec import EngineChoice
from sensory_pipeline.processing.plans import make_plan
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.settings import Settings, cores
from sensory_pipeline_tests import places

DATA = places.DATA
GOLDEN = DATA / "gigaam"

REQUEST = ProcessRequest()


def names(**variables: str) -> tuple[str, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        choice = engine_choice(Settings())
    return choice.stt, choice.diarization, choice.emotion


def test_without_settings_whisper_and_the_open_networks_are_chosen() -> None:
    assert names() == ("whisper", "onnx", "prosody")
    assert engine_choice(Settings()).whisper_model_size == "base"


def test_a_model_setting_chooses_its_engine() -> None:
    assert names(PYANNOTE_MODEL="/m") == ("whisper", "pyannote", "prosody")
    assert names(GIGAAM_MODEL_NAME="emo") == ("whisper", "onnx", "gigaam")


def test_an_engine_setting_wins_over_a_model_setting() -> None:
    assert names(PYANNOTE_MODEL="/m", SENSORY_DIARIZATION="onnx")[1] == "onnx"
    assert names(SENSORY_DIARIZATION="pyannote")[1] == "pyannote"


def test_every_engine_is_chosen_by_its_name_and_reads_settings_there_are() -> None:
    for spec in ENGINES:
        assert engine_named(spec.stage, spec.name) is spec
        assert spec.settings <= Settings.model_fields.keys()
        assert spec.settings <= {field.name for field in fields(EngineChoice)}
        assert spec.model is None or spec.model in spec.settings


def test_settings_that_no_chosen_engine_reads_change_no_choice() -> None:
    plain = engine_choice(Settings())
    assert engine_choice(Settings(PYANNOTE_WINDOW_STEP=0.25)) == plain
    assert engine_choice(Settings(WHISPER_MODEL_SIZE="small")) != plain


def test_a_stereo_lake_needs_no_diarization_model() -> None:
    settings = Settings(stereo=True, PYANNOTE_MODEL="pyannote/speaker-diarization-community-1")
    assert [needed.name for needed in weights(engine_choice(settings))] == ["whisper-base"]
    assert light(engine_choice(settings))
    assert not light(engine_choice(settings, stereo=False))


def test_whisper_uses_all_cores_in_batches_and_its_librarys_choice_otherwise() -> None:
    def threads(**options: Any) -> int:
        return engine_choice(Settings(**{name.upper(): value for name, value in options.items()})).whisper_cpu_threads

    assert threads() == cores()
    assert threads(whisper_batch_size=1) == 0
    assert threads(whisper_cpu_threads=3) == threads(whisper_cpu_threads=3, whisper_batch_size=1) == 3


def test_stereo_needs_no_diarizer() -> None:
    assert chosen_engines(EngineChoice(stereo=True)).diarizer.info.engine == "channels"


@pytest.mark.usefixtures("real_models")
def test_another_engine_is_another_fingerprint() -> None:
    request = Settings().request()
    prosody = make_plan(request, chosen_engines(engine_choice(Settings())))
    gigaam = make_plan(request, chosen_engines(engine_choice(Settings(GIGAAM_MODEL_NAME=str(GOLDEN / "emo.ckpt")))))
    differing = [stage.value for stage in prosody.stages if prosody.stages[stage] != gigaam.stages[stage]]
    assert differing == ["emotions"]


def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="cuda:7"):
        chosen_engines(EngineChoice(stt="whisper", whisper_device="cuda:7"))


def test_the_token_is_never_shown() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYANNOTE_AUTH_TOKEN", "hf_secret")
        settings = Settings()
    assert "hf_secret" not in f"{settings!r} {engine_choice(settings)!r}"


@pytest.mark.usefixtures("real_models")
def test_diagnosis_says_what_to_do() -> None:
    choice = engine_choice(Settings(GIGAAM_MODEL_NAME="/nowhere.ckpt"))
    findings = {f.subject: f for f in diagnose(choice, REQUEST)}
    assert findings["transcription"].remedy is None
    assert "GIGAAM_MODEL_NAME" in str(findings["emotion"].remedy)


def test_diagnosis_names_the_models_that_are_not_here(tmp_path: Path) -> None:
    findings = {f.subject: f for f in diagnose(EngineChoice(models=tmp_path), REQUEST)}
    assert "sensory models fetch whisper-base" in str(findings["transcription"].remedy)
    assert "sensory models fetch segmentation-3.0 campplus" in str(findings["diarization"].remedy)


def test_gigaam_answers_from_a_checkpoint_on_the_command_line() -> None:
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIGAAM_MODEL_NAME", str(GOLDEN / "emo.ckpt"))
        command = ["process", str(GOLDEN / "jfk16.wav"), "--tasks", "emotion", "--emo-level", "file"]
        done = subprocess.run(
            [Path(sys.executable).with_name("sensory"), *command],
            capture_output=True,
            text=True,
            check=True,
        )
    (item,) = json.loads(done.stdout)["emo"]["items"]
    expected = json.loads((GOLDEN / "expected.json").read_text())["jfk16"]["probs"]
    assert item["scores"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.usefixtures("real_models")
def test_an_unsupported_language_is_reported_before_any_run() -> None:
    german = ProcessRequest(tra=TranscriptionSettings(language="de"))
    findings = {finding.subject: finding for finding in diagnose(engine_choice(Settings()), german)}
    assert "not 'de'" in str(findings["transcription"].remedy)
    assert findings["diarization"].remedy is None
