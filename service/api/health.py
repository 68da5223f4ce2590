"""``/healthz``, ``/readyz``, ``/metrics``: for the machinery around the service."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from service.api.deps import AService
from service.core import health_of
from service.problems import Problem

router = APIRouter(tags=["运行状况"])


@router.get("/healthz", summary="进程是否活着")
async def healthz() -> dict[str, str]:
    """Answer while the process lives."""
    return {"status": "ok"}


@router.get("/readyz", summary="能否应答；store 为 spooling 时处理结果先存盘")
async def readyz(service: AService) -> dict[str, Any]:
    """Answer 200 once a model is loaded; a store that is away does not stop suggestions."""
    if not service.models.is_ready:
        raise Problem(503, "not-ready", "模型包尚未载入", retry_after=1)
    return dict(health_of(service))


@router.get("/metrics", summary="Prometheus 指标", response_class=Response)
async def metrics(service: AService) -> Response:
    """Return the metrics of this instance."""
    m, writer = service.metrics, service.writer
    m.in_flight.set(service.in_flight)
    m.waiting.set(writer.waiting)
    m.away.set(1 if writer.is_away else 0)
    m.spooled.set(writer.spooled)
    m.lost.set(writer.lost)
    if service.webhook is not None:
        m.webhook_failures.set(service.webhook.failures)
    return Response(m.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
