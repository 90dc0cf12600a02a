"""What is not documented does not exist, and what is documented is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from scripts.document import engines_page, operations_page, tables_page
from scripts.environment import example
from sensory_pipeline.cli.app import app
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import places

ROOT = places.ROOT


def test_the_example_environment_file_has_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert text == example()
    for name in (*Settings.names(), *ServiceSettings.names()):
        assert f"\n{name}=" in text
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    defaults = Settings(), ServiceSettings()
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    (tmp_path / ".env").chmod(0o600)
    assert (Settings(), ServiceSettings()) == defaults


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"sensory {name}" in readme, name


def test_every_command_has_help() -> None:
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert len(shown.stdout) > 200, name


def test_generated_pages_match_the_code() -> None:
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == tables_page()
    engines = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    assert engines == engines_page(engines)
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert operations == operations_page(operations)


def test_documents_name_files_that_exist() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
