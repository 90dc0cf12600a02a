"""Makes full batches of clips from a stream of recordings.

Clips of similar length are decoded together, since a batch takes as long as its longest clip. If the
language of a recording has to be detected, the clips for that are decoded first, together, and its others wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from sensory_pipeline.engines.stt.clip import Clip

AHEAD = 4
"""Number of batches from whose clips the next one is chosen."""


class ClipQueue:
    """Clips that wait to be decoded."""

    def __init__(self) -> None:
        self._units: list[Sequence[Clip]] = []  # each to be decoded together
        self._waiting: dict[str, Sequence[Clip]] = {}

    @property
    def clips(self) -> int:
        """How many clips could be decoded now."""
        return sum(map(len, self._units))

    def add(self, recording: str, detecting: Sequence[Clip], others: Sequence[Clip]) -> None:
        """Add a recording.

        Args:
            recording: Its key.
            detecting: The clips from which its language is detected; empty if it is known.
            others: All other clips.
        """
        if detecting:
            self._units.append(detecting)
            self._waiting[recording] = others
        else:
            self._units += [[clip] for clip in others]

    def language_known(self, recording: str) -> None:
        """The language of a recording is known now, so its other clips can be decoded."""
        self._units += [[clip] for clip in self._waiting.pop(recording, ())]

    def batch(self, size: int) -> list[Clip]:
        """At most `size` clips to decode together, those of a recording side by side; empty if no clip is ready.

        The clips from which a recording's language is detected stay together, even if they are more.
        """
        if not self._units:
            return []
        # always the oldest, so that none waits for ever, and the ones most similar in length
        oldest, *others = self._units
        chosen, room = [oldest], size - len(oldest)
        for unit in sorted(others, key=lambda unit: abs(_longest_ms(unit) - _longest_ms(oldest))):
            if len(unit) <= room:
                chosen.append(unit)
                room -= len(unit)
        taken = set(map(id, chosen))
        self._units = [unit for unit in self._units if id(unit) not in taken]
        return sorted((clip for unit in chosen for clip in unit), key=lambda clip: clip.recording)


def _longest_ms(unit: Sequence[Clip]) -> int:
    return max(clip.span.duration_ms for clip in unit)
