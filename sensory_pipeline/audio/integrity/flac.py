"""FLAC (RFC 9639): STREAMINFO declares the number of samples and the MD5 of their values."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sensory_pipeline.audio.integrity import magic
from sensory_pipeline.audio.integrity.declared import Declared, next_marker

_MARKER_AND_STREAMINFO_BYTES = 4 + 4 + 34
_ANOTHER = magic.FLAC + b"\x00\x00\x00\x22"  # with the header of STREAMINFO


def examine(file: BinaryIO) -> Declared:
    """What STREAMINFO declares, unless the encoder wrote to a pipe; and where another FLAC was joined."""
    header = file.read(_MARKER_AND_STREAMINFO_BYTES)
    end = next_marker(file, _ANOTHER)
    if len(header) < _MARKER_AND_STREAMINFO_BYTES:
        return Declared(end=end)
    packed = int.from_bytes(header[18:26], "big")  # rate 20 bits, channels 3, bits 5, samples 36
    rate, bits, samples = packed >> 44, (packed >> 36 & 0x1F) + 1, packed & (1 << 36) - 1
    md5 = header[26:42]
    return Declared(
        duration_s=samples / rate if samples and rate else None,
        bits=bits,
        md5=md5 if any(md5) else None,
        end=end,
    )


def signed_bytes(samples: npt.NDArray[np.signedinteger[Any]], bits: int) -> bytes:
    """The bytes that the MD5 is computed over: each sample in whole bytes, lowest first.

    Args:
        samples: As FFmpeg decodes them, with their bits at the top of 16 or 32.
        bits: Bits of a sample.
    """
    value_bytes = (bits + 7) // 8
    low_end = samples >> (samples.itemsize * 8 - bits)
    in_bytes = np.ascontiguousarray(low_end).view(np.uint8).reshape(-1, samples.itemsize)
    return in_bytes[:, :value_bytes].tobytes()
