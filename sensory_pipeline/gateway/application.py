"""The service as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from sensory_pipeline.engines.selection import EngineFactory
from sensory_pipeline.gateway import live_route, problems
from sensory_pipeline.gateway.live_speech import live_speech
from sensory_pipeline.gateway.routes import router
from sensory_pipeline.gateway.service import running
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings


def application(
    settings: Settings, service_settings: ServiceSettings, *, engines: EngineFactory | None = None
) -> FastAPI:
    """Its engines start and end with it. engines: instead of those that the settings choose."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, service_settings, engines) as service:
            app.state.service = service
            with live_speech(service) as app.state.live:
                yield

    app = FastAPI(
        title="sensory",
        version=version("sensory-pipeline"),
        description="Recordings in; words, speakers and emotions out.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(router)
    app.include_router(live_route.router)
    problems.install(app)
    return app
