"""What is published and doubtful is warned of, for the right reason, and drawn."""

from __future__ import annotations

import os
import time
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensory_pipeline.assets.picture import EMOTIONS, INK, RANKS
from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.core.quality import (
    DRIFT_RECORDINGS,
    MOST_SPEAKERS,
    RULES,
    PartitionCounts,
    language_drift,
    verdicts,
)
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested
from sensory_pipeline_tests.trivial_engines import CULPRIT_MS, mumbling

GOOD = PartitionCounts(
    ok=40,
    failed=0,
    pending=0,
    transcribed=40,
    empty=0,
    speakers_out_of_range=0,
    words=900,
    mean_probability=0.8,
    languages={"en": 40},
    known_languages={"en": 400},
)
NOTHING = replace(
    GOOD, ok=0, transcribed=0, words=0, mean_probability=None, languages={}, known_languages={}
)  # fmt: skip


def broken(counts: PartitionCounts) -> set[str]:
    return {name for name, verdict in verdicts(counts).items() if not verdict.passed}


@pytest.mark.parametrize(
    ("counts", "rules"),
    [
        (GOOD, set()),
        (NOTHING, set()),
        (replace(GOOD, failed=4), set()),
        (replace(GOOD, failed=5), {"error_share"}),
        (replace(NOTHING, failed=1), {"error_share"}),
        (replace(GOOD, empty=8), set()),
        (replace(GOOD, empty=9), {"empty_transcripts"}),
        (replace(GOOD, speakers_out_of_range=1), {"speaker_counts"}),
        (replace(GOOD, mean_probability=0.49), {"low_confidence"}),
        (replace(GOOD, pending=1), {"pending_left"}),
        (replace(GOOD, languages={"en": 29, "de": 11}), set()),
        (replace(GOOD, languages={"en": 27, "de": 13}), {"language_drift"}),
        (replace(GOOD, languages={"de": DRIFT_RECORDINGS - 1}), set()),
        (replace(GOOD, languages={"de": 40}, known_languages={"en": DRIFT_RECORDINGS - 1}), set()),
    ],
)
def test_each_rule_breaks_beyond_its_limit(counts: PartitionCounts, rules: set[str]) -> None:
    assert broken(counts) == rules
    assert set(verdicts(counts)) == set(RULES)


mixes = st.dictionaries(st.sampled_from(["en", "de", "ru", "ja"]), st.integers(1, 500))


@given(mixes, mixes)
def test_drift_is_a_distance(one: dict[str, int], other: dict[str, int]) -> None:
    drift = language_drift(one, other)
    assert 0 <= drift <= 1 + 1e-9
    assert drift == pytest.approx(language_drift(other, one))
    assert language_drift(one, {name: 3 * count for name, count in one.items()}) == pytest.approx(0)


def test_a_doubtful_partition_causes_warnings_and_a_picture(tmp_path: Path) -> None:
    yesterday = time.time() - 24 * 3600
    for index in range(DRIFT_RECORDINGS):
        os.utime(tone(tmp_path / "before" / f"{index}.wav", 300 + index), (yesterday, yesterday))
        tone(tmp_path / "today" / f"{index}.wav", CULPRIT_MS + (index + 4) // 5)
    for index in range(4):
        (tmp_path / "today" / f"empty{index}.wav").write_bytes(b"")
    ingested(tmp_path / "before", tmp_path / "lake", history=True, shards=1)
    report = ingested(tmp_path / "today", tmp_path / "lake", history=True, shards=1, engines=mumbling, min_speakers=2)
    assert report.failed == 4
    assert report.run_failures == []
    with open_instance(tmp_path / "lake" / ".dagster") as instance:
        today, before = instance.get_runs()
        assert warned(instance, before) == {}
        assert warned(instance, today) == {
            "error_share": "4 of 24 recordings failed",
            "speaker_counts": "20 recordings have fewer or more speakers than their settings say, "
            f"or more than {MOST_SPEAKERS}",
            "language_drift": "100% of the recordings are in languages "
            "that earlier partitions do not lead one to expect",
            "low_confidence": "19 words have a mean probability of 0.20",
        }
        (shown,) = instance.fetch_materializations(dg.AssetKey("merged_parquet"), limit=1).records
    assert shown.asset_materialization is not None
    text = str(shown.asset_materialization.metadata["picture"].value)
    png = b64decode(text.partition("base64,")[2].removesuffix(")"))
    assert png.startswith(b"\x89PNG")
    assert len(text) < 50_000


def warned(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, str | None]:
    """Check -> what it said, of those that were not passed."""
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    found = [
        event.asset_check_evaluation_data for event in events if event.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    assert {check.check_name for check in found} == {"invariants", *RULES}
    return {check.check_name: check.description for check in found if not check.passed}


@pytest.mark.parametrize("color", [INK, *RANKS, *EMOTIONS.values()])
def test_the_picture_is_readable_on_light_and_dark(color: str) -> None:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (light + 0.05) > 2.5, "on white"
    assert (light + 0.05) / 0.05 > 4, "on black"
