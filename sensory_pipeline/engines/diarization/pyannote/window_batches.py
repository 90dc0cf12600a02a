"""Windows of several recordings through a network together, each recording answerable for its own faults alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sensory_pipeline.core.errors import EngineError, brief
from sensory_pipeline.engines.faults import FAULTS, of_the_device, short_of_memory


class Window(NamedTuple):
    """recording: its number among those that go together; number: the window's in it."""

    recording: int
    number: int


class WindowBatches:
    """size: windows that go together at most. Too many for the device's memory are not tried again."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(
        self, windows: Iterable[Window], compute: Callable[[list[Window]], None], faults: dict[int, EngineError]
    ) -> None:
        """Compute batch by batch all windows but those of recordings that have a fault.

        Where a batch fails, halves of it are tried, so that what one recording does befalls no other.
        faults: by number of the recording; those that are found are added.
        """
        waiting = deque(windows)
        while waiting:
            taken = [waiting.popleft() for _ in range(min(self.size, len(waiting)))]
            if batch := [window for window in taken if window.recording not in faults]:
                self._run_one(batch, compute, faults)

    def _run_one(
        self, batch: list[Window], compute: Callable[[list[Window]], None], faults: dict[int, EngineError]
    ) -> None:
        try:
            compute(batch)
            return
        except FAULTS as error:
            short, fault = short_of_memory(error), engine_error(error)
        # not before the error is gone, which holds on to all that was being computed
        if len(batch) == 1:
            faults[batch[0].recording] = fault
            return
        size, known, middle = self.size, len(faults), len(batch) // 2
        if short:
            self.size = min(size, middle)
        self.run(batch[:middle], compute, faults)
        self.run(batch[middle:], compute, faults)
        if len(faults) > known:  # then it was not for being so many
            self.size = size


def engine_error(error: Exception) -> EngineError:
    """What an error says about the recording that it came from. Raises it anew where it is not about that."""
    if of_the_device(error):
        raise error
    reason = brief(error)
    if short_of_memory(error):
        return EngineError(
            f"pyannote has too little memory for this recording, however few windows of it go together ({reason}): "
            "end what else uses the device, process it on another one, or cut it"
        )
    return EngineError(f"pyannote failed on this recording ({reason})")
