"""The committed samples are what their truth says, and the script makes them again."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from bench.truth import Truth, read_truths
from scripts.flite import Flite, shared_library
from scripts.make_samples import KEPT, TRUNCATED, cast, perform, read_scripts, silence
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline_tests import places

SAMPLES = places.SAMPLES
TRUTHS = read_truths(SAMPLES)
SPOKEN = [truth for truth in TRUTHS if truth.turns]
RATE = 16_000
STEP = RATE // 100
SLACK_S = 0.03
"""Lossy codecs smear an edge by so much."""

every_spoken = pytest.mark.parametrize("truth", SPOKEN, ids=lambda truth: truth.file)


def decode(file: Path) -> npt.NDArray[np.float64]:
    """Shape (channels, frames), 16 kHz."""
    resampler = av.AudioResampler("s16p", None, RATE)
    with av.open(str(file)) as container:
        frames = [*container.decode(audio=0), None]
        parts = [part.to_ndarray() for frame in frames for part in resampler.resample(frame)]
    return np.concatenate(parts, axis=1).astype(np.float64) / 32768


def levels_db(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of every 10 ms."""
    blocks = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
    levels: npt.NDArray[np.float64] = 20 * np.log10(np.sqrt(np.mean(blocks**2, axis=1)) + 1e-9)
    return levels


