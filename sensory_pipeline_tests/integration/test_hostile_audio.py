"""What a file costs is bounded by its size and by the sound in it, even if it was made to cost more.

Files are decoded in a process of its own with little memory, so that one that takes more fails there.
"""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.core.errors import AudioTooLong, SensoryError
from sensory_pipeline_tests import places
from sensory_pipeline_tests.command import sensory
from sensory_pipeline_tests.encoded_audio import ENCODINGS, tone
from sensory_pipeline_tests.hostile_audio import HOSTILE, hours_of_silence, many_edits
from sensory_pipeline_tests.mutations import mutated

DATA = places.DATA
MEMORY_BYTES = 256 << 20
"""Beside what the process has when it begins; a second of sound, and FFmpeg's buffers."""
HANGS_S = 120.0
"""Seconds for what takes one, on a machine that is busy."""
CPU_S = 10.0


@dataclass(frozen=True, slots=True)
class Cost:
    """outcome: the class of the error, or "decoded"; cpu_s: seconds of a core; memory_mb: beyond the files before."""

    outcome: str
    cpu_s: float
    memory_mb: float


def _serve(pipe: Connection) -> None:
    decode(DATA / "jfk.flac", max_duration_s=60)  # so that all libraries are there
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    pipe.send(None)
    while True:
        path = pipe.recv()
        began, before_mb = time.process_time(), _peak_mb()
        try:
            decode(path, max_duration_s=12 * 3600)
            outcome = "decoded"
        except SensoryError as error:
            outcome = type(error).__name__
        except Exception as error:  # noqa: BLE001 - which is what the test is about
            outcome = f"unhandled {type(error).__name__}: {error}"
        pipe.send(Cost(outcome, time.process_time() - began, _peak_mb() - before_mb))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Decoder:
    """A process that decodes file after file, started again when one has ended it."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.poll(HANGS_S)
        self._pipe.recv()

    def cost(self, path: Path) -> Cost:
        self._pipe.send(path)
        try:
            if self._pipe.poll(HANGS_S):
                found: Cost = self._pipe.recv()
                return found
            outcome = "hung"
        except EOFError:
            outcome = "died"
        self.close()
        self._start()
        return Cost(outcome, HANGS_S, 0)

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    found = Decoder()
    yield found
    found.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_small_files_cost_little(name: str, decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(HOSTILE[name]())
    cost = decoder.cost(path)
    expected = {"many_edits": "AudioTooLong", "hours_of_silence": "UnreadableAudio"}
    assert cost.outcome == expected.get(name, "decoded")
    assert cost.cpu_s < CPU_S
    assert cost.memory_mb < 64


@pytest.mark.parametrize("form", ["an index of 64 bits", "a list elsewhere", "other flags"])
def test_edits_are_counted_at_every_place(form: str, tmp_path: Path) -> None:
    content = many_edits()
    moov = content.index(b"moov") - 4
    match form:
        case "an index of 64 bits":
            length = int.from_bytes(content[moov : moov + 4], "big")
            content = content[:moov] + b"\0\0\0\1moov" + (length + 8).to_bytes(8, "big") + content[moov + 8 :]
        case "a list elsewhere":
            content = content.replace(b"edts", b"minf", 1)
        case _:
            content = content.replace(b"elst\0\0\0\0", b"elst\0\0\0\7")
    (tmp_path / "a.m4a").write_bytes(content)
    with pytest.raises(AudioTooLong):
        decode(tmp_path / "a.m4a", max_duration_s=12 * 3600)


def test_edits_that_play_existing_sound_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(many_edits(3))
    assert decode(tmp_path / "a.m4a", max_duration_s=200).pcm.duration_ms == pytest.approx(180_000, abs=100)


def test_hours_of_sound_take_no_memory(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "silence.flac"
    path.write_bytes(hours_of_silence(hours=4, rate=4_000))
    assert path.stat().st_size < 30_000
    assert decoder.cost(path).outcome == "decoded", "460 MB of it"


def test_mutated_files_cost_little(soak: bool, decoder: Decoder, tmp_path: Path) -> None:
    whole = [tone(name) for name in ENCODINGS] + [HOSTILE["one_sample_a_block"]()[:20_000]]
    bad: dict[str, str] = {}
    for index in range(20_000 if soak else 200):
        rng = random.Random(index)
        path = tmp_path / "mutated"
        path.write_bytes(mutated(whole, rng))
        cost = decoder.cost(path)
        if cost.outcome.startswith(("unhandled", "hung", "died")) or cost.cpu_s > CPU_S:
            bad[f"seed {index}"] = f"{cost.outcome}, {cost.cpu_s:.1f} s"
    assert bad == {}


def test_one_file_is_processed_under_supervision(tmp_path: Path) -> None:
    done = sensory("process", DATA / "jfk.flac", "--tasks", "diarization", cwd=tmp_path, SENSORY_WORKER_MEMORY_MB="128")
    assert (done.returncode, done.stdout) == (1, "")
    assert "took more than 128 MB of memory" in done.stderr
