"""Settings belong to the lake: it is worked on alike from every folder, and not otherwise unless somebody says so."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from sensory_pipeline.cli.app import app
from sensory_pipeline.core.errors import ConfigurationError, LakeMismatch
from sensory_pipeline.core.process_request import EmotionLevel
from sensory_pipeline.engines.registry import ENGINES
from sensory_pipeline.lake import own_settings
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake_settings import LakeSettings
from sensory_pipeline.processing.effective_settings import changed, in_force, keep, redone, to_keep, unattended
from sensory_pipeline.processing.setup import current_plans
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.command import command, environment
from sensory_pipeline_tests.lakes import data_files, ingested
from sensory_pipeline_tests.trivial_engines import trivial

NOT_OF_RESULTS = {
    "whisper_device",
    "whisper_compute_type",
    "whisper_cpu_threads",
    "pyannote_use_gpu",
    "pyannote_auth_token",
    "pyannote_trusted_classes",
}
"""Settings of engines that enter no fingerprint."""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Without settings of its own yet, as of an older version."""
    tone(tmp_path / "in" / "a.wav", 500)
    tone(tmp_path / "in" / "b.wav", 600)
    ingested(tmp_path / "in", tmp_path / "lake", history=True)
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def bare(tmp_path: Path) -> Lake:
    """Without recordings."""
    return Lake.create(tmp_path / "lake", shards=1, start_date=Settings().start_date)


def sensory(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", **variables})


def test_the_environment_comes_before_the_lake_and_the_lake_before_the_defaults(
    bare: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = bare
    keep(lake, Settings(lake=lake.root, language="de", beam_size=2, min_speakers=2, pyannote_window_step=0.25))
    assert in_force(Settings(lake=lake.root)).language == "de"
    monkeypatch.setenv("SENSORY_BEAM_SIZE", "5")
    monkeypatch.setenv("SENSORY_SPEAKERS", "3")
    found = in_force(Settings(lake=lake.root))
    assert (found.language, found.beam_size, found.clip_s, found.pyannote_window_step) == ("de", 5, 30, 0.25)
    assert (found.speakers, found.min_speakers) == (3, None), "they go together"
    assert found.shards == lake.shards == 1
    assert set(changed(lake, found)) == {"SENSORY_BEAM_SIZE", "SENSORY_SPEAKERS", "SENSORY_MIN_SPEAKERS"}


def test_a_lake_gives_its_engines_and_its_sources_to_every_folder(
    bare: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = bare
    (tmp_path / ".env").write_text(
        'SENSORY_SOURCES=[{"uri": "in", "emo_level": "word"}, "s3://b/c"]\nDEFAULT_MODEL_NAME=tiny.en\n'
    )
    given = Settings(lake=lake.root)
    keep(lake, given)
    wanted = current_plans(given, engines=trivial)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = in_force(Settings(lake=lake.root))
    assert [source.uri for source in found.sources] == [str(tmp_path / "in"), "s3://b/c"]
    assert (found.diarization, found.default_model_name) == ("onnx", "tiny.en")
    plans = current_plans(found, engines=trivial)
    assert plans.of((tmp_path / "in" / "a.wav").as_uri()) == wanted.of((tmp_path / "in" / "a.wav").as_uri())
    assert plans.of((tmp_path / "in" / "a.wav").as_uri()).request.emo.level is EmotionLevel.WORD
    assert plans.default == wanted.default
    monkeypatch.setenv("PYANNOTE_MODEL", "open")
    assert to_keep(in_force(Settings(lake=lake.root))).diarization == "pyannote", "a model chooses its engine"


def test_every_setting_of_an_engine_is_kept_or_enters_no_result() -> None:
    read = {name for spec in ENGINES for name in spec.settings}
    assert read - LakeSettings.model_fields.keys() == NOT_OF_RESULTS


def test_no_secret_is_kept() -> None:
    secret = [name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)]
    assert secret
    assert not set(secret) & LakeSettings.model_fields.keys()


def test_an_invalid_settings_file_is_reported(bare: Lake) -> None:
    for wrong in ("[", "[]", '{"SENSORY_BEAM_SIZE": "many"}'):
        (bare.root / own_settings.FILE).write_text(wrong)
        with pytest.raises(ConfigurationError, match=r"settings\.json cannot be read"):
            in_force(Settings(lake=bare.root))


def test_without_a_terminal_nothing_is_replaced(lake: Lake, real_models: None) -> None:
    settings = Settings(lake=lake.root)
    unattended(lake, settings)
    assert own_settings.read(lake.root) == to_keep(settings)
    other = settings.model_copy(update={"beam_size": 2})
    with pytest.raises(LakeMismatch, match="in SENSORY_BEAM_SIZE, and 2 recordings would be processed again"):
        unattended(lake, other)
    assert redone(lake, current_plans(settings, engines=trivial)) == []
    assert own_settings.read(lake.root) == to_keep(settings)


def test_an_ingest_under_other_settings_needs_redo(lake: Lake, tmp_path: Path, real_models: None) -> None:
    keep(lake, Settings(lake=lake.root))
    before = data_files(lake.root), (lake.root / own_settings.FILE).read_bytes()
    refused = sensory("ingest", "in", "--lake", "lake", SENSORY_EMO_LEVEL="word")
    assert isinstance(refused.exception, LakeMismatch)
    assert "--redo" in str(refused.exception)
    assert "SENSORY_EMO_LEVEL" in str(refused.exception)
    assert "sentence" in refused.stderr
    assert "2 recordings of the lake would be processed again: 1 s of audio" in refused.stderr
    assert before == (data_files(lake.root), (lake.root / own_settings.FILE).read_bytes())
    assert Lake.open(lake.root).ledger.pending_partitions() == {}


def test_configure_shows_and_changes_what_the_lake_keeps(lake: Lake, real_models: None) -> None:
    assert "keeps no settings yet" in sensory("configure", "--lake", "lake").stderr
    unasked = sensory("configure", "--lake", "lake", "SENSORY_BEAM_SIZE=2")
    assert isinstance(unasked.exception, LakeMismatch), "also where it keeps none yet"
    keep(lake, Settings(lake=lake.root))
    assert "WHISPER_MODEL_SIZE" in sensory("configure", "--lake", "lake").stdout
    refused = sensory("configure", "--lake", "lake", "SENSORY_TEMPERATURES=[0]")
    assert isinstance(refused.exception, LakeMismatch)
    asked = ("SENSORY_TEMPERATURES=[0]", "SENSORY_HOTWORDS=Ada", 'SENSORY_SOURCES=[{"uri": "/a", "speakers": 2}]')
    done = sensory("configure", "--lake", "lake", *asked, "--redo")
    assert done.exit_code == 0, done.output
    assert "WHISPER_MODEL_SIZE, which comes before" in done.stderr
    kept = json.loads((lake.root / own_settings.FILE).read_text())
    assert kept["SENSORY_TEMPERATURES"] == [0]
    assert kept["SENSORY_SOURCES"] == [{"uri": "/a", "speakers": 2}]
    assert "/a (speakers: 2)" in sensory("configure", "--lake", "lake").stdout
    assert sensory("configure", "--lake", "lake", "--unset", "SENSORY_HOTWORDS", "--redo").exit_code == 0
    kept = json.loads((lake.root / own_settings.FILE).read_text())
    assert (kept["SENSORY_TEMPERATURES"], kept["SENSORY_HOTWORDS"]) == ([0], None)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["SENSORY_SHARDS=2"], "a lake does not keep SENSORY_SHARDS"),
        (["PYANNOTE_AUTH_TOKEN=hf_secret"], "a lake does not keep PYANNOTE_AUTH_TOKEN"),
        (["SENSORY_BEAM_SIZE"], "write NAME=VALUE"),
        (["SENSORY_BEAM_SIZE=0"], "SENSORY_BEAM_SIZE is '0': it should be greater than or equal to 1"),
        (["SENSORY_SPEAKERS=2", "SENSORY_MIN_SPEAKERS=2"], "either the exact number of speakers or a range"),
    ],
)
@pytest.mark.usefixtures("bare")
def test_what_cannot_be_kept_is_refused(arguments: list[str], told: str) -> None:
    done = sensory("configure", "--lake", "lake", *arguments)
    assert isinstance(done.exception, ConfigurationError)
    assert told in str(done.exception)
    assert "hf_secret" not in str(done.exception)


