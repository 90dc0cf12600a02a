"""Backfills a prepared lake from Dagster's UI, and checks how its runs shared the devices.

    python -m scripts.browser.backfill --work /tmp/backfill --pictures docs/pictures

It makes a few tiny recordings for every date and shard, cut from samples/, starts `sensory dev`, opens the asset graph
in Chromium, presses Materialize, picks all partitions and launches the backfill. When it has ended, Dagster's own
events show which run had which device when. It needs Debian's packages chromium and chromium-driver, and about five
minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import wave
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts.browser.chromium import Browser, browser, missing
from scripts.browser.timeline import RUNS, Held, draw, held, meetings, overlooked, waits
from sensory_pipeline.automation.registration import register
from sensory_pipeline.core.recordings import shard_of
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import current_plans
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.dev_server import DevServer, running
from sensory_pipeline_tests.lakes import rows

SAMPLES = Path(__file__).parents[2] / "samples"
PER_PARTITION = 3
DAMAGED_EVERY = 20
BACKFILL = "{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status } } } }"
ENDED = {"COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "CANCELED", "FAILED"}


def made_lake(work: Path, *, shards: int, dates: int, per_partition: int = PER_PARTITION) -> Lake:
    """Return a lake below `work` with pending recordings in every partition; the last date is today."""
    today = datetime.now(UTC)
    lake = Lake.create(work / "lake", shards=shards, start_date=(today - timedelta(days=dates - 1)).date())
    for back in range(dates):
        _fill(work / "in" / f"{back}", (today - timedelta(days=back)).timestamp(), shards, per_partition)
    plans = current_plans(Settings(lake=lake.root))
    register(lake, plans, str(work / "in"), retry_failed=False)
    return lake


def launched(window: Browser, server: DevServer, pictures: Path | None = None) -> str:
    """Materialize everything, as a person does it, and return the id of the backfill."""
    window.open("/asset-groups")
    window.press("Materialize all")
    window.press("All", until="Launch backfill")  # dates, and shards
    if pictures is not None:
        window.picture(pictures / "launch.png")
    window.press("Launch backfill")
    window.wait_for("Created backfill")
    (backfill,) = server.ask(BACKFILL)["partitionBackfillsOrError"]["results"]
    return str(backfill["id"])


def statuses(server: DevServer) -> list[str]:
    """Return the status of all runs."""
    return [run["status"] for run in server.ask(RUNS)["runsOrError"]["results"]]


def ended(server: DevServer) -> bool:
    """Return whether all backfills have ended."""
    found = server.ask(BACKFILL)["partitionBackfillsOrError"]["results"]
    return all(backfill["status"] in ENDED for backfill in found)


def history(server: DevServer) -> list[Held]:
    """Return all runs, which must have ended."""
    return [held(run) for run in server.ask(RUNS)["runsOrError"]["results"]]


def incomplete(lake: Lake) -> list[str]:
    """Return the recordings that are not in the tables as expected: once, with words and speakers or with an error."""
    found = rows(
        lake.root,
        "SELECT name FROM recordings GROUP BY ALL HAVING count(*) != 1 UNION ALL"
        " SELECT name FROM recordings WHERE status = 'pending' UNION ALL"
        " SELECT name FROM recordings r WHERE status = 'ok' AND"
        " (SELECT count(*) FROM stages s WHERE s.recording_id = r.recording_id) != 4",
    )
    published = {name for (name,) in rows(lake.root, "SELECT name FROM recordings")}
    there = {path.name for path in (lake.root.parent / "in").rglob("*.wav")}
    return [name for (name,) in found] + sorted(there ^ published)


def main() -> int:
    """Run the backfill; return 1 if a rule is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="A new folder for the lake and its recordings.")
    parser.add_argument("--pictures", type=Path, required=True, help="Folder for the screenshots.")
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--dates", type=int, default=3)
    given = parser.parse_args()
    if program := missing():
        sys.exit(f"there is no {program}: apt install chromium chromium-driver")
    lake = made_lake(given.work, shards=given.shards, dates=given.dates)
    devices = ",".join(f"cpu:{index}" for index in range(given.devices))
    with (
        running(lake.root, SENSORY_DEVICES=devices, SENSORY_WORKERS="1", SENSORY_PRICE_PER_HOUR="2.5") as server,
        browser(server.url) as window,
    ):
        began = time.monotonic()
        identity = launched(window, server, given.pictures)
        server.wait_until(lambda: statuses(server).count("SUCCESS") > given.shards, within_s=900)
        window.open(f"/runs/b/{identity}")
        window.wait_for("merged_parquet")
        window.picture(given.pictures / "backfill.png")
        server.wait_until(lambda: ended(server), within_s=1800)
        print(f"{time.monotonic() - began:.0f} s from the button to the end")
        runs = history(server)
        see(window, lake, given.pictures)
    draw(runs, given.pictures / "timeline.png")
    return judged(runs, incomplete(lake))


