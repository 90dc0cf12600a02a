"""A picture of a partition: how long its recordings are, who talks how much, and the emotions.

Dagster's UI shows it as an image within Markdown, which together with the rest of its event should stay below 50 KB. It
is transparent, so its colours must be readable on a light and on a dark background.
"""

import base64
from io import BytesIO
from typing import TYPE_CHECKING

import dagster as dg

from sensory_pipeline.lake.partition_stats import PartitionStats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#7d8590"
"""Text and lines: a contrast of over 3.5 with both white and black."""
RANKS = ("#3b82c4", "#d98032", "#3f9d6b", "#a06cc9")
"""First speaker, second, third, all others."""
EMOTIONS = {"angry": "#d1524f", "sad": "#5b7fc7", "neutral": "#8b939c", "positive": "#4b9f66"}


def picture(stats: PartitionStats) -> dg.MetadataValue:
    """Draw the statistics as Markdown with an image; they must contain at least one recording."""
    image = base64.b64encode(draw(stats)).decode()
    return dg.MetadataValue.md(f"![durations, talk and emotions](data:image/png;base64,{image})")


def draw(stats: PartitionStats) -> bytes:
    """Draw the statistics as a PNG of about 20 KB."""
    # imported late: it takes half a second, and Dagster's servers do not need it
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
    """Draw a bar for each number of speakers, divided by each speaker's share of the talk."""
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
