"""A partition at a glance: how long its recordings are, who talks how much, in which mood.

Dagster's UI shows it as an image within Markdown; with the rest of an event that should stay below
50 KB. It lies on the page's own background, so its colours have to do on a light one and a dark one.
"""

import base64
from io import BytesIO
from typing import TYPE_CHECKING

import dagster as dg

from sensory_pipeline.lake.partition_stats import PartitionStats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#7d8590"
"""Letters and lines: a contrast of over 3.5 with white as with black."""
RANKS = ("#3b82c4", "#d98032", "#3f9d6b", "#a06cc9")
"""First speaker, second, third, all others."""
EMOTIONS = {"angry": "#d1524f", "sad": "#5b7fc7", "neutral": "#8b939c", "positive": "#4b9f66"}


def picture(stats: PartitionStats) -> dg.MetadataValue:
    """The stats drawn, as Markdown; it has to hold a recording."""
    image = base64.b64encode(draw(stats)).decode()
    return dg.MetadataValue.md(f"![durations, talk and emotions](data:image/png;base64,{image})")


def draw(stats: PartitionStats) -> bytes:
    """The stats as a PNG of some 20 KB."""
    # imported late: it takes half a second that Dagster's servers need not wait for
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6), dpi=100, layout="constrained")
    durations, talk, emotions = figure.subplots(1, 3)
    _durations(durations, stats)
    _talk(talk, stats)
    _emotions(emotions, stats)
    for axes in (durations, talk, emotions):
        axes.title.set_color(INK)
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
    png = BytesIO()
    figure.savefig(png, format="png", transparent=True)
    return png.getvalue()


def _durations(axes: "Axes", stats: PartitionStats) -> None:
    minutes = [seconds / 60 for seconds in stats.durations_s]
    axes.hist(minutes, bins=20, range=(0, max(minutes)), color=RANKS[0])
    axes.set_title(f"{len(stats.durations_s)} recordings")
    axes.set_xlabel("minutes")
    axes.locator_params(axis="y", integer=True)


def _talk(axes: "Axes", stats: PartitionStats) -> None:
    """A bar for each number of speakers, cut by how much of the talk each of them has."""
    for row, shares in enumerate(stats.talk.values()):
        left = 0.0
        for rank, share in enumerate(shares):
            axes.barh(row, share, left=left, color=RANKS[min(rank, len(RANKS) - 1)], edgecolor=INK, linewidth=0.5)
            left += share
    axes.set_ylabel("speakers")
    axes.set_yticks(range(len(stats.talk)), [str(speakers) for speakers in stats.talk])
    axes.set_title("share of talk")
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter("{x:.0%}")


def _emotions(axes: "Axes", stats: PartitionStats) -> None:
    axes.barh(list(EMOTIONS), [stats.emotions.get(name, 0) for name in EMOTIONS], color=list(EMOTIONS.values()))
    axes.set_title("emotion of utterances")
    axes.locator_params(axis="x", integer=True)
