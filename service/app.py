"""The web application: middleware, routes, errors, console; one instance of :class:`Service`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import decisions, events, health, knowledge, models, suggestions
from service.api.schemas import suggestion_schemas
from service.console import pages
from service.core import Service
from service.limits import Guard
from service.metrics import Metrics
from service.problems import MEDIA_TYPE, add_handlers

_ABOUT = """接诉即办派单建议。一件诉求进来，返回目录细项、地点、承办单位、时限、把握与理由；
处理结果用 `POST /v1/decisions` 交回，成为下一版模型的训练数据。

认证：`Authorization: Bearer jk_…`（用 `jiesu key add` 生成）。错误一律为 RFC 9457 的 `application/problem+json`。"""
Call = Callable[[Request], Awaitable[Response]]


def create_app(service: Service) -> FastAPI:
    """Return the application around a service; the service starts and stops with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.stop()

    app = FastAPI(
        title="jiesu-nlp 派单服务",
        version="1",
        description=_ABOUT,
        lifespan=lifespan,
        # Swagger's page loads scripts from elsewhere; a closed intranet has only the document.
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.service = service
    add_handlers(app)
    for router in (
        suggestions.router,
        decisions.router,
        events.router,
        knowledge.router,
        models.router,
        health.router,
    ):
        app.include_router(router)
    pages.add_to(app)
    settings = service.settings
    app.add_middleware(Measured, metrics=service.metrics)
    app.add_middleware(Guard, body_limit=settings.body_limit, secure=settings.secure_cookies)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


class Measured:
    """ASGI wrapper that counts and times requests by route."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and measure it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            # The pattern of the route, not the address: labels must stay few.
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - started)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(suggestion_schemas())
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        problem = {
            "description": "错误说明（RFC 9457）",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for path, operations in document["paths"].items():
            for operation in operations.values():
                responses = operation["responses"]
                responses["default"] = problem
                if "422" in responses:
                    responses["422"] = problem
                if path.startswith("/v1"):
                    operation["security"] = [{"key": []}]
        app.openapi_schema = document
    return app.openapi_schema
