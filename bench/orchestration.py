"""What everything around the engines costs: one-second files through the whole chain with engines that do nothing.

    python -m bench.orchestration --files 250 500 1000 --json orchestration.json

Prints, for each number of files, milliseconds per recording (wall time, and CPU time of the run's own process) and its
peak memory, which should not grow with the number of files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.json_report import write_json
from bench.processes import peak_mb


def measure(files: int, folder: Path) -> dict[str, float]:
    """Measure one ingest in this process: milliseconds per recording, and its peak memory in megabytes."""
    from sensory_pipeline_tests.audio_files import tone
    from sensory_pipeline_tests.lakes import ingested

    for index in range(files):
        tone(folder / "in" / f"{index:05d}.wav", 1000, hertz=200 + index)
    wall, cpu = time.perf_counter(), time.process_time()
    report = ingested(folder / "in", folder / "lake", shards=8, workers=2)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if (report.published, report.failed) != (files, 0):
        raise SystemExit(f"published {report.published} of {files}, {report.failed} failed")
    return {
        "files": files,
        "wall_ms_per_recording": 1000 * wall / files,
        "cpu_ms_per_recording": 1000 * cpu / files,
        "peak_mb": peak_mb(),
    }


def main() -> None:
    """Measure each number of files in a separate process, so that peaks do not add up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, nargs="+", default=[250, 500, 1000], help="numbers of files to try")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        with tempfile.TemporaryDirectory(prefix="orchestration-") as folder:
            print(json.dumps(measure(arguments.one, Path(folder))))
        return
    results = []
    for count in arguments.files:
        command = [sys.executable, "-m", "bench.orchestration", "--one", str(count)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    table = Table("files", "wall ms / recording", "CPU ms / recording", "peak MB")
    for row in results:
        table.add_row(*(f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
