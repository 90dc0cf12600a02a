"""Pictures of a night that failed, for docs/operations.md: a model's file is damaged, then restored.

    python -m scripts.browser.night --work /tmp/night --pictures docs/pictures

It needs what scripts.browser.backfill needs, and `make models`: the engine is Whisper with the tests' tiny model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from scripts.browser.backfill import made_lake, statuses
from scripts.browser.chromium import browser, missing
from scripts.browser.timeline import RUNS
from sensory_pipeline_tests.dev_server import running
from sensory_pipeline_tests.lakes import rows

MODEL = Path(__file__).parents[2] / "sensory_pipeline_tests" / "data" / "miniatures" / "whisper"


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="A new folder.")
    parser.add_argument("--pictures", type=Path, required=True, help="Folder for the screenshots.")
    given = parser.parse_args()
    if program := missing():
        sys.exit(f"there is no {program}: apt install chromium chromium-driver")
    lake = made_lake(given.work, shards=2, dates=1)
    weights = shutil.copytree(MODEL, given.work / "model") / "model.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with (
        running(
            lake.root,
            SENSORY_SOURCES=json.dumps([str(given.work / "in")]),
            SENSORY_ARRIVAL_WAIT_S="0",
            SENSORY_WORKERS="1",
            WHISPER_MODEL_SIZE=str(weights.parent),
        ) as server,
        browser(server.url) as window,
    ):
        server.wait_until(lambda: statuses(server) == ["FAILURE"] * 2, within_s=300)
        window.open("/runs")
        window.wait_for("Failed").click()
        window.wait_for("Failure")
        window.picture(given.pictures / "night-runs.png", height=400)
        run = server.ask(RUNS)["runsOrError"]["results"][0]["runId"]
        window.open(f"/runs/{run}")
        window.wait_for("RUN_FAILURE")
        window.picture(given.pictures / "night-run.png", height=358)  # below are the paths of this machine
        print(rows(lake.root, "SELECT status, count(*) FROM recordings GROUP BY ALL"))
        weights.write_bytes(whole)
        window.press("Re-execute all")
        server.wait_until(lambda: "SUCCESS" in statuses(server), within_s=300)
    print(rows(lake.root, "SELECT status, count(*) FROM recordings GROUP BY ALL"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
