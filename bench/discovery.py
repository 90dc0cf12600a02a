"""What a watched bucket costs: its keys are listed and registered tick by tick, in a separate process.

    python -m bench.discovery --keys 100000 --json discovery.json

The server is that of the tests; it answers from memory in a process of its own, so only our part is measured. The first
sweep registers every key, the second finds nothing new; both use the same function and time limit as the sensor's tick.
PostgreSQL is measured too if it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.json_report import write_json
from bench.processes import peak_mb


def measure(keys: int) -> list[dict[str, float | str]]:
    """Measure a listing alone and two sweeps: wall and CPU seconds, ticks, and peak memory in megabytes."""
    from sensory_pipeline.automation.discovery import sweep
    from sensory_pipeline.automation.triggers import SWEEP_S
    from sensory_pipeline.lake.lake import Lake
    from sensory_pipeline.processing.setup import current_plans
    from sensory_pipeline.settings import Settings
    from sensory_pipeline.storage.sources import listed

    found: list[dict[str, float | str]] = []

    def timed(what: str, ticks: int, wall: float, cpu: float) -> None:
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        found.append({"what": what, "ticks": ticks, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb()})

    with tempfile.TemporaryDirectory(prefix="discovery-") as folder:
        settings = Settings(lake=Path(folder) / "lake")
        lake = Lake.create(settings.lake, shards=8, start_date=date(2024, 1, 1), ledger=settings.ledger)
        plans = current_plans(settings)
        wall, cpu = time.perf_counter(), time.process_time()
        count = sum(len(page.objects) for page in listed("s3://calls").pages)
        timed("listed alone", 1, wall, cpu)
        for what, new in (("first sweep", keys), ("second sweep", 0)):
            wall, cpu = time.perf_counter(), time.process_time()
            ticks, registered, complete = 0, 0, False
            while not complete:
                swept = sweep(lake, plans, "s3://calls", seconds=SWEEP_S)
                ticks, registered, complete = ticks + 1, registered + swept.registration.new, swept.complete
            timed(what, ticks, wall, cpu)
            if (count, registered) != (keys, new):
                raise SystemExit(f"listed {count} of {keys}, registered {registered} of {new}")
    return found


def serve(keys: int) -> None:
    """Serve a bucket with this many keys until standard input ends; print the port."""
    from sensory_pipeline_tests.listing_server import FakeBucket, Stored, serving

    now = datetime.now(UTC)
    bucket = FakeBucket({f"calls/{n % 7}/{n:08}.wav": Stored(content=str(n), modified_at=now) for n in range(keys)})
    with serving(bucket) as server:
        print(server.port, flush=True)
        sys.stdin.read()


def main() -> None:
    """Run the server, and one process for each kind of ledger, so that peaks do not add up."""
    from sensory_pipeline_tests.postgres import INSTALLED, postgres
    from sensory_pipeline_tests.s3_servers import Server

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keys", type=int, default=100_000, help="keys in the bucket")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.keys)))
        return
    if arguments.serve:
        serve(arguments.keys)
        return
    own = [sys.executable, "-m", "bench.discovery", "--keys", str(arguments.keys)]
    results = []
    with ExitStack() as running:
        server = subprocess.Popen([*own, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.enter_context(server)
        assert server.stdout is not None
        variables = {**os.environ, **Server(port=int(server.stdout.readline())).variables()}  # noqa: TID251
        ledgers = {"SQLite": ""}
        if INSTALLED:
            ledgers["PostgreSQL"] = running.enter_context(postgres()).new_database()
        for name, url in ledgers.items():
            done = subprocess.run(
                [*own, "--one"],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env={**variables, "SENSORY_LEDGER": url},
            )
            results += [{"ledger": name, **row} for row in json.loads(done.stdout.splitlines()[-1])]
    table = Table("ledger", f"{arguments.keys} keys", "ticks", "wall s", "CPU s", "peak MB")
    for row in results:
        table.add_row(*(f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
