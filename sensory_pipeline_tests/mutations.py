"""Files that were damaged, or made to do harm, by chance: as fuzzers do it."""

from __future__ import annotations

import random
from collections.abc import Sequence

_EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\1\0\0\0")


def mutated(whole: Sequence[bytes], rng: random.Random) -> bytes:
    """One of them after one to eight changes."""
    return changed(rng.choice(whole), whole, rng)


def changed(one: bytes, whole: Sequence[bytes], rng: random.Random) -> bytes:
    """One after one to eight changes, some of which bring in parts of the others."""
    content = bytearray(one)
    for _ in range(rng.randint(1, 8)):
        if len(content) < 16:
            break
        # where headers are, half of the time
        place = rng.randrange(min(len(content), 512) if rng.random() < 0.5 else len(content))
        length = rng.choice((1, 4, 16, 256, 4096))
        match rng.randrange(7):
            case 0:
                content[place] ^= 1 << rng.randrange(8)
            case 1:
                content[place : place + 4] = rng.choice(_EXTREMES)
            case 2:
                del content[place : place + length]
            case 3:
                content[place:place] = content[place : place + length] * rng.randint(1, 20)
            case 4:
                content[place : place + length] = rng.randbytes(length)
            case 5:
                other = rng.choice(whole)
                at = rng.randrange(len(other))
                content[place : place + length] = other[at : at + length]
            case _:
                del content[place:]
    return bytes(content)
