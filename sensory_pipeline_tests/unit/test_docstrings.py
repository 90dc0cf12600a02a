"""The examples in docstrings."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

from sensory_pipeline_tests.places import ROOT

FILES = [
    path.relative_to(ROOT)
    for folder in ("sensory_pipeline", "resources", "bench", "scripts")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_examples_are_true(file: Path) -> None:
    """Not pytest's --doctest-modules: it imports every module into every test process, also torch."""
    if file.name == "postgres.py":
        pytest.importorskip("psycopg2", reason="psycopg2 is not installed: make test")
    failed, tried = doctest.testmod(import_module(".".join(file.with_suffix("").parts)))
    assert tried
    assert not failed
