"""What an exception of a numerical library is about, of which they say nothing but in words."""

from __future__ import annotations

import re

FAULTS = (ArithmeticError, AssertionError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What torch, CTranslate2 and those who build on them raise over what they are given, or when memory is short."""

_NO_MEMORY = re.compile(r"out of memory|ALLOC_FAILED|can't allocate memory|not enough memory", re.IGNORECASE)
_DEVICE = re.compile(r"cuda|cublas|cudnn", re.IGNORECASE)


def short_of_memory(error: Exception) -> bool:
    """Whether fewer at once might do, on a GPU or not.

    >>> short_of_memory(RuntimeError("CUDA failed with error out of memory"))
    True
    """
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def fewer_may_do(error: Exception) -> bool:
    """Whether a batch failed for want of memory, and not over what was calculated.

    Raises the error anew where it is about the GPU, on which nothing else would succeed either.
    """
    if of_the_device(error):
        raise error
    return short_of_memory(error)


def of_the_device(error: Exception) -> bool:
    """Whether it is not about what was calculated, but about the GPU, which then fails on everything.

    >>> of_the_device(RuntimeError("cuDNN failed: CUDNN_STATUS_EXECUTION_FAILED"))
    True
    """
    return not short_of_memory(error) and _DEVICE.search(str(error)) is not None
