"""Emotion without a trained model: how excited a voice sounds, by rules of thumb.

Prosody shows arousal, not valence: people raise pitch, loudness and pace in anger and in joy alike,
and lower them in sadness (R. Banse, K. R. Scherer, "Acoustic profiles in vocal emotion expression",
Journal of Personality and Social Psychology 70, 1996). So high arousal is divided almost evenly between
"angry" and "positive", and every result carries the caveat "heuristic".

All measures are means over voiced frames, so running sums give them for any window at
almost no cost: a recording is analysed once, however many windows there are. They are compared
with how the same speaker sounds over all turns, never with other people. With nothing to compare,
the result is neutral.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sensory_pipeline.core.arrays import Doubles, Floats, Mask
from sensory_pipeline.core.emotions import LABELS, Emotion, EmotionScores, EmotionWindow
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.spans import Span, union
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import ClassifyJob, EngineInfo
from sensory_pipeline.engines.emotion.pitch import FRAME_MS, VoiceTrack, frame_at, track
from sensory_pipeline.engines.spec import EngineChoice, EngineContext, EngineSpec

# Columns of a voice: pitch (semitones), squared distance of pitch from its turn's mean (semitones^2),
# loudness (dB), syllable-like peaks of loudness (per second), spectral tilt (dB).
_SPREAD = 1
_WEIGHTS = np.array([0.30, 0.15, 0.30, 0.15, 0.10])
_USUAL_SD = np.array([1.5, 9.0, 1.5, 1.0, 1.7])  # among pieces of one speaker: medians, LibriSpeech and AMI
_USUAL_SD_PIECES = 4.0  # pieces of the speaker that weigh as much as the usual value
_PIECE_FRAMES = 200  # voiced
_FARTHEST = 3.0  # standard deviations; larger values are more likely errors of measurement
_HALF_TRUSTED_MS = 500.0  # of voice: a window with this much has half of the weight, its turn the other half
_SYLLABLE = np.hanning(13)[1:-1] / np.hanning(13).sum()  # 110 ms: one peak of loudness a syllable

_STEEPNESS = 2.5  # of the labels, in log odds per unit of arousal
_THRESHOLD = 0.7  # the arousal, up or down, above which neutral is no longer the likeliest
_RANGE_HINT = 0.05  # a wider pitch range makes joy slightly likelier
_NOTHING_HEARD = EmotionScores(angry=0.22, sad=0.22, neutral=0.34, positive=0.22)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """How one speaker usually sounds.

    Attributes:
        mean: Of the five columns, shape (5,).
        sd: Standard deviations of the five columns, shape (5,).
        trust: 0 with nothing to compare, near 1 with much.
    """

    mean: Doubles
    sd: Doubles
    trust: float


class ProsodyClassifier:
    """An EmotionClassifier that needs no weights and depends on no language."""

    def __init__(self, activity: ActivityLog | None = None) -> None:
        self._activity = activity or ActivityLog()

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(engine="prosody", model="none", revision="none", algorithm=1)

    def classify(self, jobs: Iterable[ClassifyJob]) -> Iterator[tuple[str, tuple[Emotion, ...] | Terminal]]:
        """One result for each job, in the order of the jobs."""
        for job in jobs:
            with self._activity.noting("device", "prosody"):
                answer = _emotions(job)
            yield job.key, answer


def _emotions(job: ClassifyJob) -> tuple[Emotion, ...]:
    if not job.windows:
        return ()
    sums = _cumulated(track(job.pcm))
    rows: dict[str | None, list[int]] = defaultdict(list)
    for row, window in enumerate(job.windows):
        rows[window.speaker].append(row)
    z = np.zeros((len(job.windows), len(_WEIGHTS)))
    for members in rows.values():
        z[members] = _compared(sums, [job.windows[row] for row in members])
    arousal = (z * _WEIGHTS).sum(axis=1)  # not @, whose rounding depends on the number of windows
    voiced = _within(sums, [window.span for window in job.windows])[:, 0] * FRAME_MS
    answers = zip(
        job.windows,
        voiced.astype(int).tolist(),
        arousal.tolist(),
        _shares(arousal, z[:, _SPREAD]).tolist(),
        strict=True,
    )
    return tuple(_emotion(*answer) for answer in answers)


def _emotion(window: EmotionWindow, voiced_ms: int, arousal: float, shares: list[float]) -> Emotion:
    """If there is no voice, nothing is known, whatever the turn around it shows."""
    return Emotion(
        window=window,
        scores=EmotionScores(**dict(zip(LABELS, shares, strict=True))) if voiced_ms else _NOTHING_HEARD,
        arousal=arousal if voiced_ms else 0.0,
        voiced_ms=min(voiced_ms, window.span.duration_ms),
        caveat="heuristic",
    )


def _cumulated(voice: VoiceTrack) -> Doubles:
    """Running sums over voiced frames, shape (frames + 1, 6).

    The columns are 1, pitch, pitch squared, loudness, peaks of loudness, tilt.
    """
    voiced = voice.f0_hz > 0
    semitones = 12 * np.log2(np.where(voiced, voice.f0_hz, 100).astype(np.float64) / 100)
    columns = (
        np.ones(len(voiced)),
        semitones,
        semitones**2,
        voice.level_db,
        _peaks(voice.level_db),
        voice.tilt_db,
    )
    sums = np.zeros((len(voiced) + 1, len(columns)))
    for index, column in enumerate(columns):
        np.cumsum(column * voiced, dtype=np.float64, out=sums[1:, index])
    return sums


def _peaks(level_db: Floats) -> Mask:
    """Where the smoothed loudness has a local maximum: about one per syllable.

    After N. H. de Jong, T. Wempe, "Praat script to detect syllable nuclei and measure speech rate
    automatically", Behavior Research Methods 41, 2009.
    """
    peaks = np.zeros(len(level_db), np.bool_)
    if len(level_db) > 2:
        smooth = np.convolve(level_db, _SYLLABLE)[len(_SYLLABLE) // 2 :][: len(level_db)]
        peaks[1:-1] = (smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] >= smooth[2:])
    return peaks


def _within(sums: Doubles, spans: Sequence[Span]) -> Doubles:
    """The sums over each span, shape (spans, 6); nothing after the end of the recording."""
    edges = np.array([(frame_at(span.start_ms), frame_at(span.end_ms)) for span in spans])
    first, last = np.minimum(edges, len(sums) - 1).T
    within: Doubles = sums[last] - sums[first]
    return within


def _means(sums: Doubles, centre: Doubles) -> Doubles:
    """The five columns of a voice, each a mean over voiced frames; 0 if there are none.

    Args:
        sums: Shape (n, 6).
        centre: Mean pitch of the turn around each, shape (n,).
    """
    pitch, square, level, peaks, tilt = sums[:, 1:].T / np.maximum(sums[:, 0], 1)
    spread = np.maximum(square - 2 * centre * pitch + centre**2, 0)
    return np.stack([pitch, spread, level, peaks * 1000 / FRAME_MS, tilt], axis=1)


def _pitch(sums: Doubles) -> Doubles:
    pitch: Doubles = sums[:, 1] / np.maximum(sums[:, 0], 1)
    return pitch


def _compared(sums: Doubles, windows: Sequence[EmotionWindow]) -> Doubles:
    """Standard deviations from the usual voice of the one speaker of all windows, shape (windows, 5).

    With little voice, a window is shrunk toward its turn, and the turn toward the speaker.
    """
    baseline = _baseline(sums, {window.turn for window in windows})
    around = _within(sums, [window.turn for window in windows])
    own = _within(sums, [window.span for window in windows])
    centre = _pitch(around)
    z = np.zeros((len(windows), len(_WEIGHTS)))
    for part in (around, own):
        weight = (part[:, 0] / (part[:, 0] + _HALF_TRUSTED_MS / FRAME_MS))[:, None]
        there = (_means(part, centre) - baseline.mean) / baseline.sd
        z += weight * (np.clip(there, -_FARTHEST, _FARTHEST) - z)
    return z * baseline.trust


def _baseline(sums: Doubles, turns: Iterable[Span]) -> Baseline:
    """The baseline from all that the speaker's turns cover, in pieces of about two voiced seconds.

    It depends on the turns only, so windows for words and for sentences give the same one.
    """
    voiced = sums[:, 0]
    pieces, centres = [], []
    # turns that only touch keep pieces of their own
    for start_ms, end_ms in union(((turn.start_ms, turn.end_ms) for turn in turns), touching=False):
        span = Span(start_ms=start_ms, end_ms=end_ms)
        whole = _within(sums, [span])
        count = max(1, round(whole[0, 0] / _PIECE_FRAMES))
        start = voiced[min(frame_at(span.start_ms), len(voiced) - 1)]
        edges = np.searchsorted(voiced, start + np.linspace(0, whole[0, 0], count + 1))
        pieces.append(np.diff(sums[edges], axis=0))
        centres.append(np.repeat(_pitch(whole), count))
    stacked = np.concatenate(pieces)
    weight = stacked[:, 0]
    total = weight.sum()
    if not total:
        return Baseline(mean=np.zeros_like(_USUAL_SD), sd=_USUAL_SD, trust=0.0)
    means = _means(stacked, np.concatenate(centres))
    mean = weight @ means / total
    observed = weight @ (means - mean) ** 2 / total
    number = total**2 / (weight**2).sum()
    variance = (number * observed + _USUAL_SD_PIECES * _USUAL_SD**2) / (number + _USUAL_SD_PIECES)
    return Baseline(mean=mean, sd=np.sqrt(variance), trust=float(1 - 1 / number))


def _shares(arousal: Doubles, spread: Doubles) -> Doubles:
    """Probabilities in the order of LABELS, shape (windows, 4)."""
    high = _STEEPNESS * (arousal - _THRESHOLD)
    low = _STEEPNESS * (-arousal - _THRESHOLD)
    hint = _RANGE_HINT * spread
    odds = np.exp(np.stack([high - hint, low, np.zeros_like(high), high + hint], axis=1))
    shares: Doubles = odds / odds.sum(axis=1, keepdims=True)
    return shares


def _make(_: EngineChoice, context: EngineContext) -> ProsodyClassifier:
    return ProsodyClassifier(context.activity)


ENGINE = EngineSpec(
    name="prosody",
    stage=Stage.EMOTIONS,
    about="a heuristic: calm or excited, from pitch, loudness and pace",
    make=_make,
)
