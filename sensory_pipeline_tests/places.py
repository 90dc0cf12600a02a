"""Folders that tests read."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
"""Of the checkout."""
DATA = TESTS / "data"
SAMPLES = ROOT / "samples"
SHARED = ROOT.parent / "shared"
"""More recordings, if they are beside the checkout."""
