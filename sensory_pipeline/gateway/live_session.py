"""One stream of live speech: sound comes in, words go out, and decoding is the engines' business."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.agreement import MOST_MS, LocalAgreement
from sensory_pipeline.core.errors import PromptTooLong, Terminal
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline.gateway.live_engines import LiveEngines
from sensory_pipeline.gateway.live_messages import Outbox, felt, said, speech
from sensory_pipeline.gateway.live_sound import LiveSound

PAUSE_MS = 500
"""A silence that ends a phrase: what is there becomes final."""
PAUSES_MS = (200, 2_000)
"""The least and the most that a stream may have instead."""
_STEP_MS = 200  # of new speech, before it is heard again
_PIECE_MS = 160  # taken in at once, so that no pause is missed
_LONG_PAUSE_MS = 2_000  # what is before it does not help to hear what comes
_CONTEXT_MS = 8_000
_BEFORE_MS = 1_000  # speech that is noticed late
_AROUND_MS = 200  # after speech, so that its soft end is heard


class TooFast(Exception):
    """More sound has come than waits for engines at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What is known of a stream before it begins.

    rate: Hz; request: what is asked of its speech; backlog_s: seconds of sound that may wait for engines; pause_ms: a
    silence that ends a phrase; tells_speech: whether it is told when speech starts and stops.
    """

    rate: int
    request: ProcessRequest
    backlog_s: float
    pause_ms: int = PAUSE_MS
    tells_speech: bool = False


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
        self._stream = stream
        self._request = stream.request
        tra = stream.request.tra
        # what is heard again in a moment is not tried for long
        tra = tra.model_copy(update={"temperatures": tra.temperatures[:1], "lost_speech_s": None})
        self._hasty = stream.request.model_copy(update={"tra": tra})
        self._most_bytes = round(stream.backlog_s * stream.rate * 2)
        self._piece_bytes = stream.rate * 2 * _PIECE_MS // 1000
        self._waiting = bytearray()
        self._came = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = False
        self._sound = LiveSound(stream.rate)
        self._agreement = LocalAgreement()
        self._phrase: list[Word] = []
        self._phrase_ms = 0  # where it begins
        self._partial: tuple[Word, ...] = ()  # that was told
        self._heard_ms = 0  # how far engines have heard
        self._speaks = False  # as far as it was told
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

    async def take(self, data: bytes) -> None:
        """As `feed`, once there is room."""
        for start in range(0, len(data), self._most_bytes):
            part = data[start : start + self._most_bytes]
            while len(self._waiting) + len(part) > self._most_bytes:
                self._taken.clear()
                await self._taken.wait()
            self.feed(part)

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
            if self._sound.speech is not None:
                await self._pause()
            self._stops(self._sound.end_ms)
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
        self._taken.set()
        return piece

    async def _listen(self) -> None:
        sound = self._sound
        self._starts()
        if sound.speech is None:
            if self._agreement.partial:  # in sound that is taken for silence
                self._tell(self._agreement.paused())
            self._stops(sound.end_ms)
            self._forget(sound.end_ms - _BEFORE_MS)
        elif sound.silence_ms >= self._stream.pause_ms:
            await self._pause()
        elif sound.end_ms - sound.start_ms >= MOST_MS:
            await self._hear(sound.end_ms, self._request)
        elif len(self._waiting) < self._piece_bytes:  # else more is to be heard first
            if sound.silence_ms >= _AROUND_MS and self._heard_ms < sound.speech.end_ms + _AROUND_MS:
                # while it may be a pause, so that all is known once it is one
                await self._hear(sound.end_ms, self._request)
            elif sound.speech.end_ms - self._heard_ms >= _STEP_MS:
                await self._hear(sound.end_ms, self._hasty)

    async def _hear(self, end_ms: int, request: ProcessRequest) -> None:
        """Ask what is said up to there."""
        clip = Span(start_ms=self._sound.start_ms, end_ms=end_ms)
        self._heard_ms = end_ms
        self._tell(self._agreement.heard(await self._words(clip, request), end_ms))
        if self._agreement.start_ms > clip.start_ms:
            self._finish(self._agreement.start_ms)
            self._sound.forget(self._agreement.start_ms)

    async def _pause(self) -> None:
        """A phrase has ended, unless that is known. After a short one the sound is kept: it helps to hear the next."""
        sound = self._sound
        assert sound.speech is not None
        end_ms = min(sound.speech.end_ms + _AROUND_MS, sound.end_ms)
        if end_ms > self._phrase_ms:
            if self._heard_ms < end_ms:
                await self._hear(end_ms, self._request)
            self._tell(self._agreement.paused())
            self._finish(end_ms)
        self._stops(end_ms)
        if sound.silence_ms >= _LONG_PAUSE_MS or end_ms - sound.start_ms >= _CONTEXT_MS:
            self._forget(end_ms)

    def _forget(self, until_ms: int) -> None:
        self._sound.forget(until_ms)
        self._agreement.ended(self._sound.start_ms)

    async def _words(self, clip: Span, request: ProcessRequest) -> Sequence[Word]:
        try:
            found = await self._engines.transcript(self._sound.cut(clip), request)
        except PromptTooLong:  # every other clip's is, too
            raise
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

    def _starts(self) -> None:
        """Tell of speech after silence; of sound that is kept, the phrases that have ended do not count."""
        spoken = self._sound.speech
        if self._speaks or spoken is None or spoken.end_ms <= self._phrase_ms:
            return
        self._speaks = True
        known_ms = max(self._phrase_ms, spoken.end_ms - _PIECE_MS)
        start_ms = spoken.start_ms if spoken.start_ms >= self._phrase_ms else known_ms
        if self._stream.tells_speech:
            self.results.put(speech("started", start_ms))

    def _stops(self, at_ms: int) -> None:
        if self._speaks and self._stream.tells_speech:
            self.results.put(speech("stopped", at_ms))
        self._speaks = False

    def _finish(self, end_ms: int) -> None:
        """A phrase, or a part of one, whose words are final."""
        phrase = Span(start_ms=self._phrase_ms, end_ms=max(self._phrase_ms, end_ms))
        self._phrase_ms = phrase.end_ms
        spoken = [word.span for word in self._phrase if word.span.start_ms < phrase.end_ms]
        self._phrase = self._phrase[len(spoken) :]
        if spoken and Task.EMOTION in self._request.tasks:
            span = cover(spoken).clip(phrase)
            feeling = asyncio.create_task(self._feel(span, self._sound.cut(phrase)))
            self._feelings.append(feeling)
        self._feelings = [feeling for feeling in self._feelings if not feeling.done() or feeling.exception()]

    async def _feel(self, span: Span, pcm: Waveform) -> None:
        try:
            scores = await self._engines.emotion(pcm, self._request)
        except Terminal as error:
            self.results.put({"error": f"the emotion of {span.start_s:.1f} to {span.end_s:.1f} s: {error}"})
        else:
            self.results.put(felt(span, scores))


def _moved(span: Span, clip: Span) -> Span:
    """From the clip's clock to the stream's."""
    return Span(start_ms=clip.start_ms + span.start_ms, end_ms=clip.start_ms + span.end_ms)
