"""One stream of live speech, from its sound to its words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import structlog

from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.agreement import LEAST_ROOM_MS, MOST_MS, ROOM_MS, LocalAgreement
from sensory_pipeline.core.errors import PromptTooLong, SensoryError, Terminal, brief
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.core.spans import Span, cover
from sensory_pipeline.core.transcripts import Word
from sensory_pipeline.gateway.live_engines import LiveEngines
from sensory_pipeline.gateway.live_messages import Outbox, felt, said, speech
from sensory_pipeline.gateway.live_sound import LiveSound
from sensory_pipeline.gateway.live_stream import Stream

log = structlog.get_logger()

_STEP_MS = 600  # new speech before the next transcription; answers closer in time repeat errors of each other
_PIECE_MS = 32  # sound processed at once; one window of the detector, so that the same sound has the same pauses
_LONG_PAUSE_MS = 4_000  # speech before it gives no useful context
_BEFORE_MS = 1_000  # kept before speech, whose start is detected late
_AROUND_MS = 200  # kept after speech, for its soft end


class TooFast(Exception):
    """The client sent more sound than may wait for the engines."""


class LiveSession:
    """Transcribes one stream. Call `feed` and read `results` while `run` runs, all in one event loop.

    The engines transcribe the same words repeatedly. A word is final when two transcripts in a row agree, or at a
    pause. If the engines are slower than speech, they transcribe less often, and with less of the sound before.

    Args:
        stream: Parameters of the stream.
        engines: Transcribes and classifies clips.

    Attributes:
        results: Messages for the client.
        received: Bytes of sound received so far.
    """

    def __init__(self, stream: Stream, engines: LiveEngines) -> None:
        self.results = Outbox()
        self.received = 0
        self._engines = engines
        self._stream = stream
        self._request = stream.request
        tra = stream.request.tra
        # no fallbacks for a clip that is transcribed again soon
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
        self._phrase_ms = 0  # where the phrase begins
        self._partial: tuple[Word, ...] = ()  # as last sent
        self._heard_ms = 0  # up to where the sound is transcribed
        self._room_ms = ROOM_MS  # how much sound is transcribed with the next words
        self._speaks = False  # as last sent
        self._feelings: list[asyncio.Task[None]] = []

    @property
    def kept_ms(self) -> int:
        """Milliseconds of sound in memory, without the sound that waits."""
        return self._sound.end_ms - self._sound.start_ms

    def feed(self, data: bytes) -> None:
        """Add sound.

        Args:
            data: Mono PCM16 at the rate of the stream.

        Raises:
            TooFast: Too much sound waits for the engines.
        """
        if len(self._waiting) + len(data) > self._most_bytes:
            raise TooFast
        self._waiting += data
        self.received += len(data)
        self._came.set()

    async def take(self, data: bytes) -> None:
        """Add sound like `feed`, but wait until there is room."""
        for start in range(0, len(data), self._most_bytes):
            part = data[start : start + self._most_bytes]
            while len(self._waiting) + len(part) > self._most_bytes:
                self._taken.clear()
                await self._taken.wait()
            self.feed(part)

    def end(self) -> None:
        """End the sound. All words become final, then `run` ends."""
        self._ended = True
        self._came.set()

    async def run(self) -> None:
        """Process the sound until its end. An error of the engines closes `results` with that error."""
        try:
            while piece := await self._piece():
                await asyncio.to_thread(self._sound.hear, piece)
                await self._listen()
            if self._sound.speech is not None:
                await self._pause(last=True)
            self._stops(self._sound.end_ms)
            await asyncio.gather(*self._feelings)
        except Exception as error:  # logged too, because there may be no reader any more
            log.warning("live_failed", error=brief(error), exc_info=not isinstance(error, SensoryError))
            self.results.close(error)
        else:
            self.results.close()
        finally:
            for feeling in self._feelings:
                feeling.cancel()

    async def _piece(self) -> bytes:
        """The next piece of sound; b"" at the end."""
        while len(self._waiting) < self._piece_bytes and not self._ended:
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
            if self._agreement.partial:  # words in sound that the detector takes for silence
                self._tell(self._agreement.paused())
            self._stops(sound.end_ms)
            self._forget(sound.end_ms - _BEFORE_MS)
        elif sound.silence_ms >= self._stream.pause_ms:
            await self._pause()
        elif sound.end_ms - sound.start_ms >= MOST_MS:
            await self._hear(sound.end_ms, self._request)
        elif len(self._waiting) < self._piece_bytes:  # otherwise read more sound first
            if sound.silence_ms >= _AROUND_MS and self._heard_ms < sound.speech.end_ms + _AROUND_MS:
                # this silence may become a pause: transcribe now, so that the words are ready then
                await self._hear(sound.end_ms, self._request)
            elif sound.speech.end_ms - self._heard_ms >= _STEP_MS:
                await self._hear(sound.end_ms, self._hasty)

    async def _hear(self, end_ms: int, request: ProcessRequest) -> None:
        """Transcribe the sound up to `end_ms`."""
        clip = Span(start_ms=self._sound.start_ms, end_ms=end_ms)
        self._heard_ms = end_ms
        began = time.monotonic()
        words = await self._words(clip, request)
        self._room_ms = ROOM_MS if time.monotonic() - began < _STEP_MS / 1000 else LEAST_ROOM_MS
        self._tell(self._agreement.heard(words, end_ms, room_ms=self._room_ms))
        if self._agreement.start_ms > clip.start_ms:
            self._finish(self._agreement.start_ms)
            self._sound.forget(self._agreement.start_ms)

    async def _pause(self, *, last: bool = False) -> None:
        """End a phrase, the last one with all sound after it. A short one is kept as context for the next."""
        sound = self._sound
        assert sound.speech is not None
        end_ms = min(sound.speech.end_ms + _AROUND_MS, sound.end_ms)
        if end_ms > self._phrase_ms:
            if self._heard_ms < end_ms:
                await self._hear(end_ms, self._request)
            self._tell(self._agreement.paused())
            self._finish(sound.end_ms if last else end_ms)
        self._stops(end_ms)
        if sound.silence_ms >= _LONG_PAUSE_MS or end_ms - sound.start_ms >= self._room_ms:
            self._forget(end_ms)

    def _forget(self, until_ms: int) -> None:
        self._sound.forget(until_ms)
        self._agreement.ended(self._sound.start_ms)

    async def _words(self, clip: Span, request: ProcessRequest) -> Sequence[Word]:
        try:
            found = await self._engines.transcript(self._sound.cut(clip), request)
        except PromptTooLong:  # the prompt is too long for every clip
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
        """Report speech after silence. Kept sound of phrases that have ended does not count."""
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
        """End a phrase, or a part of one, whose words are final."""
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
    """Convert from the time of the clip to the time of the stream."""
    return Span(start_ms=clip.start_ms + span.start_ms, end_ms=clip.start_ms + span.end_ms)
