"""Settings of the pipeline. Only this module, service_settings.py and env_file.py read the environment and `.env`.

Every setting is an environment variable whose name `Settings.names()` returns; `.env.example` lists them all with their
meaning.
"""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import EnvSettingsSource, NoDecode

from sensory_pipeline.core.languages import Codes
from sensory_pipeline.core.sources import Source
from sensory_pipeline.env_file import RUNS_CODE, OwnEnvFile, Variables
from sensory_pipeline.lake_settings import LakeSettings

Owner = Annotated[str, Field(pattern=r"^(team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7})$")]
"""In Dagster's required format."""


class Settings(Variables, LakeSettings):
    """How this installation runs, and the settings of its lake and of every recording.

    Every setting of a request is here too, under the same name.
    """

    model_config = Variables.model_config  # not that of a request

    # as for a recording, but also accepts commas instead of JSON
    languages: Annotated[Codes, NoDecode] = Field((), description=LakeSettings.model_fields["languages"].description)
    lake: Path = Field(Path("lake"), description="Folder for the tables and all state.")
    ledger: SecretStr | None = Field(
        None,
        description="PostgreSQL database for the ledger, as postgresql://user:password@host/name; unset: SQLite in the "
        "lake's folder. Cannot change once the lake exists.",
    )
    sqs_queue: str | None = Field(
        None,
        pattern="^https?://",
        description="URL of the SQS queue that receives S3's events about objects; sweeps find what the events miss.",
    )
    s3_endpoint_url: str | None = Field(
        None,
        description="URL of S3, without a password. Endpoint, region, profile unset: as every AWS tool finds them.",
    )
    s3_region: str | None = Field(None, description="Region of S3.")
    s3_profile: str | None = Field(None, description="Profile of ~/.aws for S3.")
    s3_unsigned: bool = Field(False, description="Access S3 without credentials, as for public buckets.")
    nightly: str = Field(
        "0 2 * * *", description="When all sources are swept and everything pending is run, as a cron expression."
    )
    time_zone: str = Field("UTC", description="Time zone of SENSORY_NIGHTLY, for example Europe/Berlin.")
    arrivals: bool = Field(True, description="Watch sources for new recordings all day as well.")
    arrival_gb: float = Field(
        1, gt=0, description="A partition runs at once when this many gigabytes are pending in it."
    )
    arrival_wait_s: float | None = Field(
        None,
        ge=0,
        description="Seconds after which a partition runs however little is pending; unset: 600, or 10 if no engine "
        "needs torch.",
    )
    owners: tuple[Owner, ...] = Field(
        (), description='Owners of the tables, shown in Dagster: e-mail addresses, or ["team:speech"].'
    )
    price_per_hour: float | None = Field(
        None,
        gt=0,
        description="Price of one device for an hour, used to show the cost of an hour of audio; unset: not shown.",
    )
    fresh_hours: float | None = Field(
        None, gt=0, description="Dagster shows the tables as overdue after this many hours without a run; unset: never."
    )
    webhook_url: SecretStr | None = Field(
        None,
        description="URL to which sensory dev reports failures, in the form of Slack's incoming webhooks; unset: none.",
    )
    ui_url: str | None = Field(
        None,
        pattern="^https?://",
        description="Address of Dagster's UI as its users reach it, for links in messages; unset: that of sensory dev.",
    )
    keep_runs_days: int = Field(
        90, ge=1, description="Days that Dagster keeps runs and their events; the last run of each partition stays."
    )
    models: Path | None = Field(
        None, description="Folder for downloaded models; unset: ~/.cache/sensory_pipeline/models."
    )
    shards: int = Field(8, ge=1, le=256, description="Number of shards of a new lake; cannot change once it exists.")
    start_date: date = Field(
        date(2024, 1, 1),
        description="First date of a new lake; older recordings get this date. If it is the default, the UI shows "
        "dates from the first recording on.",
    )
    run_audio_hours: float = Field(8, gt=0, description="Maximum hours of audio in one run.")
    max_audio_hours: float = Field(12, gt=0, description="Longer recordings fail as AudioTooLong.")
    audio_cache_gb: float = Field(10, ge=0, description="Gigabytes of decoded audio kept for later stages.")
    devices: str = Field(
        "auto",
        description="Devices for runs, one run at a time on each, and for the service, which uses all: auto (every "
        "GPU, or the CPU), a number of GPUs, or names such as cuda:0,cuda:1.",
    )
    executor: Literal["in_process", "multiprocess", "celery", "k8s"] = Field(
        "in_process",
        description="Where the steps of a run are executed: in its process, in a process each, by Celery or in "
        "Kubernetes.",
    )
    celery_broker: SecretStr | None = Field(
        None, description="URL of Celery's broker, for example redis://:password@host:6379/0."
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="Number of engine processes on a device, for each stage but decoding if stages run side by side; "
        "unset: one, or two for the service on a CPU alone.",
    )
    side_by_side: bool | None = Field(
        None,
        description="Run stages side by side, each in its own processes, so that the device does not wait for disk, "
        "network or decoding; unset: if memory is sufficient for all models at once.",
    )
    worker_memory_mb: int = Field(
        8192, ge=128, description="An engine process that uses more megabytes of memory is killed."
    )
    recording_timeout_s: float = Field(
        300,
        gt=0,
        description="An engine is killed if it gives no sign of life for this many seconds plus ten times the "
        "recording's length.",
    )

    whisper_device: str = Field(
        "auto", validation_alias="WHISPER_DEVICE", description="auto, cpu, cuda or cuda:1; auto falls back to the CPU."
    )
    whisper_compute_type: str = Field(
        "auto",
        validation_alias="WHISPER_COMPUTE_TYPE",
        description="auto, float16, int8_float16, int8 or float32; auto: float16 on a GPU, int8 on a CPU.",
    )
    whisper_cpu_threads: int = Field(
        0,
        ge=0,
        validation_alias="WHISPER_CPU_THREADS",
        description="Whisper's threads on a CPU, shared by up to four workers that each decode their own clips; 0: "
        "chosen by the number of cores.",
    )
    pyannote_auth_token: SecretStr | None = Field(
        None,
        validation_alias="PYANNOTE_AUTH_TOKEN",
        description="Hugging Face token, to download pyannote's gated models.",
    )
    pyannote_use_gpu: bool = Field(
        True, validation_alias="PYANNOTE_USE_GPU", description="Use a GPU for pyannote if there is one."
    )
    pyannote_trusted_classes: frozenset[str] = Field(
        frozenset(),
        validation_alias=RUNS_CODE,
        description='Classes of your own networks that checkpoints may use, as ["module.Class"]; their modules are '
        "imported and run. Read only from the environment, not from .env.",
    )
    cache_models: int = Field(4, ge=1, description="Maximum number of models that an engine process keeps loaded.")
    cache_gb: float | None = Field(
        None, gt=0, description="Maximum gigabytes of models that an engine process keeps loaded."
    )
    cache_ttl_s: float | None = Field(300, gt=0, description="A model is unloaded after this many seconds without use.")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "WARNING", validation_alias="LOG_LEVEL", description="Lowest level of log messages that are shown."
    )

    def of(self, source: Source) -> Settings:
        """Return these settings with those that a source has for its recordings."""
        return self.model_copy(update=source.own)

    @field_validator("webhook_url")
    @classmethod
    def _is_web(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.fullmatch(r"https?://[!-~]+", url.get_secret_value()):
            raise ValueError("SENSORY_WEBHOOK_URL must begin with https:// or http:// and contain no spaces")
        return url

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError if it is a folder of the time zone database
            raise ValueError("unknown time zone; write it like Europe/Berlin") from None
        return name

    @property
    def in_s3(self) -> bool:
        """Whether any source is in S3."""
        return any(source.uri.startswith("s3://") for source in self.sources)

    @property
    def steps_elsewhere(self) -> bool:
        """Whether steps are executed on other hosts, which have their own devices."""
        return self.executor in ("celery", "k8s")


def given_variables() -> set[str]:
    """Return the names of the SENSORY_* variables in the environment and `.env`."""
    given = {**EnvSettingsSource(Settings).env_vars, **OwnEnvFile(Settings).env_vars}
    return {name.upper() for name in given if name.upper().startswith("SENSORY_")}


def dagster_home(lake: Path) -> Path:
    """Return DAGSTER_HOME; if it is not set, the folder for it in a lake."""
    value = os.environ.get("DAGSTER_HOME")  # noqa: TID251
    return Path(value) if value else lake / ".dagster"


def environment_with(**variables: str) -> dict[str, str]:
    """Return the environment for a child process, with these variables set."""
    return {**os.environ, **variables}  # noqa: TID251


def completing() -> bool:
    """Return whether a shell asks for completions."""
    return "_SENSORY_COMPLETE" in os.environ  # noqa: TID251


def visible_devices() -> str | None:
    """Return CUDA_VISIBLE_DEVICES, None if it is not set; an empty value hides all GPUs, unlike in other settings."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")  # noqa: TID251


def cores() -> int:
    """Return the number of processor cores that this process can use."""
    return len(os.sched_getaffinity(0))
