"""Settings of a realtime connection, in the forms of `session.update` and of the older beta API."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from sensory_pipeline.audio import g711
from sensory_pipeline.audio.g711 import Law
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.gateway.live_sound import RATES
from sensory_pipeline.gateway.live_stream import PAUSE_MS, PAUSES_MS
from sensory_pipeline.gateway.openai.forms import Speech, Wire
from sensory_pipeline.gateway.openai.requests import checked
from sensory_pipeline.gateway.problems import of_fields
from sensory_pipeline.gateway.service import Service

T = TypeVar("T")
_THRESHOLD = 0.5
_LAWS: dict[str, Law] = {"audio/pcmu": "mu", "audio/pcma": "a"}
_OLD_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}


def _only(*values: Any) -> AfterValidator:
    def check(value: T) -> T:
        if value is not None and value not in values:
            raise ValueError("the service does not vary it: leave it out")
        return value

    return AfterValidator(check)


def _rate(rate: int) -> int:
    if rate not in RATES:
        raise ValueError(f"send one of {', '.join(map(str, RATES))}")
    return rate


def _no_logprobs(value: list[str] | None) -> list[str] | None:
    if value:
        raise ValueError("log probabilities of tokens are not available: leave it out")
    return value


Fixed = Annotated[Any, _only()]


class Format(Wire):
    """Format of the sound. `rate` is in Hz; the G.711 formats always have 8000."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: Annotated[int, AfterValidator(_rate)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type in _LAWS and self.rate not in (None, g711.RATE):
            raise ValueError(f"the rate of {self.type} is {g711.RATE} Hz: leave the rate out")
        return self


class Words(Speech):
    """How to transcribe."""

    model: str | None = None
    delay: Fixed = None


class ServerVad(Wire):
    """How to detect the end of a phrase. `prefix_padding_ms` has no effect: sound before speech is always kept."""

    type: Literal["server_vad"]
    silence_duration_ms: int | None = Field(None, ge=PAUSES_MS[0], le=PAUSES_MS[1])
    prefix_padding_ms: int | None = Field(None, ge=0, le=1000)
    threshold: Annotated[float | None, _only(_THRESHOLD)] = None
    create_response: Annotated[bool | None, _only(False)] = None
    interrupt_response: Annotated[bool | None, _only(False)] = None
    idle_timeout_ms: Fixed = None


class Input(Wire):
    """Settings of the sound and its transcription."""

    format: Format | None = None
    transcription: Words | None = None
    turn_detection: ServerVad | None = None
    noise_reduction: Fixed = None


class Audio(Wire):
    """Settings of the audio; only input has any."""

    input: Input = Input()


class Session(Wire):
    """The field `session` of session.update."""

    type: Literal["transcription"] = "transcription"
    audio: Audio = Audio()
    include: Annotated[list[str] | None, AfterValidator(_no_logprobs)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeSettings:
    """Settings of one connection.

    Attributes:
        format: Format of the sound.
        words: How to transcribe.
        vad: How to detect the end of a phrase; None if the client commits.
    """

    format: Format = field(default_factory=Format)
    words: Words = field(default_factory=Words)
    vad: ServerVad | None = field(default_factory=lambda: ServerVad(type="server_vad"))

    @property
    def law(self) -> Law | None:
        """The G.711 law of the samples; None for PCM16."""
        return _LAWS.get(self.format.type)

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""
        return g711.RATE if self.law else self.format.rate or 24_000

    @property
    def pause_ms(self) -> int:
        """Milliseconds of silence that end a phrase."""
        return (self.vad and self.vad.silence_duration_ms) or PAUSE_MS

    def request(self, service: Service) -> ProcessRequest:
        """The request to the pipeline.

        Raises:
            Problem: A setting is not supported.
            UnsupportedLanguage: The engine does not support the language.
        """
        request = checked(service, self.words.model, self.words.settings(), frozenset({Task.TRANSCRIBE}))
        return request.model_copy(update={"stereo": False})

    def updated(self, session: Any, *, old: bool) -> RealtimeSettings:
        """The settings with the changes that a client sends.

        Args:
            session: The field `session` of the event.
            old: Whether it has the form of transcription_session.update.

        Raises:
            Problem: A setting is invalid.
        """
        try:
            asked = Session.model_validate(_from_old(session) if old and isinstance(session, dict) else session)
        except ValidationError as error:
            raise of_fields(error, "session") from error
        given = asked.audio.input
        update: dict[str, Any] = {}
        if "format" in given.model_fields_set:
            update["format"] = given.format or Format()
        if "transcription" in given.model_fields_set:
            update["words"] = given.transcription or Words()
        if "turn_detection" in given.model_fields_set:
            update["vad"] = given.turn_detection
        return replace(self, **update)

    def document(self, name: str, *, old: bool) -> dict[str, Any]:
        """The session as a JSON document for the client.

        Args:
            name: Id of the session.
            old: Whether to use the form of the beta API.
        """
        words = self.words.model_dump(exclude_unset=True, exclude_none=True)
        vad = self.vad and {
            "type": "server_vad",
            "threshold": _THRESHOLD,
            "prefix_padding_ms": 300 if self.vad.prefix_padding_ms is None else self.vad.prefix_padding_ms,
            "silence_duration_ms": self.pause_ms,
        }
        document: dict[str, Any] = {"id": name, "object": "realtime.transcription_session", "include": None}
        if old:
            formats = {new: before for before, new in _OLD_FORMATS.items()}
            return document | {
                "input_audio_format": formats[self.format.type],
                "input_audio_transcription": words,
                "turn_detection": vad,
            }
        sound: dict[str, Any] = {"type": self.format.type}
        if self.law is None:
            sound["rate"] = self.rate
        heard = {"format": sound, "noise_reduction": None, "transcription": words, "turn_detection": vad}
        return document | {"type": "transcription", "audio": {"input": heard}}


def _from_old(session: dict[str, Any]) -> dict[str, Any]:
    """Convert from the beta API to the form of session.update. Unknown names stay, to be refused later."""
    rest = dict(session)
    given: dict[str, Any] = {}
    for before, now in (
        ("transcription", "input_audio_transcription"),
        ("noise_reduction", "input_audio_noise_reduction"),
    ):
        if now in rest:
            given[before] = rest.pop(now)
    if "turn_detection" in rest:
        given["turn_detection"] = rest.pop("turn_detection")
    if "input_audio_format" in rest:
        name = rest.pop("input_audio_format")
        given["format"] = {"type": _OLD_FORMATS.get(name, name) if isinstance(name, str) else name}
    return {**rest, "audio": {"input": given}}
