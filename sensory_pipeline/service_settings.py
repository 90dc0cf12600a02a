"""Settings of the service only (`sensory serve`); those of its engines are in `settings.py`, as for all commands."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from sensory_pipeline.env_file import Variables

OWNER = r"[A-Za-z0-9_.-]{1,64}"
"""Pattern of the name of a key's user."""

Digest = Annotated[str, Field(pattern=rf"^{OWNER}=[0-9a-f]{{64}}$")]
"""Name of the key's user, and the SHA-256 of the key."""

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,128}$")]
"""As it may stand in an address."""


def _listed(value: Any) -> Any:
    """Accept commas instead of JSON."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.startswith("[") else [item.strip() for item in value.split(",") if item.strip()]


class ServiceSettings(Variables):
    """How the service accepts requests. Every setting is a variable that begins with SENSORY_."""

    spool: Path = Field(Path("spool"), description="Folder for the service's uploads and background jobs.")
    max_upload_mb: float = Field(500, gt=0, description="Maximum megabytes of an upload.")
    queue_audio_hours: float = Field(
        4, gt=0, description="Maximum hours of audio that wait while their clients wait; more is refused for now."
    )
    live_sessions: int = Field(
        16, ge=1, description="Maximum number of live streams at once; others are asked to try again later."
    )
    key_requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="Maximum requests with recordings, and connections for live speech, that a key (without keys, an "
        "address) may begin in a minute; unset: no limit.",
    )
    key_concurrent_requests: int | None = Field(
        None,
        ge=1,
        description="Maximum requests with recordings, and live streams, that a key (without keys, an address) may "
        "have at once; unset: no limit.",
    )
    job_audio_hours: float = Field(200, gt=0, description="Maximum hours of audio that wait as background jobs.")
    inbox: str | None = Field(
        None,
        description="Folder or S3 prefix in one of SENSORY_SOURCES where the service puts the recordings of background "
        "jobs, so that the lake's runs process them; unset: the service processes them itself.",
    )
    request_timeout_s: float = Field(
        900, gt=0, description="A request that a client waits for fails after this many seconds."
    )
    job_ttl_hours: float = Field(24, gt=0, description="Hours for which the result of a background job is kept.")
    stop_s: float = Field(
        30, ge=0, description="Seconds that requests have to finish after the service is asked to stop."
    )
    job_webhook_secret: SecretStr | None = Field(
        None,
        description="Secret that signs webhooks of background jobs: whsec_ and the Base64 of 24 to 64 random bytes; "
        "unset: no webhooks.",
    )
    job_webhook_any_address: bool = Field(
        False,
        description="Send webhooks of background jobs also over http and to private addresses, for receivers in your "
        "own network.",
    )
    api_keys: Annotated[tuple[Digest, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="Digests of the keys that may use the service, as `sensory keys new` prints them; separated by "
        "commas.",
    )
    openai_models: Annotated[tuple[ModelName, ...], NoDecode, BeforeValidator(_listed)] = Field(
        ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"),
        description="Names of models that clients of OpenAI's API may send; all stand for the engines of the service. "
        "Separated by commas.",
    )
    client_key: SecretStr | None = Field(None, description="Key that `sensory call` sends to a service.")
    hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (), description="Host names of the service, besides this machine's own; separated by commas."
    )

    @field_validator("job_webhook_secret")
    @classmethod
    def _is_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None:
            return None
        prefix, _, key = secret.get_secret_value().partition("_")
        with suppress(ValueError):
            if prefix == "whsec" and 24 <= len(base64.b64decode(key, validate=True)) <= 64:
                return secret
        raise ValueError('SENSORY_JOB_WEBHOOK_SECRET must be made by: echo "whsec_$(openssl rand -base64 32)"')
