"""Live speech: how soon words arrive, and how many of those that the whole recording would give.

    python -m bench.streaming --json bench/results/streaming.json

The English recordings of samples/real are sent to `sensory serve` in real time, by `--streams` clients at once. The
latency of a word is the time from its end in the sound to its arrival: first as a partial word, then as a final one. It
includes errors of the model's word times. "Taken back" are final words that begin before an earlier final word has
ended, or that arrive with a number again. Words are compared with those of the same service's batch answer for the same
file, by the rules of normalisation.py. The line below the table says how many of its own words the batch answer repeats
if the sound begins 0.1 to 0.5 s later: live words can hardly do better.

    python -m bench.streaming --at-once --whisper base --json bench/results/streams-base.json

sends the same speech with one client, two at once, three at once and so on, for `--seconds` each, until the median
latency of final words is above the threshold. The last number before is how many streams at once the machine takes.

    python -m bench.streaming --long --json bench/results/stream-1h.json

sends the same speech over and over, faster than it was spoken, as one stream of an hour, and records the memory of the
service.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.comparison import Verdict, conditions
from bench.growth import judged as judged_memory
from bench.json_report import write_json
from bench.long_stream import long_stream
from bench.recordings import SAMPLES
from bench.served import served
from bench.simultaneous import MOST, SECONDS, levels, levels_table, most_at_once
from bench.streamed import Streamed, in_both, spread, streamed
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.pcm_file import write_pcm
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.client import AudioClient
from sensory_pipeline.settings import cores

RECORDINGS = ("audiobook.flac", "kennedy_1961.flac", "meeting.flac", "telephone_call.wav")
FINAL_S, PARTIAL_S, SHARE = 2.0, 0.8, 0.95
"""Thresholds: median seconds to a final and to a partial word, and share of the batch answer's words."""
DELAYS_S = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Silence before the sound, which changes no word for a listener."""
LONG_S = 3600.0
"""Length of the long stream in seconds."""
_PACKAGES = ("faster-whisper", "ctranslate2", "onnxruntime", "uvicorn", "websockets")


def verdicts(found: Sequence[Streamed]) -> list[Verdict]:
    """Check the thresholds, which are for one stream on two cores with tiny.en."""
    final, partial = spread([each.final_s for each in found]), spread([each.partial_s for each in found])
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


def table(found: Sequence[Streamed]) -> Table:
    """Return a table with a row for each recording."""
    shown = Table()
    for column in ("recording", "s", "final, median", "p95", "partial, median", "p95", "taken back", "of batch words"):
        shown.add_column(column, justify="left" if column == "recording" else "right")
    for name, those in [*((each.name, [each]) for each in found), ("all", list(found))]:
        final, partial = spread([each.final_s for each in those]), spread([each.partial_s for each in those])
        same, words = (sum(counts) for counts in zip(*(each.in_both for each in those), strict=True))
        shown.add_row(
            name,
            f"{sum(each.duration_s for each in those):.0f}",
            *(f"{seconds:.2f}" for seconds in (*final, *partial)),
            str(sum(each.taken_back for each in those)),
            f"{same / words:.1%}",
        )
    return shown


def by_recording(arguments: argparse.Namespace, console: Console) -> tuple[dict[str, object], list[Verdict]]:
    """Stream each recording once; return the figures for JSON and the verdicts."""
    with served(arguments.whisper) as url:
        with AudioClient(url) as client, TemporaryDirectory() as folder:
            batch = {name: client.process(SAMPLES / "real" / name, language="en").text for name in arguments.recordings}
            repeated = [
                in_both(text, client.process(_delayed(name, delay_s, Path(folder)), language="en").text)
                for name, text in batch.items()
                for delay_s in DELAYS_S
            ]
        with ThreadPoolExecutor(arguments.streams) as threads:
            asked = [
                threads.submit(streamed, url, _sound(name), name=name, batch=batch[name])
                for name in arguments.recordings
            ]
            found = [each.result() for each in asked]
    console.print(table(found))
    same, words = (sum(counts) for counts in zip(*repeated, strict=True))
    console.print(f"of its own words, the batch answer repeats {same / words:.1%} if the sound begins a moment later")
    if arguments.texts:
        for each in found:
            console.print(f"{each.name}\n  live:  {each.text}\n  batch: {each.batch}", markup=False)
    facts = {
        each.name: {
            "duration_s": each.duration_s,
            "words": len(each.final_s),
            **dict(zip(("final_median_s", "final_p95_s"), _rounded(spread([each.final_s])), strict=True)),
            **dict(zip(("partial_median_s", "partial_p95_s"), _rounded(spread([each.partial_s])), strict=True)),
            "taken_back": each.taken_back,
            **dict(zip(("in_batch_answer", "batch_words"), each.in_both, strict=True)),
        }
        for each in found
    }
    return {"streams": arguments.streams, "recordings": facts, "batch_repeats": [same, words]}, verdicts(found)


def at_once(arguments: argparse.Namespace, console: Console) -> dict[str, object]:
    """Find the largest number of streams whose final words come in time; return the figures for JSON."""
    sounds = [_sound(name) for name in arguments.recordings]
    found = []
    with served(arguments.whisper, SENSORY_LIVE_SESSIONS=str(MOST)) as url:
        for level in levels(url, sounds, seconds=arguments.seconds, limit_s=FINAL_S):
            found.append(level)
            console.print(f"{level.streams} at once: final words after {level.final_s[0]:.2f} s in the median")
    console.print(levels_table(found))
    most = most_at_once(found, FINAL_S)
    console.print(f"streams at once with final words after {FINAL_S} s in the median: {most}")
    facts = [
        {
            "streams": level.streams,
            "words": level.words,
            **dict(zip(("final_median_s", "final_p95_s"), _rounded(level.final_s), strict=True)),
            **dict(zip(("partial_median_s", "partial_p95_s"), _rounded(level.partial_s), strict=True)),
            "behind_s": round(level.behind_s, 3),
        }
        for level in found
    ]
    return {"seconds": arguments.seconds, "limit_s": FINAL_S, "most_at_once": most, "levels": facts}


def over_long(arguments: argparse.Namespace, console: Console) -> tuple[dict[str, object], list[Verdict]]:
    """Stream an hour of speech; return the figures for JSON and the verdict about memory."""
    with served(arguments.whisper) as url:
        found = long_stream(url, [_sound(name) for name in arguments.recordings], LONG_S)
    start, middle, end = (found.memory_mb[place] for place in (0, len(found.memory_mb) // 2, -1))
    console.print(
        f"{found.audio_s:.0f} s of sound in {found.wall_s:.0f} s, {found.words} words; memory {start:.0f} MB at the "
        f"start, {middle:.0f} in the middle, {end:.0f} at the end, at most {max(found.memory_mb):.0f}"
    )
    return asdict(found), [judged_memory("the service", found.memory_mb)]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whisper", default="tiny.en", help="model: a name, a hub id or a folder")
    parser.add_argument("--streams", type=int, default=1, help="clients at once")
    parser.add_argument("--recordings", nargs="+", default=RECORDINGS, help="of samples/real")
    parser.add_argument("--texts", action="store_true", help="show the live and the batch transcripts")
    parser.add_argument("--at-once", action="store_true", help="find out how many clients at once are served in time")
    parser.add_argument("--long", action="store_true", help="measure memory over a stream of an hour")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each stream with --at-once")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    console = Console(width=140)
    judged: list[Verdict] = []
    if arguments.at_once:
        facts = at_once(arguments, console)
    else:
        facts, judged = (over_long if arguments.long else by_recording)(arguments, console)
        for verdict in judged:
            verdict.show(console)
        facts["verdicts"] = [asdict(verdict) for verdict in judged]
    if arguments.json:
        about = {**conditions(_PACKAGES), "whisper": Path(arguments.whisper).name, "cores": cores()}
        write_json(arguments.json, about | facts)
    sys.exit(not all(verdict.met for verdict in judged))


def _sound(name: str) -> Waveform:
    return decode(SAMPLES / "real" / name, max_duration_s=120).pcm


def _delayed(name: str, delay_s: float, folder: Path) -> Path:
    """The recording with silence before it."""
    sound = _sound(name)
    silence = np.zeros((1, round(delay_s * SAMPLE_RATE)), sound.samples.dtype)
    path = folder / f"{name}.wav"
    write_pcm(path, Waveform(samples=np.concatenate([silence, sound.samples], axis=1)))
    return path


def _rounded(seconds: Sequence[float]) -> list[float]:
    return [round(each, 3) for each in seconds]


if __name__ == "__main__":
    main()
