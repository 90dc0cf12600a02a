"""How many values the tuples of a pickle hold, found without running it.

Tuples are keys of dicts, and Python hashes them by recursion. About 100,000 nested tuples overflow the stack; sixty
tuples, each of which holds the one before it twice, take practically for ever. Those of a tensor hold a dozen values.
"""

from __future__ import annotations

import pickletools
from typing import Final

MOST_VALUES = 1_000
"""Values that a tuple may hold, including those of the tuples in it."""
_MARK: Final = -1
_HASHED = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET"})


def check(program: bytes) -> None:
    """Check that no tuple holds too many values.

    Raises:
        ValueError: A tuple holds more than MOST_VALUES, or it is no pickle.
    """
    stack: list[int] = []  # of each value, how many it holds
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(program):
        name = opcode.name
        if name == "MARK":
            stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument or 0)])
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            taken = _taken(stack, [kind.name for kind in opcode.stack_before])
            if name in _HASHED and 1 + sum(taken) > MOST_VALUES:
                raise ValueError("its tuples hold more than a network's")
            stack += [1 + sum(taken) if name in _HASHED else 1 for _ in opcode.stack_after]


def _taken(stack: list[int], before: list[str]) -> list[int]:
    """What an opcode takes from the stack."""
    taken = []
    if "mark" in before:
        while (value := stack.pop()) != _MARK:
            taken.append(value)
        before = before[: before.index("mark")]
    return taken + [stack.pop() for _ in before]
