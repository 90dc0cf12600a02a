"""The checkpoint of GigaAM-Emo, from which its network is loaded."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sensory_pipeline.core.emotions import LABELS
from sensory_pipeline.core.errors import ConfigurationError, brief
from sensory_pipeline.engines.cache import LoadedModel
from sensory_pipeline.engines.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from sensory_pipeline.engines.emotion.emotion_network import EmotionNetwork

PUBLISHED = "emo"
"""The name of the model its authors publish; any other is the path of a checkpoint."""
LISTED = "gigaam-emo"
"""Its name in the catalogue."""


def existing_checkpoint(path: Path) -> Path:
    """Return the path of a checkpoint.

    Raises:
        ConfigurationError: There is no such file.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"there is no emotion model {str(path)!r}: set GIGAAM_MODEL_NAME to {PUBLISHED!r}, which "
            f"`sensory models fetch {LISTED}` downloads, or to the path of a checkpoint"
        )
    return path


def load_network(path: Path, device: str) -> LoadedModel[EmotionNetwork]:
    """Load a checkpoint onto a device; on a GPU the encoder computes in half precision.

    Raises:
        ConfigurationError: torch is not installed, or the checkpoint holds another model.
    """
    tensors = read_checkpoint(path)
    try:
        from sensory_pipeline.engines.emotion.emotion_network import EmotionNetwork
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"GigaAM-Emo needs {error.name}: run `make models`, or choose SENSORY_EMOTION=prosody"
        ) from error
    try:
        network = EmotionNetwork.restored(tensors, labels=len(LABELS))
    except (LookupError, RuntimeError, ValueError) as error:
        reason = brief(error)
        raise ConfigurationError(
            f"{path} holds another model than GigaAM-Emo ({reason}): set GIGAAM_MODEL_NAME to {PUBLISHED!r}, or to "
            "the path of a copy of the published emo.ckpt"
        ) from error
    if device.startswith("cuda"):
        network.encoder.half()
    network.to(device)
    size_bytes = sum(tensor.nbytes for tensor in network.state_dict().values())
    return LoadedModel(model=network, size_bytes=size_bytes, unload=partial(network.to, "meta"))
