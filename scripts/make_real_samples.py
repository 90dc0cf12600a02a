"""Makes samples/real from published corpora: `python -m scripts.make_real_samples AUDIO --out samples/real`.

AUDIO is a folder with `jfk.flac`, `ami_trn06.flac` and the folder `labelled`: recordings of AMI, LibriSpeech and Common
Voice, with what is said in INDEX.tsv, STM, RTTM and CTM. The labels are copied unchanged, except that the times of an
excerpt begin at its start.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from scripts.acoustics import telephone
from scripts.encoding import write_audio

WIDE_HZ, NARROW_HZ = 16_000, 8_000

MEETING = "ami_trn06.flac"
READING = [f"librispeech/1688-142285-{number:04}.flac" for number in range(1, 8)]
"""Seven consecutive utterances of the book."""
STEREO_CALL, STEREO_CALL_S = "stereo_calls/call_00", (0.0, 37.9)
TELEPHONE_CALL, TELEPHONE_CALL_S = "sim/sim_01", (57.0, 93.3)
"""Both are cut where nobody speaks."""
CLIPS = {
    "german.mp3": "common_voice/de/common_voice_de_20279970.mp3",
    "russian.mp3": "common_voice/ru/common_voice_ru_20643790.mp3",
}
SPEECH = "jfk.flac"
SPEECH_TEXT = (
    "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
)

START_FIELD = {".stm": 3, ".rttm": 3, ".ctm": 2}
"""Index of the start time in a line; the next field is the end in STM, the duration in RTTM and CTM."""
DECIMALS = {".stm": 2, ".rttm": 3, ".ctm": 2}
NAME_FIELD = {".stm": 0, ".rttm": 1, ".ctm": 0}

Waveform = npt.NDArray[np.int16]


def make(audio: Path, out: Path) -> None:
    """Write the samples, their truth in `truth`, and SHA256SUMS.

    Args:
        audio: Folder of the sources.
        out: Folder to write to.

    Raises:
        OSError: A source is missing.
    """
    (out / "truth").mkdir(parents=True, exist_ok=True)
    labelled = audio / "labelled"
    with (labelled / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        index = {row["path"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    _make_meeting(audio, out)
    _make_audiobook(labelled, index, out)
    _make_stereo_call(labelled, out)
    _make_telephone_call(labelled, out)
    _make_clips(labelled, index, out)
    _make_speech(audio, out)
    _write_sums(out)


def excerpt(source: Path, name: str, start_s: float = 0.0, end_s: float = np.inf) -> list[str]:
    """Return the lines of an STM, RTTM or CTM file between two times, under another name.

    Args:
        source: The file.
        name: The new name of the recording.
        start_s: Start of the excerpt in seconds.
        end_s: End of the excerpt in seconds.

    Raises:
        ValueError: A line crosses a boundary of the excerpt: speech must not be cut.
    """
    suffix = source.suffix
    first, decimals = START_FIELD[suffix], DECIMALS[suffix]
    lines = []
    for line in source.read_text(encoding="utf-8").splitlines():
        fields = line.split()
        start, second = float(fields[first]), float(fields[first + 1])
        end = second if suffix == ".stm" else start + second
        if end <= start_s or start >= end_s:
            continue
        if start < start_s or end > end_s:
            raise ValueError(f"{source.name}: {start} to {end} s reaches over an end of {start_s} to {end_s} s")
        fields[NAME_FIELD[suffix]] = name
        fields[first] = f"{start - start_s:.{decimals}f}"
        fields[first + 1] = f"{second - start_s if suffix == '.stm' else second:.{decimals}f}"
        lines.append(" ".join(fields))
    return lines


def read_pcm(path: Path, rate_hz: int, channels: int = 1) -> Waveform:
    """Read a file at this sample rate, shape (channels, frames)."""
    resampler = av.AudioResampler("s16p", "stereo" if channels == 2 else "mono", rate_hz)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0), None]
        parts = [part.to_ndarray() for frame in frames for part in resampler.resample(frame)]
    pcm: Waveform = np.concatenate(parts, axis=1)
    return pcm


def _make_meeting(audio: Path, out: Path) -> None:
    shutil.copyfile(audio / MEETING, out / "meeting.flac")
    for suffix in (".stm", ".rttm", ".ctm"):
        source = (audio / "labelled" / "ami" / MEETING.removeprefix("ami_")).with_suffix(suffix)
        _write_truth(out, f"meeting{suffix}", excerpt(source, "meeting"))


def _make_audiobook(labelled: Path, index: dict[str, dict[str, str]], out: Path) -> None:
    """Join the utterances without additional silence: they end where the reader pauses."""
    parts = [read_pcm(labelled / path, WIDE_HZ) for path in READING]
    book = np.concatenate(parts, axis=1)
    write_audio(out / "audiobook.flac", book, rate_hz=WIDE_HZ, codec="flac", encoded_rate_hz=WIDE_HZ)
    said = [(part.shape[1] / WIDE_HZ, index[path]["transcript"]) for part, path in zip(parts, READING, strict=True)]
    _write_single_speaker(out, "audiobook", index[READING[0]]["speakers"], said)


def _make_stereo_call(labelled: Path, out: Path) -> None:
    call = _cut(read_pcm(labelled / f"{STEREO_CALL}.wav", NARROW_HZ, channels=2), NARROW_HZ, *STEREO_CALL_S)
    write_audio(out / "stereo_call.wav", call, rate_hz=NARROW_HZ, codec="pcm_mulaw", encoded_rate_hz=NARROW_HZ)
    for suffix in (".stm", ".rttm"):
        lines = excerpt(labelled / f"{STEREO_CALL}{suffix}", "stereo_call", *STEREO_CALL_S)
        _write_truth(out, f"stereo_call{suffix}", lines)


def _make_telephone_call(labelled: Path, out: Path) -> None:
    (call,) = _cut(read_pcm(labelled / f"{TELEPHONE_CALL}.flac", WIDE_HZ), WIDE_HZ, *TELEPHONE_CALL_S)
    band = np.round(telephone(call.astype(np.float64), WIDE_HZ)).clip(-32768, 32767).astype(np.int16)
    write_audio(out / "telephone_call.wav", band[None], rate_hz=WIDE_HZ, codec="pcm_mulaw", encoded_rate_hz=NARROW_HZ)
    for suffix in (".stm", ".rttm"):
        lines = excerpt(labelled / f"{TELEPHONE_CALL}{suffix}", "telephone_call", *TELEPHONE_CALL_S)
        _write_truth(out, f"telephone_call{suffix}", lines)


def _make_clips(labelled: Path, index: dict[str, dict[str, str]], out: Path) -> None:
    for name, path in CLIPS.items():
        shutil.copyfile(labelled / path, out / name)
        seconds = read_pcm(out / name, WIDE_HZ).shape[1] / WIDE_HZ
        _write_single_speaker(out, Path(name).stem, index[path]["speakers"], [(seconds, index[path]["transcript"])])


def _make_speech(audio: Path, out: Path) -> None:
    speech = read_pcm(audio / SPEECH, WIDE_HZ)
    write_audio(out / "kennedy_1961.flac", speech, rate_hz=WIDE_HZ, codec="flac", encoded_rate_hz=WIDE_HZ)
    _write_single_speaker(out, "kennedy_1961", "JFK", [(speech.shape[1] / WIDE_HZ, SPEECH_TEXT)])


def _write_sums(out: Path) -> None:
    """Write checksums for `sha256sum -c`."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name not in ("README.md", "SHA256SUMS"))
    sums = [f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(out).as_posix()}" for path in files]
    (out / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")


def _write_single_speaker(out: Path, name: str, speaker: str, said: Iterable[tuple[float, str]]) -> None:
    """Write STM and RTTM of consecutive utterances, given the seconds and the text of each."""
    stm, rttm, start_s = [], [], 0.0
    for seconds, text in said:
        end_s = start_s + seconds
        stm.append(f"{name} 1 {speaker} {start_s:.3f} {end_s:.3f} {text}")
        rttm.append(f"SPEAKER {name} 1 {start_s:.3f} {seconds:.3f} <NA> <NA> {speaker} <NA> <NA>")
        start_s = end_s
    _write_truth(out, f"{name}.stm", stm)
    _write_truth(out, f"{name}.rttm", rttm)


def _write_truth(out: Path, name: str, lines: list[str]) -> None:
    (out / "truth" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cut(pcm: Waveform, rate_hz: int, start_s: float, end_s: float) -> Waveform:
    return pcm[:, round(start_s * rate_hz) : round(end_s * rate_hz)]


def main() -> None:
    """Make the samples."""
    parser = argparse.ArgumentParser(description="Make the real sample recordings and their truth.")
    parser.add_argument("audio", type=Path, help="folder with jfk.flac, ami_trn06.flac and labelled/")
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    arguments = parser.parse_args()
    make(arguments.audio, arguments.out)


if __name__ == "__main__":
    main()
