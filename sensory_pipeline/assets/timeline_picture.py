"""The timeline of a run as a picture: a row for each engine process, and the device above them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

import dagster as dg

from sensory_pipeline.assets.picture import INK
from sensory_pipeline.core.timeline import Activity, Idle, Kind, Timeline, condensed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: dict[Kind, str] = {"waiting": "#b8bec5", "host": "#d98032", "device": "#3b82c4"}
"""Drawn in this order, so that the most important lies on top."""
IDLE = "#d1524f"
MOST_DRAWN = 2000
"""Activities; more could not be distinguished in a picture 900 points wide."""
MOST_LISTED = 200
"""Activities in an event of Dagster, which should stay small."""


def timeline_metadata(timeline: Timeline, *, seen: bool) -> dict[str, dg.MetadataValue]:
    """Return the picture, its numbers, and the share of the time in which the device was idle.

    Args:
        timeline: The timeline.
        seen: Whether somebody may look at the picture; else there is none.
    """
    seconds = timeline.end_s - timeline.start_s
    return {
        **({"timeline": _image(timeline)} if seen else {}),
        "timeline_json": dg.MetadataValue.json(timeline.as_json(most=MOST_LISTED)),
        "device_idle_share": dg.MetadataValue.float(
            round(1 - timeline.busy_s("device") / seconds, 3) if seconds else 0.0
        ),
    }


def _image(timeline: Timeline) -> dg.MetadataValue:
    image = base64.b64encode(png(timeline)).decode()
    return dg.MetadataValue.md(f"![what each engine process did when](data:image/png;base64,{image})")


def png(timeline: Timeline) -> bytes:
    """Draw a timeline as a transparent PNG, for light and dark pages."""
    image = BytesIO()
    draw(timeline).savefig(image, format="png", transparent=True)
    return image.getvalue()


def draw(timeline: Timeline) -> Figure:
    """Draw a timeline, with time in seconds from left to right."""
    # imported late: it takes half a second, and Dagster's servers do not need it
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = ("device", *timeline.lanes)
    figure = Figure(figsize=(9, 0.9 + 0.32 * len(rows)), dpi=100, layout="constrained")
    axes = figure.subplots()

    def spans(activities: Iterable[Activity | Idle]) -> list[tuple[float, float]]:
        return [(activity.start_s - timeline.start_s, activity.end_s - activity.start_s) for activity in activities]

    drawn = condensed(timeline.activities, most=MOST_DRAWN)
    of_device = [activity for activity in drawn if activity.kind == "device"]
    axes.broken_barh(spans(of_device), (-0.4, 0.8), color=COLOURS["device"], linewidth=0)
    axes.broken_barh(spans(timeline.idle()), (-0.4, 0.8), color=IDLE, linewidth=0)
    for row, lane in enumerate(timeline.lanes, 1):
        for kind, colour in COLOURS.items():
            mine = [activity for activity in drawn if (activity.lane, activity.kind) == (lane, kind)]
            axes.broken_barh(spans(mine), (row - 0.4, 0.8), color=colour, linewidth=0)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlim(0, timeline.end_s - timeline.start_s)
    axes.set_xlabel("seconds", color=INK)
    axes.tick_params(colors=INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    names = {
        "a model calculates": COLOURS["device"],
        "decoding, features, ...": COLOURS["host"],
        "waiting for a recording": COLOURS["waiting"],
        "the device is idle": IDLE,
    }
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in names.items()],
        loc="outside upper center",
        ncols=len(names),
        frameon=False,
        labelcolor=INK,
        fontsize=8,
    )
    return figure
