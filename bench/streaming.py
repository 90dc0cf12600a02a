"""Live speech: how soon words arrive, and how many of those that the whole recording would give.

    python -m bench.streaming --json bench/results/streaming.json

The English recordings of samples/real are sent to `sensory serve` in real time, by `--streams` clients at once. The
latency of a word is the time from its end in the sound to its arrival: first as a partial word, then as a final one. It
includes errors of the model's word times. "Taken back" are final words that begin before an earlier final word has
ended, or that arrive with a number again. Words are compared with those of the same service's batch answer for the same
file, by the rules of normalisation.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.comparison import Verdict, conditions
from bench.normalisation import normalised
from bench.recordings import SAMPLES
from bench.served import served
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.client import AudioClient, StreamingClient
from sensory_pipeline.client.results import Word
from sensory_pipeline.client.streaming import CHUNK_S, paced
from sensory_pipeline.settings import cores

RECORDINGS = ("audiobook.flac", "kennedy_1961.flac", "meeting.flac", "telephone_call.wav")
FINAL_S, PARTIAL_S, SHARE = 2.0, 0.8, 0.95
"""Thresholds: median seconds to a final and to a partial word, and share of the batch answer's words."""
_RATE = 16_000
_SAME_S = 0.5  # words whose starts are closer than this are the same word
_PACKAGES = ("faster-whisper", "ctranslate2", "onnxruntime", "uvicorn", "websockets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """One recording, streamed once.

    Attributes:
        name: Its name.
        duration_s: Its length in seconds.
        final_s: Latency of each word in seconds.
        partial_s: The same, until it first appeared as a partial word.
        taken_back: Number of words that were taken back.
        text: Text of the final words.
        batch: Text of the batch answer.
    """

    name: str
    duration_s: float
    final_s: tuple[float, ...]
    partial_s: tuple[float, ...]
    taken_back: int
    text: str
    batch: str

    @property
    def in_both(self) -> tuple[int, int]:
        """Number of words of the batch answer that are also in the stream's text, and number of all its words."""
        ours, batch = (normalised(text, "en").split() for text in (self.text, self.batch))
        blocks = SequenceMatcher(a=batch, b=ours, autojunk=False).get_matching_blocks()
        return sum(block.size for block in blocks), len(batch)


def streamed(url: str, name: str, batch: str) -> Streamed:
    """Stream a recording in real time.

    Args:
        url: URL of the service.
        name: The recording.
        batch: Text of the batch answer.
    """
    sound = decode(SAMPLES / "real" / name, max_duration_s=120).pcm
    data = sound.samples.tobytes()
    step = round(_RATE * CHUNK_S) * 2
    began = time.monotonic()
    chunks = paced((data[start : start + step] for start in range(0, len(data), step)), _RATE)
    shown: list[tuple[Word, float]] = []
    final: list[tuple[Word, float]] = []
    last_s, number, taken_back = 0.0, 0, 0
    for message in StreamingClient(url).stream(chunks, language="en"):
        now = time.monotonic() - began
        shown += ((word, now) for word in (*message.words, *message.partial))
        if message.words:
            taken_back += message["number"] != number + 1
            number = message["number"]
        for word in message.words:
            taken_back += word.start < last_s
            last_s = word.end
            final.append((word, now))
    return Streamed(
        name=name,
        duration_s=sound.duration_ms / 1000,
        final_s=tuple(now - word.end for word, now in final),
        partial_s=tuple(_first(word, shown) - word.end for word, _ in final),
        taken_back=taken_back,
        text=" ".join(word.text for word, _ in final),
        batch=batch,
    )


def _first(word: Word, shown: Sequence[tuple[Word, float]]) -> float:
    """Return when a word was first shown."""
    return min(
        now
        for other, now in shown
        if normalised(other.text, "en") == normalised(word.text, "en") and abs(other.start - word.start) < _SAME_S
    )


def verdicts(found: Sequence[Streamed]) -> list[Verdict]:
    """Check the thresholds, which are for one stream on two cores with tiny.en."""
    final, partial = _spread([each.final_s for each in found]), _spread([each.partial_s for each in found])
    same, words = (sum(counts) for counts in zip(*(each.in_both for each in found), strict=True))
    taken_back = sum(each.taken_back for each in found)
    return [
        Verdict(what=f"final words: median {FINAL_S} s", found=f"{final[0]:.2f} s", met=final[0] <= FINAL_S),
        Verdict(what=f"partial words: median {PARTIAL_S} s", found=f"{partial[0]:.2f} s", met=partial[0] <= PARTIAL_S),
        Verdict(what="no word is taken back", found=str(taken_back), met=not taken_back),
        Verdict(
            what=f"at least {SHARE:.0%} of the batch answer's words",
            found=f"{same} of {words}, {same / words:.1%}",
            met=same >= SHARE * words,
        ),
    ]


def _spread(latencies: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the median and the 95th percentile."""
    found = np.percentile([latency for each in latencies for latency in each], [50, 95])
    return float(found[0]), float(found[1])


def table(found: Sequence[Streamed]) -> Table:
    """Return a table with a row for each recording."""
    shown = Table()
    for column in ("recording", "s", "final, median", "p95", "partial, median", "p95", "taken back", "of batch words"):
        shown.add_column(column, justify="left" if column == "recording" else "right")
    for name, those in [*((each.name, [each]) for each in found), ("all", list(found))]:
        final, partial = _spread([each.final_s for each in those]), _spread([each.partial_s for each in those])
        same, words = (sum(counts) for counts in zip(*(each.in_both for each in those), strict=True))
        shown.add_row(
            name,
            f"{sum(each.duration_s for each in those):.0f}",
            *(f"{seconds:.2f}" for seconds in (*final, *partial)),
            str(sum(each.taken_back for each in those)),
            f"{same / words:.1%}",
        )
    return shown


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whisper", default="tiny.en", help="model: a name, a hub id or a folder")
    parser.add_argument("--streams", type=int, default=1, help="clients at once")
    parser.add_argument("--recordings", nargs="+", default=RECORDINGS, help="of samples/real")
    parser.add_argument("--texts", action="store_true", help="show the live and the batch transcripts")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    console = Console(width=140)
    with served(arguments.whisper) as url:
        with AudioClient(url) as client:
            batch = {name: client.process(SAMPLES / "real" / name, language="en").text for name in arguments.recordings}
        with ThreadPoolExecutor(arguments.streams) as threads:
            asked = [threads.submit(streamed, url, name, batch[name]) for name in arguments.recordings]
            found = [each.result() for each in asked]
    console.print(table(found))
    if arguments.texts:
        for each in found:
            console.print(f"{each.name}\n  live:  {each.text}\n  batch: {each.batch}", markup=False)
    judged = verdicts(found)
    for verdict in judged:
        verdict.show(console)
    if arguments.json:
        facts = {
            **conditions(_PACKAGES),
            "whisper": Path(arguments.whisper).name,
            "cores": cores(),
            "streams": arguments.streams,
            "verdicts": [asdict(verdict) for verdict in judged],
            "recordings": {
                each.name: {
                    "duration_s": each.duration_s,
                    "words": len(each.final_s),
                    **dict(zip(("final_median_s", "final_p95_s"), _rounded([each.final_s]), strict=True)),
                    **dict(zip(("partial_median_s", "partial_p95_s"), _rounded([each.partial_s]), strict=True)),
                    "taken_back": each.taken_back,
                    **dict(zip(("in_batch_answer", "batch_words"), each.in_both, strict=True)),
                }
                for each in found
            },
        }
        arguments.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    sys.exit(not all(verdict.met for verdict in judged))


def _rounded(latencies: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(round(seconds, 3) for seconds in _spread(latencies))


if __name__ == "__main__":
    main()
