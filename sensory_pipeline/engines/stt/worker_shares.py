"""A batch in shares, one for each worker of CTranslate2."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, wait
from math import ceil
from typing import TypeVar

Given = TypeVar("Given")
Result = TypeVar("Result")


def shares(indices: Sequence[int], workers: int) -> list[Sequence[int]]:
    """Divide indices among workers, as evenly as possible.

    >>> shares([3, 4, 5, 6, 7], 2)
    [[3, 4, 5], [6, 7]]
    """
    size = ceil(len(indices) / workers)
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def side_by_side(workers: Executor, call: Callable[[Given], Result], given: Iterable[Given]) -> list[Result]:
    """The results of all calls, in order.

    If a call fails, the error is raised when all have ended: what is tried next needs the memory that they hold.
    """
    futures = [workers.submit(call, each) for each in given]
    wait(futures)
    return [future.result() for future in futures]
