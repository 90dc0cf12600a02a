"""Languages in settings: which are accepted, and the errors about others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sensory_pipeline.core.languages import NAMES
from sensory_pipeline.core.process_request import TranscriptionSettings
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.command import invoked


def test_languages_are_those_of_whisper() -> None:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert set(NAMES) == set(_LANGUAGE_CODES)
    assert len(set(NAMES.values())) == len(NAMES)


@pytest.mark.parametrize("written", ["en,es", " en , es,", '["en", "es"]', ["en", "es"]])
def test_candidates_are_a_list_in_json_or_with_commas(
    written: str | list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TranscriptionSettings.model_validate({"languages": written}).languages == ("en", "es")
    if isinstance(written, str):
        monkeypatch.setenv("SENSORY_LANGUAGES", written)
        assert Settings().request().tra.languages == ("en", "es")


@given(st.sampled_from(sorted(NAMES)))
def test_a_language_name_gives_its_code(code: str) -> None:
    assert TranscriptionSettings(language=code).language == code
    for written in (NAMES[code], NAMES[code].lower(), code.upper(), f"{code}-XY"):
        with pytest.raises(ValidationError, match=f"write {code}, the ISO 639-1 code"):
            TranscriptionSettings(language=written)


@given(st.text())
def test_other_languages_are_refused(written: str) -> None:
    if written not in (*NAMES, "auto"):
        with pytest.raises(ValidationError):
            TranscriptionSettings(language=written)
        with pytest.raises(ValidationError):
            TranscriptionSettings.model_validate({"languages": [written]})


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SENSORY_LANGUAGE", "english", "SENSORY_LANGUAGE is 'english': write en, the ISO 639-1 code"),
        ("SENSORY_LANGUAGE", "tlh", "SENSORY_LANGUAGE is 'tlh': unknown language; write its ISO 639-1 code"),
        ("SENSORY_LANGUAGES", "en,auto", "SENSORY_LANGUAGES[1] is 'auto': unknown language"),
        ("SENSORY_LANGUAGES", "[en", "SENSORY_LANGUAGES is '[en': it is not a list: write en,es"),
    ],
)
def test_wrong_languages_are_reported_when_settings_are_read(
    variable: str, value: str, told: str, tmp_path: Path
) -> None:
    done = invoked("models", "list", cwd=tmp_path, **{variable: value})
    assert done.returncode == 2
    assert done.stderr.startswith(told)


def test_wrong_languages_are_reported_on_the_command_line_too(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    done = invoked("process", "a.wav", "--language", "English", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2, "--language is 'English': write en, the ISO 639-1 code\n"
    )  # fmt: skip
