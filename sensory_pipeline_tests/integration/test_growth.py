"""What bench/memory.py calls flat, and what bench/pipeline.py calls orchestration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from bench.growth import judged
from bench.processes import children_s, orchestration

WORK = "sum(range(10_000_000))"


@pytest.mark.parametrize(
    ("noted", "flat"),
    [
        ([100, 300, 500, 900, 900, 900, 900, 910, 905, 915], True),
        ([100, 300, 500, 900, 900, 900, 940, 980, 1020, 1060], False),
        ([2000, 2000, 2000, 2000, 2000, 2000, 2050, 2050, 2050, 2050], True),
    ],
)
def test_memory_may_grow_only_at_first(noted: Sequence[float], flat: bool) -> None:
    assert judged("whisper", noted).met == flat


def test_work_of_other_processes_is_not_counted() -> None:
    before = children_s()
    found = orchestration(lambda: subprocess.run([sys.executable, "-c", WORK], check=True))
    assert 0 < found.engines_cpu_s <= children_s() - before
    assert found.own_cpu_s < found.engines_cpu_s
    assert found.cpu_share < 0.5
    assert 0 <= found.wall_share <= 1