def test_there_is_enough_of_everything() -> None:
    assert len(SPOKEN) >= 12
    assert all(10 <= truth.duration_s <= 40 for truth in SPOKEN)
    assert 240 <= sum(truth.duration_s for truth in SPOKEN) <= 300
    assert {truth.condition for truth in SPOKEN} == {
        "two speakers", "three speakers", "monologue", "stereo", "telephone",
    }  # fmt: skip
    assert {Path(truth.file).suffix for truth in SPOKEN} == {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"}
    assert len({truth.sample_rate_hz for truth in SPOKEN}) >= 5
    assert {speaker.voice for truth in SPOKEN for speaker in truth.speakers.values()} == {
        "slt", "rms", "awb", "kal16",
    }  # fmt: skip
    assert sum(file.stat().st_size for file in SAMPLES.iterdir() if file.is_file()) <= 6_000_000


def test_at_least_120_sentences_are_spoken_as_written() -> None:
    scripts = {script.file: script for script in read_scripts()}
    sentences = [sentence for script in scripts.values() for _, *said in script.turns for sentence in said]
    assert len(set(sentences)) >= 120
    assert scripts.keys() == {truth.file for truth in SPOKEN}
    for truth in SPOKEN:
        said = [(turn.speaker, turn.text) for turn in truth.turns]
        assert said == [(who, " ".join(text)) for who, *text in scripts[truth.file].turns]
        assert [word.text for turn in truth.turns for word in turn.words] == [
            word.strip(".,?") for turn in truth.turns for word in turn.text.split()
        ]


@every_spoken
def test_times_are_in_order(truth: Truth) -> None:
    assert truth.turns[0].start_s > 0.2
    assert truth.turns[-1].end_s < truth.duration_s - 0.2
    for before, after in pairwise(truth.turns):
        assert 0.199 <= after.start_s - before.end_s <= 0.901
    for turn in truth.turns:
        edges = [edge for word in turn.words for edge in (word.start_s, word.end_s)]
        assert edges == sorted(edges)
        assert all(word.end_s - word.start_s > 0.02 for word in turn.words)
        assert abs(edges[0] - turn.start_s) < 0.001
        assert abs(edges[-1] - turn.end_s) < 0.001


@every_spoken
def test_speech_is_inside_the_turns_and_nowhere_else(truth: Truth) -> None:
    samples = decode(SAMPLES / truth.file)
    assert abs(samples.shape[1] / RATE - truth.duration_s) < 0.04
    assert np.abs(samples).max() < 1
    levels = levels_db(samples.sum(axis=0))
    at = (np.arange(len(levels)) + 0.5) * STEP / RATE
    inside, near = (
        np.any([(turn.start_s - slack < at) & (at < turn.end_s + slack) for turn in truth.turns], axis=0)
        for slack in (0.0, SLACK_S)
    )
    assert levels[~near].max() < np.median(levels[inside]) - 12
    floor = np.median(levels[~near])
    for turn in truth.turns:
        for edge_s in (turn.start_s, turn.end_s):
            edge = (turn.start_s < at) & (at < turn.end_s) & (np.abs(at - edge_s) < 0.05)
            assert levels[edge].max() > floor + 3


@every_spoken
def test_files_are_of_their_format(truth: Truth) -> None:
    with av.open(str(SAMPLES / truth.file)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name.startswith(truth.codec.removeprefix("lib").removesuffix("mp3lame"))
        assert (stream.rate, stream.channels) == (truth.sample_rate_hz, truth.channels)


def test_each_side_of_the_stereo_call_has_its_channel() -> None:
    (truth,) = (truth for truth in SPOKEN if truth.condition == "stereo")
    samples = decode(SAMPLES / truth.file)
    assert sorted(speaker.channel for speaker in truth.speakers.values()) == [0, 1]
    for turn in truth.turns:
        levels = 20 * np.log10(samples[:, int(turn.start_s * RATE) : int(turn.end_s * RATE)].std(axis=1))
        own = truth.speakers[turn.speaker].channel
        assert levels[own] > levels[1 - own] + 20


def test_a_telephone_carries_no_bass() -> None:
    calls = [truth for truth in SPOKEN if truth.condition == "telephone"]
    assert calls
    for truth in calls:
        assert truth.sample_rate_hz == 8000
        (samples,) = decode(SAMPLES / truth.file)
        power = np.abs(np.fft.rfft(samples)) ** 2
        hz = np.fft.rfftfreq(len(samples), 1 / RATE)
        assert power[hz < 200].sum() < 0.01 * power.sum()
        assert power[hz > 3600].sum() < 0.01 * power.sum()


def test_bad_files_have_their_faults() -> None:
    for name, good in TRUNCATED.items():
        whole, part = (SAMPLES / good).read_bytes(), (SAMPLES / name).read_bytes()
        assert whole.startswith(part)
        assert len(part) == int(len(whole) * KEPT)
    assert (SAMPLES / "empty.wav").read_bytes() == b""
    assert (SAMPLES / "not_audio.wav").read_text(encoding="ascii").startswith("Not a recording")
    assert not decode(SAMPLES / "silence.wav").any()


def test_the_table_of_the_readme_has_every_file() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (SAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    files = {file.name for file in SAMPLES.iterdir() if file.is_file()} - {"README.md"}
    assert {row[0].strip("`") for row in rows} == files
    by_file = {row[0].strip("`"): row for row in rows}
    for truth in SPOKEN:
        voices = ", ".join(speaker.voice for speaker in truth.speakers.values())
        assert by_file[truth.file][1:] == [
            truth.condition, voices, truth.codec, f"{truth.sample_rate_hz}", f"{truth.duration_s:.1f}",
        ]  # fmt: skip


@pytest.fixture(scope="module")
def flite() -> Flite:
    try:
        return Flite()
    except ConfigurationError as error:
        pytest.skip(str(error))


MAKE_TWO = """
from pathlib import Path
from scripts.flite import Flite
from scripts.make_samples import cast, encode, perform, read_scripts
# without loss, for LAME does not always give the same bytes for the same samples
parts = [part for part in cast(read_scripts(), seed=7) if part[0].file.endswith((".wav", ".flac"))][:2]
for script, voices in parts[::{order}]:
    encode(perform(script, voices, Flite(), seed=7), Path({folder!r}))
"""


@pytest.mark.usefixtures("flite")
def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    for folder, order in (("one", 1), ("two", -1)):
        (tmp_path / folder).mkdir()
        # in a process of its own, as the script is: in one with hundreds of other tests behind it bytes have differed
        code = MAKE_TWO.format(folder=str(tmp_path / folder), order=order)
        subprocess.run([sys.executable, "-c", code], cwd=SAMPLES.parent, check=True)
    made = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(made) == 4
    for path in made:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_the_samples_come_from_the_script(flite: Flite) -> None:
    committed = {truth.file: truth for truth in TRUTHS}
    seed = committed["silence.wav"].seed
    assert silence(seed).truth == committed["silence.wav"]
    for script, voices in list(cast(read_scripts(), seed))[:3]:
        assert perform(script, voices, flite, seed).truth == committed[script.file]


def test_another_seed_gives_the_same_text_with_other_sound(flite: Flite) -> None:
    script = read_scripts()[0]
    voices = {"A": "slt", "B": "rms"}
    first, second = (perform(script, voices, flite, seed).truth for seed in (1, 7))
    assert [turn.text for turn in first.turns] == [turn.text for turn in second.turns]
    assert first.turns != second.turns
    assert first.snr_db != second.snr_db


def test_the_error_about_a_missing_voice_says_how_to_get_it() -> None:
    with pytest.raises(ConfigurationError, match="apt-get install flite"):
        shared_library("flite_cmu_us_nobody")
