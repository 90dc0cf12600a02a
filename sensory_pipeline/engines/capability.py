"""Whether engines can do what is asked of them."""

from __future__ import annotations

from sensory_pipeline.core.errors import UnsupportedLanguage
from sensory_pipeline.core.requests import ProcessRequest, Task
from sensory_pipeline.engines.base import EngineInfo


def check(request: ProcessRequest, transcriber: EngineInfo) -> None:
    """Whether the transcriber can do what is asked. Raises UnsupportedLanguage where that is known without its
    model."""
    if Task.TRANSCRIBE not in request.tasks:
        return
    if transcriber.languages is None:
        return
    if unknown := request.tra.asked_languages - transcriber.languages:
        raise UnsupportedLanguage(
            f"{transcriber.engine} knows {', '.join(sorted(transcriber.languages))} only, not {min(unknown)!r}: set "
            "the language to one of these or auto, or choose another engine or model"
        )
