"""Whether Whisper's prompt for each clip, with names to expect and the style wanted, fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensory_pipeline.core.errors import PromptTooLong
from sensory_pipeline.core.process_request import TranscriptionSettings

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

_TOKENS = 223  # half of the decoder's context, less one; faster-whisper cuts off the rest


def too_long(model: WhisperModel, settings: TranscriptionSettings) -> PromptTooLong | None:
    """The error for a recording with these settings; None if its prompt fits."""
    prompts = [f" {text.strip()}" for text in (settings.hotwords, settings.initial_prompt) if text]
    tokens = sum(len(model.hf_tokenizer.encode(text, add_special_tokens=False).ids) for text in prompts)
    if tokens <= _TOKENS:
        return None
    return PromptTooLong(
        f"hotwords and initial prompt are {tokens} tokens long, and Whisper takes {_TOKENS}: shorten them"
    )
