"""A batch that fails is tried again in parts, so that what one item of it does befalls no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sensory_pipeline.core.errors import EngineError
from sensory_pipeline.engines.faults import FAULTS

Item = TypeVar("Item")
Result = TypeVar("Result")


def halves(batch: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    """Of a batch of at least two."""
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def halving(
    batch: Sequence[Item],
    compute: Callable[[Sequence[Item]], Iterable[Result]],
    fault: Callable[[Exception, Sequence[Item]], EngineError],
    parts: Callable[[Sequence[Item]], Iterable[Sequence[Item]]] = halves,
) -> list[Result | EngineError]:
    """The result of each item, or what it fails with alone.

    Args:
        batch: One item at least.
        compute: Results in the order of the items.
        fault: What an error says about the items that it came from. Raises it anew where it is not about them.
        parts: What a batch of several that failed is tried in, one part after the other.
    """
    try:
        return list(compute(batch))
    except FAULTS as error:
        failed = fault(error, batch)
    # out of the handler, so that the error no longer holds what filled the memory
    if len(batch) == 1:
        return [failed]
    return [result for part in parts(batch) for result in halving(part, compute, fault, parts)]
