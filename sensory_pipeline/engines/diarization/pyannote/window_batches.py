"""Runs a network over windows of several recordings together, so that a recording's fault fails only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from sensory_pipeline.core.errors import EngineError, brief
from sensory_pipeline.engines.halving import halves, halving
from sensory_pipeline.engines.library_errors import fewer_may_do, short_of_memory


class Window(NamedTuple):
    """One window of one recording.

    Attributes:
        recording: Number of the recording among those processed together.
        number: Number of the window in it.
    """

    recording: int
    number: int


class WindowBatches:
    """Makes batches of windows. A size that was too large for the device's memory is not tried again.

    Attributes:
        size: The most windows in a batch.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def run(
        self, windows: Iterable[Window], compute: Callable[[list[Window]], None], faults: dict[int, EngineError]
    ) -> None:
        """Compute all windows batch by batch, except those of recordings that have a fault.

        If a batch fails, its halves are tried, so that one recording cannot fail the others.

        Args:
            windows: Of all recordings.
            compute: Runs the network over a batch.
            faults: By number of the recording; those that are found are added.
        """

        def batches(windows: Sequence[Window]) -> Iterator[list[Window]]:
            """Each as large as the size is when its turn comes."""
            while windows:
                taken, windows = windows[: self.size], windows[self.size :]
                if batch := [window for window in taken if window.recording not in faults]:
                    yield batch

        def computed(batch: Sequence[Window]) -> list[None]:
            compute(list(batch))
            return [None] * len(batch)

        def fault(error: Exception, batch: Sequence[Window]) -> EngineError:
            failed = engine_error(error)
            if len(batch) == 1:
                faults[batch[0].recording] = failed
            elif short_of_memory(error):
                self.size = min(self.size, len(batch) // 2)
            return failed

        for whole in batches(list(windows)):
            size, known = self.size, len(faults)
            halving(whole, computed, fault, lambda batch: chain.from_iterable(map(batches, halves(batch))))
            if len(faults) > known:  # then a recording was the cause, not the size
                self.size = size


def engine_error(error: Exception) -> EngineError:
    """The error for the recording that caused it.

    Raises:
        Exception: `error` itself, if it is not about the recording.
    """
    short, reason = fewer_may_do(error), brief(error)
    if short:
        return EngineError(
            f"pyannote has too little memory for this recording, however few windows of it go together ({reason}): "
            "end what else uses the device, process it on another one, or cut it"
        )
    return EngineError(f"pyannote failed on this recording ({reason})")
