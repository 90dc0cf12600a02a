"""Classifies exceptions of numerical libraries by their messages: out of memory, a broken device."""

from __future__ import annotations

import re

FAULTS = (ArithmeticError, AssertionError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What torch, CTranslate2 and libraries built on them raise because of their input, or when memory is short."""

_NO_MEMORY = re.compile(r"out of memory|ALLOC_FAILED|can't allocate memory|not enough memory", re.IGNORECASE)
_DEVICE = re.compile(r"cuda|cublas|cudnn", re.IGNORECASE)


def short_of_memory(error: Exception) -> bool:
    """Whether memory was short, on a GPU or not, so that a smaller batch might succeed.

    >>> short_of_memory(RuntimeError("CUDA failed with error out of memory"))
    True
    """
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def fewer_may_do(error: Exception) -> bool:
    """Whether a batch failed because memory was short, and not because of its content.

    Raises:
        Exception: `error` itself, if it is about the GPU, on which nothing else would succeed either.
    """
    if of_the_device(error):
        raise error
    return short_of_memory(error)


def of_the_device(error: Exception) -> bool:
    """Whether the error is about the GPU, which then fails on everything, and not about the content.

    >>> of_the_device(RuntimeError("cuDNN failed: CUDNN_STATUS_EXECUTION_FAILED"))
    True
    """
    return not short_of_memory(error) and _DEVICE.search(str(error)) is not None