def test_on_a_terminal_it_asks(lake: Lake, tmp_path: Path) -> None:
    keep(lake, Settings(lake=lake.root, whisper_model_size="tiny.en"))
    for answer, level in (("n", "sentence"), ("y", "word")):
        ours, theirs = pty.openpty()
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [*command("ingest")[:1], "configure", "--lake", "lake", "SENSORY_EMO_LEVEL=word"],
            cwd=tmp_path,
            env=environment(WHISPER_MODEL_SIZE="tiny.en"),
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=300,
        )
        os.close(ours)
        os.close(theirs)
        assert "Give the lake these settings? [y/N]" in done.stderr
        kept = own_settings.read(lake.root)
        assert kept is not None
        assert (done.returncode, kept.emo_level) == (int(answer == "n"), level)


def test_a_dry_run_reports_and_changes_nothing(lake: Lake, tmp_path: Path, real_models: None) -> None:
    keep(lake, Settings(lake=lake.root))
    tone(tmp_path / "in" / "a.wav", 700)
    tone(tmp_path / "in" / "c.wav", 800)
    (tmp_path / "in" / "notes.txt").write_text("no recording")

    def everything() -> dict[str, bytes]:
        found = [path for path in lake.root.rglob("*") if path.is_file() and path.name != "ledger.sqlite-shm"]
        return {str(path): path.read_bytes() for path in found}

    before = everything()
    done = sensory("ingest", "in", "--lake", "lake", "--dry-run")
    assert done.exit_code == 0, done.output
    # what trivial engines made is stale for real ones
    assert done.stderr.splitlines()[0] == "1 new, 1 changed, 1 to redo under the current settings"
    assert re.search(
        r"would process 3 recordings: 1 s of audio, about 0:00:\d\d at the pace of the last runs, not counting what is "
        "new or changed; nothing was changed",
        done.stderr,
    )
    (tmp_path / "in" / "b.wav").unlink()
    gone = sensory("ingest", "in", "--lake", "lake", "--dry-run")
    assert gone.stderr.splitlines()[0] == "1 new, 1 changed, 1 missing"
    assert everything() == before
    assert "1 changed" not in sensory("ingest", "in", "--lake", "new", "--dry-run").stderr
    assert not (tmp_path / "new").exists()
    (tmp_path / "empty").mkdir()
    assert isinstance(sensory("ingest", "empty", "--lake", "lake", "--dry-run").exception, ConfigurationError)
