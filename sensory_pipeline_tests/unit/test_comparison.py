"""The harness of bench/engines.py: turns, ratios, verdicts, what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.comparison import Comparison, Limit, Timed, benchmark, save

pytest.importorskip("torch")

FOUND = Comparison(
    title="counting",
    audio_s=2.0,
    threads=1,
    contenders={
        "theirs": Timed(wall_s=(4.0, 9.0, 1.0), cpu_s=(2.0, 2.0, 2.0)),
        "ours": Timed(wall_s=(2.0, 3.0, 2.0), cpu_s=(1.0, 2.0, 0.5)),
    },
    limits=(Limit(faster="ours", slower="theirs", at_least=1.5),),
    checks={"identical": True},
)


def test_contenders_run_alternately() -> None:
    done: list[str] = []
    found = benchmark("counting", 1.0, {name: partial(done.append, name) for name in ("a", "b")}, rounds=3, threads=1)
    assert done == ["a", "b"] * 3
    assert [len(timed.wall_s) for timed in found.contenders.values()] == [3, 3]


def test_a_ratio_is_the_median_over_rounds() -> None:
    wall, cpu = FOUND.ratio("theirs", "ours"), FOUND.ratio("theirs", "ours", cpu=True)
    assert (wall.least, wall.median, wall.largest) == (0.5, 2.0, 3.0)
    assert cpu.median == 2.0


@pytest.mark.parametrize(
    ("at_least", "never_slower", "met"), [(2.0, False, True), (2.1, False, False), (2.0, True, False)]
)
def test_a_limit_concerns_wall_time(at_least: float, never_slower: bool, met: bool) -> None:
    limit = Limit(faster="ours", slower="theirs", at_least=at_least, never_slower=never_slower)
    assert [verdict.met for verdict in replace(FOUND, limits=(limit,)).verdicts()] == [met, True]


def test_missed_limits_are_shown() -> None:
    console = Console(file=StringIO(), width=120)
    replace(FOUND, checks={"identical": False}).show(console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "met: ours: at least 1.50 times as fast as theirs: 2.00 (0.50 to 3.00)" in shown
    assert "MISSED: identical" in shown


def test_results_include_the_machine_and_the_versions(tmp_path: Path) -> None:
    save(tmp_path / "results" / "counting.json", [FOUND], ("numpy",), batch_size=8)
    kept = json.loads((tmp_path / "results" / "counting.json").read_text())
    ours = kept["comparisons"][0]["contenders"]["ours"]
    assert ours["wall_s"] == [2.0, 3.0, 2.0]
    assert ours["median_wall_s"] == 2.0
    assert ours["times_as_fast_wall"] == {"median": 2.0, "least": 0.5, "largest": 3.0}
    assert [verdict["met"] for verdict in kept["comparisons"][0]["verdicts"]] == [True, True]
    assert kept["machine"]["cores"] > 0
    assert set(kept["versions"]) == {"python", "numpy"}
    assert kept["batch_size"] == 8
