"""Published weights, where this machine has them."""

from __future__ import annotations

from pathlib import Path

import pytest

MODELS = Path.home() / ".cache" / "sensory_pipeline" / "models"


def published(name: str) -> Path:
    """The folder of a model of the catalogue. Skips the test where it was never fetched."""
    folder = MODELS / name
    if not folder.is_dir():
        pytest.skip(f"the model {name} is not on this machine")
    return folder
