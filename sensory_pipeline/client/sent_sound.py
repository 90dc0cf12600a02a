"""The sound of a stream; its last part can be sent again."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Condition, Event, Thread

from sensory_pipeline.client.errors import StreamLost

_KEPT_BYTES = 4 << 20  # 87 s at 24 kHz
_AHEAD_BYTES = 4 << 20
_FRAME_BYTES = 1 << 15


class SentSound:
    """Reads chunks in its own thread, so that no sound is lost while a connection is being restored.

    Attributes:
        error: What the chunks raised.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.error: Exception | None = None
        self._chunks = chunks
        self._sound = bytearray()
        self._begin = 0  # number of bytes before the kept sound
        self._position = 0  # number of bytes sent
        self._ended = False
        self._changed = Condition()
        Thread(target=self._read, name="sound", daemon=True).start()

    def next(self, over: Event) -> bytes | None:
        """Return the next bytes to send when there are any; None at the end, or once `over` is set."""
        with self._changed:
            self._changed.wait_for(lambda: over.is_set() or self._ended or self._unsent)
            if over.is_set() or not self._unsent:
                return None
            start = self._position - self._begin
            frame = bytes(self._sound[start : start + _FRAME_BYTES])
            self._position += len(frame)
            self._changed.notify_all()
            return frame

    def back_to(self, position: int) -> None:
        """Continue after this number of bytes of the stream.

        Raises:
            StreamLost: They are no longer kept.
        """
        with self._changed:
            if not self._begin <= position <= self._position:
                raise StreamLost(None, "too much of the sound was lost to continue the stream")
            self._position = position

    def wake(self) -> None:
        """Let waiting threads check again whether the stream is over."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Read no more chunks."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def _unsent(self) -> int:
        return self._begin + len(self._sound) - self._position

    def _read(self) -> None:
        try:
            for chunk in self._chunks:
                with self._changed:
                    self._changed.wait_for(lambda: self._ended or self._unsent < _AHEAD_BYTES)
                    if self._ended:
                        return
                    self._sound += chunk
                    dropped = max(0, self._position - self._begin - _KEPT_BYTES)
                    del self._sound[:dropped]
                    self._begin += dropped
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - it is raised where the stream is read
            self.error = error
        finally:
            self.close()
