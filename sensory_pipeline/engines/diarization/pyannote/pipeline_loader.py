"""The loading of pyannote's pipeline onto a device."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.cache import LoadedModel
from sensory_pipeline.engines.devices import Device
from sensory_pipeline.engines.diarization.pyannote.checkpoints import PipelineFolder
from sensory_pipeline.engines.diarization.pyannote.open_pipeline import OpenPipeline
from sensory_pipeline.engines.diarization.pyannote.warning_filter import silenced

if TYPE_CHECKING:
    from sensory_pipeline.engines.diarization.pyannote.pipeline import FrugalDiarization


def load_pipeline(
    content: PipelineFolder | OpenPipeline,
    device: Device,
    trusted_classes: frozenset[str],
    *,
    window_step: float | None,
) -> LoadedModel[FrugalDiarization]:
    """Load a pipeline.

    Args:
        content: What was read.
        device: Where it runs.
        trusted_classes: Networks that checkpoints may use besides pyannote's own.
        window_step: From one window to the next, as a fraction of a window; None for what the model says.

    Raises:
        ConfigurationError: pyannote or torch is not installed, or the content is no diarization model.
    """
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # noqa: TID251  else pyannote reports each recording to its makers
    try:
        with silenced():
            import torch

            pipeline, networks = content.pipeline(trusted_classes, window_step)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"pyannote needs {error.name}: run `make models`, or choose SENSORY_DIARIZATION=onnx"
        ) from error
    pipeline.to(torch.device(device.torch_name))
    return LoadedModel(
        model=pipeline,
        size_bytes=sum(tensor.nbytes for network in networks for tensor in network.state_dict().values()),
        unload=partial(pipeline.to, torch.device("meta")),
    )
