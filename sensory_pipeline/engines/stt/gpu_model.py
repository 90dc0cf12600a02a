"""CTranslate2's Whisper on a GPU, which reports some errors late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

_LEFT_BEHIND = "cudaErrorInvalidDevice"


class GpuModel:
    """A ctranslate2.models.Whisper whose calls do not report errors of earlier calls.

    When the memory is too small, CTranslate2's allocator (CUB's) leaves "cudaErrorInvalidDevice" behind in the thread
    of that worker. The next call that this worker serves fails with it, though there is nothing wrong with that call
    (seen with CTranslate2 4.8.5 on an H200). So such a call is made again. All else is CTranslate2's.

    Args:
        model: The model. Each of its workers may have such an error.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.encode = self._repeating(model.encode)
        self.generate = self._repeating(model.generate)
        self.detect_language = self._repeating(model.detect_language)
        self.align = self._repeating(model.align)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def _repeating(self, call: Callable[Given, Answer]) -> Callable[Given, Answer]:
        def repeating(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
            for _ in range(self._model.num_workers):
                try:
                    return call(*args, **kwargs)
                except RuntimeError as error:
                    if _LEFT_BEHIND not in str(error):
                        raise
            return call(*args, **kwargs)

        return repeating
