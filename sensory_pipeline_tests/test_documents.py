"""What is not documented does not exist, and what is documented is true."""

from __future__ import annotations

import json
import re
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

import resources
from scripts.document import engines_page, operations_page, tables_page
from sensory_pipeline.cli.app import app
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings

ROOT = Path(resources.__file__).parent.parent


def test_every_setting_is_in_env_example_with_its_default() -> None:
    text = (ROOT / ".env.example").read_text()
    lines = {name: value.strip('"') for name, value in re.findall(r'^([A-Z_]+)=("[^"]*"|\S*)\s+#', text, re.MULTILINE)}
    assert set(lines) == {*Settings.names(), *ServiceSettings.names()}
    for name, field in (*Settings.model_fields.items(), *ServiceSettings.model_fields.items()):
        variable = str(field.validation_alias or f"SENSORY_{name.upper()}")
        if field.default_factory is None:
            assert lines[variable] == _as_written(field.default), variable


def _as_written(default: object) -> str:
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case tuple() | frozenset():
            return json.dumps(list(default), separators=(",", ":"))
        case _:
            return str(default).removesuffix(".0")


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"sensory {name}" in readme, name


def test_every_command_has_help_that_says_something() -> None:
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert len(shown.stdout) > 200, name


def test_pages_are_what_the_code_says() -> None:
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == tables_page()
    engines = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    assert engines == engines_page(engines)
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert operations == operations_page(operations)


def test_documents_name_files_that_exist() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
