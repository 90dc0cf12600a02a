"""Published weights, where this machine has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensory_pipeline.engines.catalogue.store import HOME

REAL_MODELS = ("whisper-tiny.en", "segmentation-3.0", "campplus")
"""What the default engines need, with the smallest of Whisper's."""


def published(name: str) -> Path:
    """The folder of a model of the catalogue. Skips the test where it was never fetched."""
    if not HOME.here(name):
        pytest.skip(f"the model {name} is not on this machine: sensory models fetch {name}")
    return HOME.verified(name)
