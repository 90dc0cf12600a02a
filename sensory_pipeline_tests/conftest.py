"""Every test starts from a clean environment and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from sensory_pipeline.settings import Settings

collect_ignore = [] if find_spec("pyannote") else ["miniature_pyannote.py"]
"""No test; its doctests would be looked for."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="Run the long tests at full length.")


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether long tests run at full length."""
    return bool(request.config.getoption("--soak"))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting of the developer's shell, and no .env of theirs, reaches a test."""
    for name in list(os.environ):  # noqa: TID251
        if name in Settings.names() or name.startswith(("SENSORY_", "DAGSTER_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
