"""A backfill that a person launches in Dagster's UI, in a real browser: one run a device, none overlooked.

scripts/browser/backfill.py does the same at full size, and makes the pictures of docs/operations.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.browser.backfill import history, incomplete, launched, made_lake, statuses
from scripts.browser.chromium import browser, missing
from scripts.browser.timeline import Held, meetings, overlooked, waits
from sensory_pipeline_tests.dev_server import running

DEVICES = 2
SHARDS = 2
DATES = 2


@pytest.mark.skipif(missing() is not None, reason=f"there is no {missing()}: apt install chromium chromium-driver")
def test_a_backfill_from_the_browser(tmp_path: Path) -> None:
    lake = made_lake(tmp_path, shards=SHARDS, dates=DATES, per_partition=1)
    devices = ",".join(f"cpu:{index}" for index in range(DEVICES))
    with running(lake.root, SENSORY_DEVICES=devices, SENSORY_WORKERS="1") as server:
        with browser(server.url) as window:
            launched(window, server)
        server.wait_until(lambda: statuses(server) == ["SUCCESS"] * SHARDS * DATES, within_s=300)
        runs = history(server)
    assert {run.device for run in runs} == set(devices.split(","))
    assert meetings(runs) == []
    assert overlooked(runs) == []
    assert incomplete(lake) == []


def run(device: str, queued: float, taken: float, ended_at: float) -> Held:
    return Held(partition="p", device=device, queued=queued, taken=taken, began=taken + 1, ended=ended_at)


FIRST = run("cpu:0", 0, 1, 10)


@pytest.mark.parametrize(
    ("others", "met", "late", "waited"),
    [
        ([run("cpu:0", 0, 12, 20)], 0, 0, [2]),
        ([run("cpu:0", 15, 18, 20)], 0, 0, [3]),
        ([run("cpu:0", 0, 9, 20)], 1, 0, [-1]),
        ([run("cpu:0", 0, 30, 40), run("cpu:1", 1, 11, 12)], 0, 0, [20]),
        ([run("cpu:0", 0, 30, 40), run("cpu:1", 1, 11, 12), run("cpu:1", 1, 20, 22)], 0, 1, [8, 20]),
        ([run("cpu:0", 3, 30, 40), run("cpu:1", 1, 11, 12), run("cpu:1", 1, 20, 22)], 0, 0, [8, 20]),
    ],
)
def test_the_rules_of_a_timeline(others: list[Held], met: int, late: int, waited: list[float]) -> None:
    runs = [*others, FIRST]
    assert (len(meetings(runs)), len(overlooked(runs))) == (met, late)
    assert sorted(waits(runs)) == waited
