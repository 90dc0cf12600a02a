"""Where exactly one voice hands over to the next: a hidden Markov model over the cepstra.

One state a voice, each a Gaussian estimated from the frames it has at present; the most probable
path (Viterbi, 1967) gives it new frames. A change of voice costs less after a pause than within speech.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sensory_pipeline.engines.diarization.mfcc import Cepstra

Labels = npt.NDArray[np.intp]

_ROUNDS = 3
_SCALE = 0.3  # frames are no independent evidence: each counts for less than a whole one
_CHANGE_AFTER_PAUSE = 18.0  # nats
_CHANGE_WITHIN_SPEECH = 60.0  # nats
_RIDGE = 0.01  # added to variances


def resegment(
    cepstra: Cepstra,
    labels: Labels,
    *,
    audible: npt.NDArray[np.bool_],
    after_pause: npt.NDArray[np.bool_],
    least: int,
) -> Labels:
    """Better labels for the frames of a recording's speech, put end to end.

    cepstra: shape (frames, d); labels, audible, after_pause: shape (frames,). labels: a first
    guess. audible: frames loud enough to tell voices apart; the others follow their neighbours.
    after_pause: the first frames of stretches of speech. least: voices that have to remain.
    """
    costs = np.where(after_pause, _CHANGE_AFTER_PAUSE, _CHANGE_WITHIN_SPEECH)
    for _ in range(_ROUNDS):
        voices = np.unique(labels[audible])
        evidence = [_log_density(cepstra, cepstra[audible & (labels == voice)]) for voice in voices]
        scores = np.asarray(_SCALE * audible * np.stack(evidence), np.float64)
        better = voices[_decode(scores, costs)]
        if len(np.unique(better)) < least:
            break
        labels = better
    return labels


def _log_density(cepstra: Cepstra, frames: Cepstra) -> npt.NDArray[np.float64]:
    """Of each cepstrum under the Gaussian of the frames, up to a constant."""
    mean = frames.mean(axis=0, dtype=np.float64)
    centred = frames - mean
    factor = np.linalg.cholesky(centred.T @ centred / len(frames) + _RIDGE * np.eye(len(mean)))
    whitened = np.linalg.solve(factor, (cepstra - mean).T)
    density: npt.NDArray[np.float64] = -0.5 * np.square(whitened).sum(axis=0) - np.log(np.diag(factor)).sum()
    return density


def _decode(evidence: npt.NDArray[np.float64], costs: npt.NDArray[np.float64]) -> Labels:
    """The best state for each frame. evidence: shape (states, frames); costs: of a change before a frame."""
    states, frames = evidence.shape
    staying = np.arange(states)
    previous = np.empty((frames, states), np.int32)
    score = evidence[:, 0].copy()
    for frame, (gain, cost) in enumerate(zip(evidence.T[1:], costs[1:], strict=True), start=1):
        best = score.argmax()
        changed = score[best] - cost
        previous[frame] = np.where(score >= changed, staying, best)
        score = np.maximum(score, changed) + gain
    path = np.empty(frames, np.intp)
    path[-1] = score.argmax()
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = previous[frame, path[frame]]
    return path
