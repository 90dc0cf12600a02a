"""Fetches models before they are needed, for example for a machine without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.catalogue.fetch import SILENT, Report
from sensory_pipeline.engines.registry import ENGINES
from sensory_pipeline.engines.selection import weights
from sensory_pipeline.engines.spec import CatalogueWeights, EngineChoice, Weights

EXAMPLES = ("whisper-base", "whisper:small", "pyannote:pyannote/speaker-diarization-community-1")
"""Names that `named` accepts: of the catalogue, or ENGINE:MODEL."""


def named(name: str, choice: EngineChoice, given: Path | None = None) -> Sequence[Weights]:
    """The models meant by a name of the catalogue, or by ENGINE:MODEL for others of the hub.

    Args:
        name: As in `EXAMPLES`.
        choice: The settings: where models are, and the hub's token.
        given: A folder or an archive to take the model from.

    Raises:
        ConfigurationError: The name is unknown; or `given` is set, but the catalogue does not list the model.
    """
    listed = choice.store.catalogue.find(name)
    if listed is not None:
        return [CatalogueWeights(name=listed.name, store=choice.store, token=choice.pyannote_auth_token, given=given)]
    engine, _, model = name.partition(":")
    spec = next((spec for spec in ENGINES if spec.name == engine and spec.model), None)
    if spec is None or spec.model is None or not model:
        raise ConfigurationError(
            f"there is no model {name!r}: write one of {', '.join(choice.store.catalogue.models)}, or ENGINE:MODEL "
            f"as in {EXAMPLES[1]}"
        )
    asked: dict[str, Any] = {spec.model: model}
    found = spec.weights(replace(choice, **asked))
    if given is not None:
        found = tuple(_given(needed, given) for needed in found)
    return found


def _given(needed: Weights, given: Path) -> Weights:
    if not isinstance(needed, CatalogueWeights):
        raise ConfigurationError(
            f"--from serves the models of the catalogue, whose digests are known; name the folder of {needed.name} "
            "in the settings instead, as in WHISPER_MODEL_SIZE=/path/to/folder"
        )
    return replace(needed, given=given)


def missing(choice: EngineChoice) -> list[Weights]:
    """The models that the chosen engines need and that are not on this machine. Uses no network.

    Raises:
        ConfigurationError: A setting names no model.
    """
    return [needed for needed in weights(choice) if not needed.here()]


def fetch_missing(choice: EngineChoice, report: Report = SILENT) -> None:
    """Download the models that the chosen engines need and that are not on this machine.

    Raises:
        ConfigurationError: A model cannot be fetched.
    """
    for needed in missing(choice):
        needed.fetch(report)
