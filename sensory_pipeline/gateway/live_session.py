"""One stream of live speech: sound comes in, words go out, and decoding is the engines' business."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sensory_pipeline.audio.pcm import Pcm
from sensory_pipeline.core.agreement import MOST_MS, Agreement
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.requests import ProcessRequest, Task
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline.gateway.live_engines import LiveEngines
from sensory_pipeline.gateway.live_messages import Outbox, felt, said
from sensory_pipeline.gateway.live_sound import LiveSound

PAUSE_MS = 500
"""A silence that ends a phrase: what is there becomes final."""
_STEP_MS = 200  # of new speech, before it is heard again
_PIECE_MS = 160  # taken in at once, so that no pause is missed
_AROUND_MS = 200  # speech, so that its soft beginning and end are heard


class TooFast(Exception):
    """More sound has come than waits for engines at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """rate: Hz; request: what is asked of its speech; backlog_s: seconds of sound that may wait for engines."""

    rate: int
    request: ProcessRequest
    backlog_s: float


class LiveSession:
    """Feed it, and read `results`, while `run` runs: all in one event loop.

    Words are heard again each time the engines have answered, until two answers agree, or until a pause.
    Where engines are slower than speech, they are asked less often.

    Attributes:
        results: What the client is to be told.
        received: Bytes of sound so far.
    """

    def __init__(self, stream: Stream, engines: LiveEngines) -> None:
        self.results = Outbox()
        self.received = 0
        self._engines = engines
        self._request = stream.request
        # what is heard again in a moment need not be tried twice
        hasty = stream.request.tra.model_copy(update={"temperatures": (0.0,), "lost_speech_s": None, "beam_size": 1})
        self._hasty = stream.request.model_copy(update={"tra": hasty})
        self._most_bytes = round(stream.backlog_s * stream.rate * 2)
        self._piece_bytes = stream.rate * 2 * _PIECE_MS // 1000
        self._waiting = bytearray()
        self._came = asyncio.Event()
        self._ended = False
        self._sound = LiveSound(stream.rate)
        self._agreement = Agreement()
        self._phrase: list[Word] = []
        self._partial: tuple[Word, ...] = ()  # that was told
        self._heard_ms = 0  # how far engines have heard
        self._feelings: list[asyncio.Task[None]] = []

    @property
    def kept_ms(self) -> int:
        """Milliseconds of sound in memory, without what waits."""
        return self._sound.end_ms - self._sound.start_ms

    def feed(self, data: bytes) -> None:
        """Take in sound, PCM16. Raises TooFast."""
        if len(self._waiting) + len(data) > self._most_bytes:
            raise TooFast
        self._waiting += data
        self.received += len(data)
        self._came.set()

    def end(self) -> None:
        """No more sound comes: what is there becomes final, then `run` ends."""
        self._ended = True
        self._came.set()

    async def run(self) -> None:
        """Until the sound has ended and all is told. An error of the engines closes the results."""
        try:
            while piece := await self._piece():
                await asyncio.to_thread(self._sound.hear, piece)
                await self._listen()
            await self._end_phrase()
            await asyncio.gather(*self._feelings)
        except Exception as error:  # noqa: BLE001 - it is for whoever reads the results
            self.results.close(error)
        else:
            self.results.close()
        finally:
            for feeling in self._feelings:
                feeling.cancel()

    async def _piece(self) -> bytes:
        """Sound that waits, b"" when there is no more."""
        while not self._waiting and not self._ended:
            self._came.clear()
            await self._came.wait()
        piece = bytes(self._waiting[: self._piece_bytes])
        del self._waiting[: self._piece_bytes]
        return piece

    async def _listen(self) -> None:
        sound = self._sound
        if sound.speech is None:
            if self._agreement.partial:  # in sound that is taken for silence
                await self._end_phrase()
            sound.forget(sound.end_ms - 2 * _AROUND_MS)
            self._agreement.ended(sound.start_ms)
        elif sound.silence_ms >= PAUSE_MS:
            await self._end_phrase()
        elif sound.end_ms - sound.start_ms >= MOST_MS or (
            len(self._waiting) < self._piece_bytes and sound.speech.end_ms - self._heard_ms >= _STEP_MS
        ):
            await self._hear(sound.end_ms, self._hasty)

    async def _hear(self, end_ms: int, request: ProcessRequest) -> None:
        """Ask what is said up to there."""
        clip = Span(start_ms=self._sound.start_ms, end_ms=end_ms)
        self._heard_ms = end_ms
        words = await self._words(clip, request)
        final = self._agreement.heard(words, end_ms)
        self._tell(final)
        if self._agreement.start_ms > clip.start_ms:
            self._finish(Span(start_ms=clip.start_ms, end_ms=self._agreement.start_ms))

    async def _end_phrase(self) -> None:
        sound = self._sound
        end_ms = sound.end_ms
        if sound.speech is not None:
            end_ms = min(sound.speech.end_ms + _AROUND_MS, sound.end_ms)
            if self._heard_ms < sound.speech.end_ms:
                await self._hear(end_ms, self._request)
        self._tell(self._agreement.ended(end_ms))
        self._finish(Span(start_ms=sound.start_ms, end_ms=max(end_ms, sound.start_ms)))

    async def _words(self, clip: Span, request: ProcessRequest) -> Sequence[Word]:
        try:
            found = await self._engines.transcript(self._sound.cut(clip), request)
        except Terminal as error:
            self.results.put({"error": f"{clip.start_s:.1f} to {clip.end_s:.1f} s cannot be transcribed: {error}"})
            return ()
        return [replace(word, span=_moved(word.span, clip)) for word in found.words]

    def _tell(self, final: Sequence[Word]) -> None:
        self._phrase += final
        partial = self._agreement.partial
        message = said(final, partial, at_ms=self._agreement.start_ms)
        if final:
            self.results.put(message)
        elif partial != self._partial:
            self.results.put_partial(message)
        self._partial = partial

    def _finish(self, phrase: Span) -> None:
        """A part of the sound that is not heard again."""
        spoken = [word.span for word in self._phrase if word.span.start_ms < phrase.end_ms]
        self._phrase = self._phrase[len(spoken) :]
        if spoken and Task.EMOTION in self._request.tasks:
            span = cover(spoken).clip(phrase)
            feeling = asyncio.create_task(self._feel(span, self._sound.cut(phrase)))
            self._feelings.append(feeling)
        self._feelings = [feeling for feeling in self._feelings if not feeling.done() or feeling.exception()]
        self._sound.forget(phrase.end_ms)

    async def _feel(self, span: Span, pcm: Pcm) -> None:
        try:
            scores = await self._engines.emotion(pcm, self._request)
        except Terminal as error:
            self.results.put({"error": f"the emotion of {span.start_s:.1f} to {span.end_s:.1f} s: {error}"})
        else:
            self.results.put(felt(span, scores))


def _moved(span: Span, clip: Span) -> Span:
    """From the clip's clock to the stream's."""
    return Span(start_ms=clip.start_ms + span.start_ms, end_ms=clip.start_ms + span.end_ms)
