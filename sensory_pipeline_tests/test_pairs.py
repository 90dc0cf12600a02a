"""The harness of bench/engines.py: turns, ratios, what is kept."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from bench.pairs import Race, Timed, race, save

pytest.importorskip("torch")

FOUND = Race(
    title="counting",
    audio_s=2.0,
    contenders={
        "theirs": Timed(wall_s=(4.0, 9.0, 8.0), cpu_s=(2.0, 2.0, 2.0)),
        "ours": Timed(wall_s=(2.0, 3.0, 2.0), cpu_s=(1.0, 2.0, 0.5)),
    },
)


def test_contenders_take_turns() -> None:
    done: list[str] = []
    found = race("counting", 1.0, {name: partial(done.append, name) for name in ("a", "b")}, rounds=3)
    assert done == ["a", "b"] * 3
    assert [len(timed.wall_s) for timed in found.contenders.values()] == [3, 3]


def test_a_ratio_is_the_median_over_rounds() -> None:
    assert FOUND.ratio("theirs", "ours") == 3.0
    assert FOUND.ratio("theirs", "ours", cpu=True) == 2.0
    assert FOUND.table().row_count == 2


def test_figures_are_kept_with_what_they_were_taken_on(tmp_path: Path) -> None:
    save(tmp_path / "results" / "counting.json", [FOUND], ("numpy",), identical=True)
    kept = json.loads((tmp_path / "results" / "counting.json").read_text())
    assert kept["races"][0]["contenders"]["ours"]["wall_s"] == [2.0, 3.0, 2.0]
    assert kept["machine"]["cores"] > 0
    assert set(kept["versions"]) == {"python", "numpy"}
    assert kept["identical"]
