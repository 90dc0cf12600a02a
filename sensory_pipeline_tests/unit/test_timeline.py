"""What a run's processes did when: the arithmetic, and the picture."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensory_pipeline.assets.timeline_picture import COLOURS, png, timeline_metadata
from sensory_pipeline.core.timeline import Activity, Kind, Timeline, condensed
from sensory_pipeline.engines.activity_log import ActivityLog


def did(lane: str, kind: Kind, start_s: float, end_s: float, what: str = "x") -> Activity:
    return Activity(lane=lane, kind=kind, what=what, start_s=start_s, end_s=end_s)


RUN = Timeline(
    activities=(
        did("normalized_audio 1", "host", 100, 104, "decoding"),
        did("transcripts 1", "waiting", 100, 102),
        did("transcripts 1", "device", 102, 105, "whisper"),
        did("diarization 1", "device", 104, 106, "pyannote"),
        did("transcripts 1", "host", 106, 107, "features"),
        did("transcripts 1", "device", 108, 110, "whisper"),
    )
)


def test_the_device_is_busy_while_any_process_computes() -> None:
    assert RUN.busy_s("device") == 6
    assert RUN.busy_s("device", "host") == 9
    assert (RUN.start_s, RUN.end_s) == (100, 110)


def test_a_pause_lists_what_processes_did() -> None:
    first, second = RUN.idle()
    assert (first.start_s, first.end_s, RUN.meanwhile(first)) == (100, 102, ("normalized_audio 1: decoding",))
    assert (second.start_s, second.end_s, RUN.meanwhile(second)) == (106, 108, ("transcripts 1: features",))


def test_json_counts_from_the_beginning() -> None:
    found = json.loads(json.dumps(RUN.as_json(most=100)))
    assert (found["seconds"], found["device_busy_s"]) == (10, 6)
    assert found["device_idle"][0] == {"start_s": 0, "end_s": 2, "meanwhile": ["normalized_audio 1: decoding"]}
    assert ["transcripts 1", "device", "whisper", 8, 10] in found["activities"]


activities = st.lists(
    st.builds(
        lambda lane, kind, start, length: did(lane, kind, start, start + length),
        st.sampled_from(["a", "b"]),
        st.sampled_from(get_args(Kind)),
        st.floats(0, 1000),
        st.floats(0, 50),
    ),
    min_size=1,
    max_size=60,
)


@given(activities, st.integers(6, 60))
def test_condensing_keeps_every_lane_and_loses_no_work(made: list[Activity], most: int) -> None:
    few = condensed(made, most=most)
    assert len(few) <= max(most, 6)  # 2 lanes of 3 kinds
    whole, less = Timeline(activities=tuple(made)), Timeline(activities=few)
    assert set(less.lanes) == set(whole.lanes)
    assert less.busy_s("device") >= whole.busy_s("device") - 1e-6
    assert (less.start_s, less.end_s) == (whole.start_s, whole.end_s)


def test_the_picture_has_every_kind() -> None:
    assert set(COLOURS) == set(get_args(Kind))
    assert png(RUN).startswith(b"\x89PNG")
    metadata = timeline_metadata(RUN, seen=True)
    assert metadata["device_idle_share"].value == pytest.approx(0.4)
    assert len(str(metadata)) < 50_000


def test_an_activity_that_raises_is_noted_too() -> None:
    log = ActivityLog()
    with pytest.raises(ValueError, match="odd"), log.noting("device", "whisper"):
        raise ValueError("odd")
    (noted,) = log.taken()
    assert (noted.kind, noted.what, noted.end_s >= noted.start_s) == ("device", "whisper", True)
    assert log.taken() == []


def test_where_nobody_can_look_there_are_numbers_alone() -> None:
    assert set(timeline_metadata(RUN, seen=False)) == {"timeline_json", "device_idle_share"}
