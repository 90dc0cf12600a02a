"""Full batches of clips out of a stream of recordings.

Clips of about the same length go together, since a batch takes as long as its longest. Where the
language of a recording is to be told, the clips that tell it go first, and together, and the others wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from sensory_pipeline.engines.stt.clip import Clip

AHEAD = 4
"""Batches from among whose clips one is chosen."""


class ClipStream:
    """Clips that wait to be decoded."""

    def __init__(self) -> None:
        self._units: list[Sequence[Clip]] = []  # each to be decoded together
        self._waiting: dict[str, Sequence[Clip]] = {}

    @property
    def clips(self) -> int:
        """How many could be decoded now."""
        return sum(map(len, self._units))

    def add(self, recording: str, telling: Sequence[Clip], others: Sequence[Clip]) -> None:
        """Take in a recording. telling: the clips that tell its language, none where that is known."""
        if telling:
            self._units.append(telling)
            self._waiting[recording] = others
        else:
            self._units += [[clip] for clip in others]

    def language_known(self, recording: str) -> None:
        """The language of a recording is known by now: its other clips may go."""
        self._units += [[clip] for clip in self._waiting.pop(recording, ())]

    def batch(self, size: int) -> list[Clip]:
        """At most `size` clips to be decoded together, those of a recording side by side; empty when none can.

        A recording's telling clips come together, even where they are more.
        """
        if not self._units:
            return []
        # the oldest in any case, so that none waits for ever, and with it those most like it
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
