"""The documents of the API: the OpenAPI schema and a page that shows it, without anything from the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from sensory_pipeline.gateway.openai import routes as openai_routes
from sensory_pipeline.gateway.problems import ProblemDocument
from sensory_pipeline.gateway.request_json import RequestJson

_PAGE = Path(__file__).with_name("docs.html")
_REFERENCE = "#/components/schemas/{model}"


def documents(app: FastAPI) -> None:
    """Add the routes /openapi.json and /docs."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            # FastAPI does not find these, because no route has them as a parameter or return value
            for model in (RequestJson, ProblemDocument, *openai_routes.DOCUMENTED):
                described = model.model_json_schema(ref_template=_REFERENCE)
                schemas |= described.pop("$defs", {})
                schemas[model.__name__] = described
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"key": []}, {}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI documents it

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    async def docs() -> HTMLResponse:
        """The page, which fetches the schema."""
        return HTMLResponse(_PAGE.read_text(encoding="utf-8"))
