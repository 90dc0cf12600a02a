"""The real samples are what their README says, their truth fits them, and the script makes them again."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest

from scripts.encoding import write_audio
from scripts.make_real_samples import (
    CLIPS,
    MEETING,
    NARROW_HZ,
    READING,
    SPEECH,
    STEREO_CALL,
    TELEPHONE_CALL,
    TELEPHONE_CALL_S,
    WIDE_HZ,
    excerpt,
    make,
    read_pcm,
)
from sensory_pipeline.storage.local import is_recording, objects, path_of
from sensory_pipeline_tests import places

SAMPLES = places.SAMPLES
REAL = SAMPLES / "real"
FILES = sorted(path.name for path in REAL.iterdir() if is_recording(path.name))
README = (REAL / "README.md").read_text(encoding="utf-8")
LICENCES = {"CC BY 4.0", "CC0 1.0", "public domain"}

every_file = pytest.mark.parametrize("file", FILES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """A line of STM. channel: from 1."""

    channel: int
    speaker: str
    start_s: float
    end_s: float
    text: str


def table(heading: str) -> dict[str, list[str]]:
    """The cells after the file's name, by file, of the README's table with this heading in its second column."""
    lines = iter(README.splitlines())
    next(line for line in lines if line.startswith(f"| file | {heading} |"))
    next(lines)
    rows = {}
    for line in lines:
        if not line.startswith("| "):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name.strip("`")] = cells
    return rows


def said(file: str) -> list[Utterance]:
    """The lines of the STM about a recording, in order of time."""
    found = []
    for line in (REAL / "truth" / file).with_suffix(".stm").read_text(encoding="utf-8").splitlines():
        name, channel, speaker, start_s, end_s, text = line.split(maxsplit=5)
        assert name == Path(file).stem
        found.append(
            Utterance(channel=int(channel), speaker=speaker, start_s=float(start_s), end_s=float(end_s), text=text)
        )
    return sorted(found, key=lambda utterance: utterance.start_s)


def duration_s(file: str) -> float:
    with av.open(str(REAL / file)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def test_an_ingest_of_the_samples_finds_them_all_and_they_are_small() -> None:
    listed = {path_of(item.uri) for item in objects(SAMPLES)}
    assert listed >= {REAL / file for file in FILES}
    assert not any(path.parent == REAL / "truth" for path in listed)
    assert sum(path.stat().st_size for path in REAL.rglob("*") if path.is_file()) <= 4_000_000


def test_every_file_has_its_hash() -> None:
    lines = (REAL / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert sums.keys() == {
        path.relative_to(REAL).as_posix()
        for path in REAL.rglob("*")
        if path.is_file() and path.name not in ("README.md", "SHA256SUMS")
    }
    for name, digest in sums.items():
        assert sha256((REAL / name).read_bytes()).hexdigest() == digest, name


def test_every_file_is_attributed() -> None:
    sources = table("source")
    assert sorted(sources) == FILES
    for source, licence, changed in sources.values():
        assert source
        assert changed
        assert licence in LICENCES
    assert "https://creativecommons.org/licenses/by/4.0/" in README
    assert "https://creativecommons.org/publicdomain/zero/1.0/" in README


def test_files_are_what_the_readme_says() -> None:
    rows = table("what is heard")
    assert sorted(rows) == FILES
    for file, (_, codec, rate, channels, seconds) in rows.items():
        with av.open(str(REAL / file)) as container:
            stream = container.streams.audio[0]
            found = (stream.codec_context.codec.canonical_name, f"{stream.rate}", f"{stream.channels}")
        assert found == (codec, rate, channels), file
        assert abs(duration_s(file) - float(seconds)) < 0.06, file


def test_there_are_several_languages_and_numbers_of_speakers() -> None:
    assert {file: len({utterance.speaker for utterance in said(file)}) for file in FILES} == {
        "audiobook.flac": 1, "german.mp3": 1, "kennedy_1961.flac": 1, "meeting.flac": 3, "russian.mp3": 1,
        "stereo_call.wav": 2, "telephone_call.wav": 2,
    }  # fmt: skip
    assert re.fullmatch(r"[а-яё ,.-]+", said("russian.mp3")[0].text.lower())


@every_file
def test_the_truth_lies_inside_its_recording(file: str) -> None:
    utterances = said(file)
    assert utterances
    end_s = duration_s(file)
    for utterance in utterances:
        assert 0 <= utterance.start_s < utterance.end_s <= end_s + 0.001


@every_file
def test_turns_are_those_of_the_text(file: str) -> None:
    turns = []
    for line in (REAL / "truth" / file).with_suffix(".rttm").read_text(encoding="utf-8").splitlines():
        kind, name, channel, start_s, seconds, _, _, speaker, _, _ = line.split()
        assert (kind, name) == ("SPEAKER", Path(file).stem)
        turns.append((float(start_s), float(start_s) + float(seconds), int(channel), speaker))
    for turn, utterance in zip(sorted(turns), said(file), strict=True):
        assert turn[:2] == pytest.approx((utterance.start_s, utterance.end_s), abs=0.006)
        assert turn[2:] == (utterance.channel, utterance.speaker)


def test_the_meetings_words_are_those_of_its_text() -> None:
    utterances, length_s = said("meeting.flac"), duration_s("meeting.flac")
    words = Counter[tuple[str, str]]()
    for line in (REAL / "truth" / "meeting.ctm").read_text(encoding="utf-8").splitlines():
        _, _, start_s, seconds, text, speaker = line.split()
        words[text, speaker] += 1
        assert any(
            utterance.speaker == speaker
            and utterance.start_s <= float(start_s)
            and min(float(start_s) + float(seconds), length_s) <= utterance.end_s + 0.01
            for utterance in utterances
        ), line
    bare = Counter(
        (word.strip(".,?"), utterance.speaker) for utterance in utterances for word in utterance.text.split()
    )
    assert words == bare


def test_each_side_of_the_stereo_call_has_its_channel() -> None:
    pcm = read_pcm(REAL / "stereo_call.wav", NARROW_HZ, channels=2).astype(np.float64)
    utterances = said("stereo_call.wav")
    assert {utterance.channel for utterance in utterances} == {1, 2}
    for utterance in utterances:
        others = [other for other in utterances if other.channel != utterance.channel]
        start_s = max([utterance.start_s, *(other.end_s for other in others if other.start_s < utterance.start_s)])
        end_s = min([utterance.end_s, *(other.start_s for other in others if other.start_s > utterance.start_s)])
        levels = pcm[:, int(start_s * NARROW_HZ) : int(end_s * NARROW_HZ)].std(axis=1)
        assert levels[utterance.channel - 1] > 10 * levels[2 - utterance.channel]


def test_the_telephone_carries_no_bass() -> None:
    (pcm,) = read_pcm(REAL / "telephone_call.wav", NARROW_HZ).astype(np.float64)
    power = np.abs(np.fft.rfft(pcm)) ** 2
    hz = np.fft.rfftfreq(len(pcm), 1 / NARROW_HZ)
    assert power[(hz < 200) | (hz > 3600)].sum() < 0.01 * power.sum()


def test_no_speech_is_cut_off(tmp_path: Path) -> None:
    source = tmp_path / "long.stm"
    source.write_text("long 1 A 1.00 2.00 first\nlong 1 B 2.50 4.00 second\n", encoding="utf-8")
    assert excerpt(source, "short", 2.2, 4.5) == ["short 1 B 0.30 1.80 second"]
    with pytest.raises(ValueError, match=r"2\.5 to 4\.0 s reaches over an end of 0\.0 to 3\.0 s"):
        excerpt(source, "short", 0.0, 3.0)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """What the script starts from, put together again from what it made of it."""
    audio = tmp_path / "audio"
    labelled = audio / "labelled"
    for path in ("ami/x", STEREO_CALL, TELEPHONE_CALL, READING[0], *CLIPS.values()):
        (labelled / path).parent.mkdir(parents=True, exist_ok=True)
    (audio / MEETING).write_bytes((REAL / "meeting.flac").read_bytes())
    (audio / SPEECH).write_bytes((REAL / "kennedy_1961.flac").read_bytes())
    for suffix in (".stm", ".rttm", ".ctm"):
        _move(f"meeting{suffix}", labelled / "ami" / f"trn06{suffix}", 0.0)
    for suffix in (".stm", ".rttm"):
        _move(f"stereo_call{suffix}", labelled / f"{STEREO_CALL}{suffix}", 0.0)
        _move(f"telephone_call{suffix}", labelled / f"{TELEPHONE_CALL}{suffix}", TELEPHONE_CALL_S[0])

    rows = ["path\tseconds\tspeakers\ttranscript"]
    book = read_pcm(REAL / "audiobook.flac", WIDE_HZ)
    for path, read in zip(READING, said("audiobook.flac"), strict=True):
        part = book[:, round(read.start_s * WIDE_HZ) : round(read.end_s * WIDE_HZ)]
        write_audio(labelled / path, part, rate_hz=WIDE_HZ, codec="flac", encoded_rate_hz=WIDE_HZ)
        rows.append(f"{path}\t{read.end_s - read.start_s:.3f}\t{read.speaker}\t{read.text}")
    for name, path in CLIPS.items():
        (labelled / path).write_bytes((REAL / name).read_bytes())
        (clip,) = said(name)
        rows.append(f"{path}\t{clip.end_s}\t{clip.speaker}\t{clip.text}")
    (labelled / "INDEX.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    call = read_pcm(REAL / "stereo_call.wav", NARROW_HZ, channels=2)
    call = np.pad(call, ((0, 0), (0, NARROW_HZ)), constant_values=99)
    write_audio(labelled / f"{STEREO_CALL}.wav", call, rate_hz=NARROW_HZ, codec="pcm_mulaw", encoded_rate_hz=NARROW_HZ)
    call = read_pcm(REAL / "telephone_call.wav", WIDE_HZ)
    call = np.pad(call, ((0, 0), (round(TELEPHONE_CALL_S[0] * WIDE_HZ), WIDE_HZ)), constant_values=99)
    write_audio(labelled / f"{TELEPHONE_CALL}.flac", call, rate_hz=WIDE_HZ, codec="flac", encoded_rate_hz=WIDE_HZ)
    return audio


def _move(truth: str, target: Path, by_s: float) -> None:
    """Puts a truth file back to where its recording was cut from."""
    target.write_text("\n".join(excerpt(REAL / "truth" / truth, target.stem, -by_s)) + "\n", encoding="utf-8")


def test_the_script_makes_them_again(sources: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    make(sources, made)
    assert {path.relative_to(made) for path in made.rglob("*")} == {
        path.relative_to(REAL) for path in REAL.rglob("*") if path.name != "README.md"
    }
    for path in sorted((REAL / "truth").iterdir()):
        assert (made / "truth" / path.name).read_bytes() == path.read_bytes()
    for file in FILES:
        before, after = (read_pcm(folder / file, WIDE_HZ, channels=2).astype(np.float64) for folder in (REAL, made))
        assert before.shape == after.shape
        if file != "telephone_call.wav":  # which has been through mu-law and the telephone's filter twice
            assert np.array_equal(before, after), file
        else:
            assert np.corrcoef(before[0], after[0])[0, 1] > 0.99
