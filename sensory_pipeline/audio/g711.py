"""The telephone's samples of 8 bits (ITU-T G.711), as samples of 16."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Law = Literal["mu", "a"]
RATE = 8_000
"""Hz, of the telephone."""
_BIAS = 0x84  # of mu-law


def _mu_law() -> npt.NDArray[np.int16]:
    code = ~np.arange(256) & 0xFF
    level = (((code & 0x0F) << 3) + _BIAS << ((code & 0x70) >> 4)) - _BIAS
    signed: npt.NDArray[np.int16] = np.where(code & 0x80, -level, level).astype("<i2")
    return signed


def _a_law() -> npt.NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    segment = (code & 0x70) >> 4
    level = ((code & 0x0F) << 4) + np.where(segment, 0x108, 8) << np.maximum(segment - 1, 0)
    signed: npt.NDArray[np.int16] = np.where(code & 0x80, level, -level).astype("<i2")
    return signed


_LAWS: dict[Law, npt.NDArray[np.int16]] = {"mu": _mu_law(), "a": _a_law()}


def expanded(data: bytes, law: Law) -> bytes:
    """PCM16, little-endian.

    >>> expanded(bytes([0xFF, 0x80]), "mu").hex(), expanded(bytes([0xD5]), "a").hex()
    ('00007c7d', '0800')
    """
    return _LAWS[law][np.frombuffer(data, np.uint8)].tobytes()
