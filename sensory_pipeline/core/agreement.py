"""Which words of live speech are final: those that two hypotheses in a row agree on.

The rule is LocalAgreement-2 (Liu et al. 2020, arXiv 2005.11185; for Whisper: Macháček et al. 2023, arXiv 2307.14743).
A transcriber gets the open sound again and again while it grows. Its last words change from one hypothesis to the
next; words that stay the same are right in most cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from sensory_pipeline.core.punctuation import ends_sentence
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.streaming_hypotheses import already_said, same
from sensory_pipeline.core.transcripts import Word

ROOM_MS = 14_000
"""Open sound longer than this is cut after a sentence, so that less is transcribed again."""
LEAST_ROOM_MS = 8_000
"""The same for a transcriber that takes long; words are then wrong more often."""
KEPT_MS = 5_000
"""Minimum of open sound after such a cut: words with less before them are often wrong."""
LONG_MS = 5_000
"""Open sound that is this much longer than the room is cut at a pause too."""
MOST_MS = 24_000
"""The longest open sound: a transcriber takes half a minute at once. Beyond it, one hypothesis makes a word final."""
UNSURE_MS = 500
"""Words this near to the end of the sound are never final: without what follows, they are often wrong twice."""
PROBABLE = 0.6
"""A word with a lower probability is final only with DOUBTFUL_MS of sound after it, which often changes it."""
DOUBTFUL_MS = 4_000


class LocalAgreement:
    """The words of one live stream. The stream may never end, so only the words of the open sound are kept.

    Times are milliseconds from the start of the stream. Each final word is returned once, in order, and never changed.

    Attributes:
        start_ms: Start of the open sound. Sound before it is not transcribed again.
        partial: The words of the last hypothesis that are not final yet.
    """

    def __init__(self) -> None:
        self.start_ms = 0
        self.partial: tuple[Word, ...] = ()
        self._final: list[Word] = []  # of the open sound, and the last one before

    def heard(self, hypothesis: Sequence[Word], end_ms: int, *, room_ms: int = ROOM_MS) -> tuple[Word, ...]:
        """Add a new hypothesis.

        Args:
            hypothesis: The words transcribed from `start_ms` to `end_ms`.
            end_ms: End of the sound so far.
            room_ms: Open sound longer than this is cut, from LEAST_ROOM_MS to ROOM_MS.

        Returns:
            The words that this hypothesis makes final.
        """
        said = already_said(self._final, self.partial, hypothesis, start_ms=self.start_ms)
        new = tuple(hypothesis[said:])
        sure = sum(word.span.end_ms <= end_ms - UNSURE_MS for word in new)
        agreed = sure if end_ms - self.start_ms >= MOST_MS else 0
        for word, before in zip(new[agreed:sure], self.partial[agreed:], strict=False):
            doubtful = word.probability < PROBABLE and word.span.end_ms > end_ms - DOUBTFUL_MS
            if doubtful or not same(word, before):
                break
            agreed += 1
        final = self._made_final(new[:agreed])
        self.partial = new[agreed:]
        self._cut(end_ms, room_ms)
        return final

    def paused(self) -> tuple[Word, ...]:
        """Make all remaining words final, because a phrase has ended at a pause.

        The open sound stays open: what is said next is transcribed together with it.

        Returns:
            The words that were not final yet.
        """
        final = self._made_final(self.partial)
        self.partial = ()
        return final

    def ended(self, end_ms: int) -> tuple[Word, ...]:
        """Make all remaining words final, and start new open sound at `end_ms`.

        Returns:
            The words that were not final yet.
        """
        final = self.paused()
        self._open(max(end_ms, self.start_ms))
        return final

    def _made_final(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Words may come with times out of order; final words are put in order of time."""
        made = []
        for word in words:
            least_ms = self._final[-1].span.end_ms if self._final else 0
            start_ms = max(word.span.start_ms, least_ms)
            made.append(replace(word, span=Span(start_ms=start_ms, end_ms=max(word.span.end_ms, start_ms))))
            self._final.append(made[-1])
        return tuple(made)

    def _cut(self, end_ms: int, room_ms: int) -> None:
        length_ms = end_ms - self.start_ms
        if length_ms < room_ms:
            return
        pairs = [pair for pair in pairwise([*self._final, *self.partial[:1]]) if pair[0].span.end_ms > self.start_ms]
        old = [pair for pair in pairs if pair[0].span.end_ms <= end_ms - KEPT_MS]
        after = [pair for pair in old if ends_sentence(pair[0].text, pair[1].text)][-1:]
        if not after and length_ms >= room_ms + LONG_MS:
            after = sorted(pairs, key=lambda pair: pair[0].span.gap_ms(pair[1].span))[-1:]
        for before, following in after:
            self._open((before.span.end_ms + max(before.span.end_ms, following.span.start_ms)) // 2)
        if end_ms - self.start_ms >= MOST_MS:
            last_ms = self._final[-1].span.end_ms if self._final else 0
            self._open(max(last_ms, end_ms - MOST_MS // 2))

    def _open(self, start_ms: int) -> None:
        self.start_ms = start_ms
        before = [word for word in self._final if word.span.end_ms <= start_ms]
        self._final = before[-1:] + self._final[len(before) :]
