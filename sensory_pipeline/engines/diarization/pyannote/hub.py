"""Finds a diarization model: a folder, or a repository on https://huggingface.co."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from sensory_pipeline.core.errors import ConfigurationError, brief
from sensory_pipeline.engines.catalogue.fetch import SILENT, Report
from sensory_pipeline.engines.catalogue.revisions import HubModel
from sensory_pipeline.engines.catalogue.snapshots import verified
from sensory_pipeline.engines.catalogue.store import Store
from sensory_pipeline.engines.diarization.pyannote.checkpoints import CONFIG, MOST_CONFIG_BYTES, NETWORK, PipelineConfig
from sensory_pipeline.engines.diarization.pyannote.networks import read

PUBLISHED = "pyannote/speaker-diarization-community-1"
"""On https://huggingface.co; its terms must be accepted."""


def local(model: str) -> Path | None:
    """The folder of a model, if all of it is on this machine; else None.

    Raises:
        ConfigurationError: `model` is neither a folder nor an id.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    path = Path(model)
    if path.is_dir():
        return path
    if HubModel.named(model) is None:
        raise ConfigurationError(
            f"there is no diarization model {model!r}: set PYANNOTE_MODEL to open, to a folder that holds one (its "
            f"{CONFIG} and what that names), or to its id on https://huggingface.co, such as {PUBLISHED}"
        )
    for pinned in (True, False):  # what was downloaded before it was pinned is used as it is
        try:
            folder = _snapshot(model, pinned=pinned, local_files_only=True)
        except LocalEntryNotFoundError:
            continue
        if _complete(folder):
            return folder
    return None


def fetched(model: str, token: SecretStr | None) -> Path:
    """The folder of a model; downloads the files that are missing.

    Args:
        model: Id on the hub.
        token: Of an account that has accepted the model's terms.

    Raises:
        ConfigurationError: The model cannot be had.
    """
    try:
        return _snapshot(model, pinned=True, token=token.get_secret_value() if token else None)
    except (OSError, ValueError) as error:
        reason = brief(error)
        raise ConfigurationError(
            f"cannot download the diarization model {model} ({reason}). Accept its terms on "
            f"https://huggingface.co/{model}, make a token on https://huggingface.co/settings/tokens and set "
            "PYANNOTE_AUTH_TOKEN to it. Where there is no network, copy the model's folder from a machine that "
            "has one, and set PYANNOTE_MODEL to its path: PYANNOTE_MODEL=/path/to/folder"
        ) from error


def _snapshot(model: str, *, pinned: bool, **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    found = HubModel.named(model)
    assert found is not None
    patterns = [CONFIG, f"*/{NETWORK}", "*/*.npz"]
    revision = found.commit if pinned else None
    return Path(snapshot_download(found.repository, revision=revision, allow_patterns=patterns, **options))


def _complete(folder: Path) -> bool:
    """Whether a download was completed."""
    config = folder / CONFIG
    if not config.is_file():
        return False
    return all(
        (folder / name).is_file() for name in PipelineConfig.parse(read(config, MOST_CONFIG_BYTES), config).files
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PyannoteWeights:
    """The folder of a pipeline, here or on the hub."""

    model: str
    store: Store
    token: SecretStr | None = None

    @property
    def name(self) -> str:
        return f"pyannote:{self.model}"

    def here(self) -> bool:
        return local(self.model) is not None

    def fetch(self, report: Report = SILENT) -> Path:
        if Path(self.model).is_dir():
            return Path(self.model)
        found = local(self.model)
        if found is None:
            asked = HubModel.named(self.model)
            report.say(f"looking for the diarization model {self.model} on the hub{asked.caution if asked else ''}")
            found = fetched(self.model, self.token)
        return verified(found, self.store)