def see(window: Browser, lake: Lake, pictures: Path) -> None:
    """Take pictures of what a finished backfill shows."""
    ((partition,),) = rows(
        lake.root,
        "SELECT date || '|' || shard FROM recordings GROUP BY ALL"
        " ORDER BY count(*) FILTER (status = 'failed') DESC, 1 LIMIT 1",
    )
    window.open("/asset-groups")
    window.wait_for("merged_parquet")
    window.picture(pictures / "assets.png")
    window.open(f"/assets/merged_parquet?view=partitions&partition={partition.replace('|', '%7C')}")
    window.wait_for("[Show Markdown]").click()
    window.picture(pictures / "partition.png")
    window.open("/assets/merged_parquet?view=checks&checkDetail=error_share")
    window.wait_for("Evaluation result")
    window.picture(pictures / "checks.png")
    window.open("/assets/merged_parquet?view=overview")
    window.press("Plots")
    window.scroll_to("audio_hours")
    window.picture(pictures / "plots.png")


def judged(runs: Iterable[Held], lost: list[str]) -> int:
    """Print the figures; return 1 if a rule is broken."""
    found = list(runs)
    met, late, idle = meetings(found), overlooked(found), waits(found)
    starts = [run.began - run.taken for run in found]
    print(f"{len(found)} runs on {dict(Counter(run.device for run in found))}")
    print(f"two runs on one device at once: {len(met)}")
    print(f"runs overlooked while their device was free: {len(late)}")
    print(f"a device free while a run for it was queued: {max(idle):.1f} s at most, {sum(idle) / len(idle):.1f} s mean")
    print(f"from the queue to the first step: {max(starts):.1f} s at most, {sum(starts) / len(starts):.1f} s mean")
    print(f"recordings that are not as they should be: {lost or 'none'}")
    return 1 if met or late or lost else 0


def _fill(folder: Path, modified_at: float, shards: int, per_partition: int) -> None:
    """Add clips of the samples until each shard has enough; a few are empty files."""
    chance = random.Random(folder.name)
    missing_in = dict.fromkeys(range(shards), per_partition)
    made = 0
    folder.mkdir(parents=True)
    while any(missing_in.values()):
        path = folder / f"call-{folder.name}-{made:03d}.wav"
        made += 1
        shard = shard_of(path.resolve().as_uri(), shards)
        if not missing_in[shard]:
            continue
        missing_in[shard] -= 1
        if made % DAMAGED_EVERY == 0:
            path.touch()
        else:
            _clip(chance, path)
        os.utime(path, (modified_at, modified_at))


def _clip(chance: random.Random, path: Path) -> None:
    """Write three to eight seconds of a sample."""
    with wave.open(str(SAMPLES / chance.choice(["train_station.wav", "doctor_appointment.wav"]))) as source:
        frames = int(chance.uniform(3, 8) * source.getframerate())
        source.setpos(chance.randrange(source.getnframes() - frames))
        with wave.open(str(path), "wb") as clip:
            clip.setparams(source.getparams())
            clip.writeframes(source.readframes(frames))


if __name__ == "__main__":
    sys.exit(main())
