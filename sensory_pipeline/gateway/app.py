"""The application, configured by the environment, for any ASGI server: `uvicorn sensory_pipeline.gateway.app:app`."""

from __future__ import annotations

from sensory_pipeline.gateway import logs
from sensory_pipeline.gateway.app_factory import application
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings

_settings = Settings()
logs.configure(_settings.log_level)
app = application(_settings, ServiceSettings())
