"""The service under load, compared with sequential calls and with a plain FastAPI and faster-whisper server.

    python -m bench.gateway FOLDER --whisper base --json bench/results/gateway.json

FOLDER holds labelled recordings (labelled.py); English ones of 2 to 15 s are sent over loopback. Each client sends the
next recording as soon as it has the answer to the last one. After 429 it waits for as long as Retry-After says. For
each number of clients both servers are started, send the recordings back once in turn, and then get the load. In one
more load the queue of our service is so small that it must refuse. Both have the same weights (int8, beam 5, word
times, voice activity detection) and as many threads as there are cores.

Throughput counts what was answered while clients sent. Latency is from the first attempt to the answer. A recording is
lost if it is neither answered nor refused with 429 and Retry-After. "Other text" counts answers that differ from the
one that the same server gave without load. Memory is the resident memory of all processes of the server.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.comparison import Verdict, conditions
from bench.growth import judged
from bench.json_report import write_json
from bench.load import LONGEST_S, SHORTEST_S, Load, Recording, load, recordings, texts_of
from bench.served import served, served_plainly
from sensory_pipeline.settings import cores

CLIENTS = (1, 8, 64)
BATCHED_CLIENTS, GAIN = 8, 1.5
"""So many clients must get at least so many times the throughput of one."""
SMALL_QUEUE_S = 60.0
RECORDINGS = 24
OURS, SMALL_QUEUE, PLAIN = "ours", f"ours, {SMALL_QUEUE_S:.0f} s may wait", "plain server"
_PACKAGES = ("faster-whisper", "ctranslate2", "onnxruntime", "fastapi", "uvicorn", "httpx2")
_COLUMNS = (
    *("server", "clients", "audio s per s", "requests per s", "p50 s", "p95 s", "answered", "429", "lost"),
    *("other text", "MB at the start", "middle", "end"),
)

Server = Callable[[str], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A server under a load.

    Attributes:
        server: Its name.
        load: What it did.
        alone: The transcripts that it gave before, one after the other, by name of the recording.
    """

    server: str
    load: Load
    alone: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.server}, {self.load.clients} {'client' if self.load.clients == 1 else 'clients'}"

    @property
    def memory_mb(self) -> tuple[float, float, float]:
        """Memory at the start, in the middle and at the end."""
        noted = self.load.memory_mb
        return noted[0], noted[len(noted) // 2], noted[-1]

    def row(self) -> dict[str, str | float]:
        """Return the figures, in the order of the columns."""
        load = self.load
        return {
            "server": self.server,
            "clients": load.clients,
            "audio_per_s": round(load.audio_per_s, 2),
            "requests_per_s": round(load.requests_per_s, 2),
            "p50_s": round(load.latency_s(50), 2),
            "p95_s": round(load.latency_s(95), 2),
            "answered": len(load.answered),
            "refusals": load.refusals,
            "lost": len(load.lost),
            "other_text": load.others(self.alone),
            **dict(zip(("start_mb", "middle_mb", "end_mb"), map(round, self.memory_mb), strict=True)),
        }


def loads(whisper: str, sent: Sequence[Recording], seconds: float) -> Iterator[Loaded]:
    """Yield each server under each load, each time started anew."""
    small = partial(served, SENSORY_QUEUE_AUDIO_HOURS=str(SMALL_QUEUE_S / 3600))
    servers: list[tuple[str, Server, int]] = []
    for clients in CLIENTS:
        servers += [(OURS, served, clients), (PLAIN, served_plainly, clients)]
    servers.append((SMALL_QUEUE, small, max(CLIENTS)))
    for name, server, clients in servers:
        with server(whisper) as url:
            alone = texts_of(url, sent)
            yield Loaded(server=name, load=load(url, sent, clients=clients, seconds=seconds), alone=alone)


def verdicts(found: Sequence[Loaded]) -> list[Verdict]:
    """Check the limits, which are for our service."""
    speeds = {each.load.clients: each.load.audio_per_s for each in found if each.server == OURS}
    ratio = speeds[BATCHED_CLIENTS] / speeds[1]
    judgements = [
        Verdict(
            what=f"{BATCHED_CLIENTS} clients: at least {GAIN} times the throughput of one",
            found=f"{ratio:.2f}",
            met=ratio >= GAIN,
        )
    ]
    for each in (each for each in found if each.server != PLAIN):
        lost, others = each.load.lost, each.load.others(each.alone)
        why = ", ".join(sorted({outcome.failure for outcome in lost}))
        judgements += [
            Verdict(what=f"{each}: nothing is lost", found=f"{len(lost)} {why}".strip(), met=not lost),
            Verdict(what=f"{each}: the same text as without load", found=f"{others} differ", met=not others),
            judged(str(each), each.load.memory_mb),
        ]
    refused = sum(each.load.refusals for each in found if each.server == SMALL_QUEUE)
    return [*judgements, Verdict(what="a full queue refuses", found=f"{refused} times", met=refused > 0)]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="labelled recordings")
    parser.add_argument("--whisper", default="base", choices=("base", "tiny.en"), help="model of the model store")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each load")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    console = Console(width=160)
    sent = recordings(arguments.folder, RECORDINGS)
    title = f"{len(sent)} recordings of {SHORTEST_S:.0f} to {LONGEST_S:.0f} s, {arguments.seconds:.0f} s each load"
    table = Table(title=title)
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "server" else "right")
    found = []
    for each in loads(arguments.whisper, sent, arguments.seconds):
        found.append(each)
        table.add_row(*map(str, each.row().values()))
        console.print(f"{each}: {each.load.audio_per_s:.1f} s of audio per second")
    console.print(table)
    checked = verdicts(found)
    for verdict in checked:
        verdict.show(console)
    if arguments.json:
        facts = {
            **conditions(_PACKAGES),
            "whisper": arguments.whisper,
            "cores": cores(),
            "seconds": arguments.seconds,
            "recordings": len(sent),
            "recordings_s": round(sum(recording.duration_s for recording in sent), 1),
            "verdicts": [asdict(verdict) for verdict in checked],
            "loads": [each.row() for each in found],
        }
        write_json(arguments.json, facts)
    sys.exit(not all(verdict.met for verdict in checked))


if __name__ == "__main__":
    main()
