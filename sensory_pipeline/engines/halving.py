"""Tries a failed batch again in parts, so that one item cannot fail the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sensory_pipeline.core.errors import EngineError
from sensory_pipeline.engines.library_errors import FAULTS

Item = TypeVar("Item")
Result = TypeVar("Result")


def halves(batch: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    """The two halves of a batch of at least two items."""
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def halving(
    batch: Sequence[Item],
    compute: Callable[[Sequence[Item]], Iterable[Result]],
    fault: Callable[[Exception, Sequence[Item]], EngineError],
    parts: Callable[[Sequence[Item]], Iterable[Sequence[Item]]] = halves,
) -> list[Result | EngineError]:
    """The result of each item, or the error it fails with alone.

    Args:
        batch: At least one item.
        compute: Results in the order of the items.
        fault: What an error means for the items it came from. Raises the error again if it is not about them.
        parts: The parts in which a failed batch of several items is tried, one after the other.
    """
    try:
        return list(compute(batch))
    except FAULTS as error:
        failed = fault(error, batch)
    # outside the handler, so that the error no longer refers to what filled the memory
    if len(batch) == 1:
        return [failed]
    return [result for part in parts(batch) for result in halving(part, compute, fault, parts)]
