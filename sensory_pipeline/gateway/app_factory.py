"""The service as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.gateway import live_route, problems
from sensory_pipeline.gateway.client_limits import ClientLimits
from sensory_pipeline.gateway.gate import Gate
from sensory_pipeline.gateway.keys import Keys
from sensory_pipeline.gateway.live_setup import live_speech
from sensory_pipeline.gateway.metrics import Metrics
from sensory_pipeline.gateway.openai import realtime
from sensory_pipeline.gateway.openai import routes as openai_routes
from sensory_pipeline.gateway.openai.errors import shown
from sensory_pipeline.gateway.openapi_docs import documents
from sensory_pipeline.gateway.page import page
from sensory_pipeline.gateway.routes import router
from sensory_pipeline.gateway.service import running
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings


def application(
    settings: Settings, service_settings: ServiceSettings, *, engines: EngineFactory | None = None
) -> FastAPI:
    """Build the application. Its engines start and stop with it.

    If it cannot start for a reason that the user can fix, `app.state.failure` is that error.

    Args:
        settings: Settings of the pipeline.
        service_settings: Settings of the service.
        engines: Engines to use instead of those that the settings select.
    """
    metrics = Metrics()
    limits = ClientLimits(
        per_minute=service_settings.key_requests_per_minute,
        at_once=service_settings.key_concurrent_requests,
        refused=metrics.limited,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with running(settings, service_settings, metrics, engines) as service:
                app.state.service = service
                with live_speech(service, limits) as app.state.live:
                    yield
        except SensoryError as error:
            app.state.failure = error
            raise

    app = FastAPI(
        title="sensory",
        version=version("sensory-pipeline"),
        description="Recordings in; words, speakers and emotions out.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.failure = None
    app.add_middleware(
        Gate,
        keys=Keys(service_settings.api_keys),
        hosts=service_settings.hosts,
        limits=limits,
        metrics=metrics,
        shown=shown,
    )
    for part in (router, openai_routes.router, live_route.router, realtime.router):
        app.include_router(part)
    documents(app)
    page(app)
    problems.install(app, shown)
    return app
