"""``/v1/models``: which bundles there are, switch, go back, shadow; ``/v1/quality``."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from jiesu_nlp.errors import BundleError
from service.api.deps import Admin, AService, Engineer, peer_of
from service.api.schemas import ModelBody, ShadowBody
from service.problems import Problem
from service.store.quality import read_hot, read_quality, read_trend
from service.store.queries import read_audit, read_shadow

router = APIRouter(prefix="/v1", tags=["模型与质量"])


@router.get("/models", summary="全部模型包、启用中的与影子模型")
def models(service: AService, who: Engineer) -> dict[str, Any]:
    """Return all bundles."""
    active = service.models.active
    return {
        "active": active.name,
        "shadow": service.models.shadow.name if service.models.shadow else None,
        "versions": active.dispatcher.versions.to_dict(),
        "models": service.models.listing(),
        "faults": service.faults,
    }


@router.post("/models/activate", summary="启用一个模型包（先校验、试答，再原子切换）")
async def activate(
    body: ModelBody, service: AService, who: Engineer, request: Request
) -> dict[str, Any]:
    """Switch; a bad bundle is refused with 409 and the old one keeps serving."""
    try:
        model = await asyncio.to_thread(service.models.activate, body.name)
    except (BundleError, OSError) as fault:
        service.audit(who.actor, "model-refused", f"{body.name}: {fault}", peer_of(request))
        raise Problem(409, "bundle", f"{fault}；仍由“{service.models.active.name}”应答") from None
    service.audit(who.actor, "model-activate", model.name, peer_of(request))
    return {"active": model.name, "versions": model.dispatcher.versions.to_dict()}


@router.post("/models/rollback", summary="退回上一个模型包")
async def rollback(service: AService, who: Engineer, request: Request) -> dict[str, Any]:
    """Go back to the model before."""
    try:
        model = await asyncio.to_thread(service.models.roll_back)
    except (BundleError, OSError) as fault:
        raise Problem(409, "bundle", str(fault)) from None
    service.audit(who.actor, "model-rollback", model.name, peer_of(request))
    return {"active": model.name, "versions": model.dispatcher.versions.to_dict()}


@router.put("/models/shadow", summary="设定或停用影子模型")
async def shadow(
    body: ShadowBody, service: AService, who: Engineer, request: Request
) -> dict[str, Any]:
    """Let a candidate answer beside the active model."""
    try:
        await asyncio.to_thread(service.models.set_shadow, body.name)
    except (BundleError, OSError) as fault:
        raise Problem(409, "bundle", str(fault)) from None
    service.audit(who.actor, "model-shadow", body.name or "（停用）", peer_of(request))
    return {"shadow": body.name}


@router.get("/models/shadow", summary="影子模型与启用模型的一致率和准确率")
def shadow_results(
    service: AService, who: Engineer, days: Annotated[int, Query(ge=1, le=366)] = 30
) -> dict[str, Any]:
    """Return agreement and later accuracy per model."""
    return {"results": read_shadow(service.engine, days)}


@router.get("/quality", summary="质量看板的数据")
def quality(
    service: AService, who: Engineer, days: Annotated[int, Query(ge=1, le=366)] = 30
) -> dict[str, Any]:
    """Return the figures of the quality board."""
    return asdict(read_quality(service.engine, days))


@router.get("/quality/trend", summary="采纳、改派与退回随时间的变化，按大类、单位、区或模型")
def trend(
    service: AService,
    who: Engineer,
    by: Annotated[
        Literal["class", "unit", "district", "model"],
        Query(description="class 大类；unit 建议的承办单位；district 区；model 模型"),
    ] = "class",
    days: Annotated[int, Query(ge=1, le=366)] = 90,
) -> dict[str, Any]:
    """Return the rates of the most frequent ones by day or week."""
    return read_trend(service.engine, by, days)


@router.get("/quality/hot", summary="高频与显著上升的事项，按区或街镇（近 7 天对此前三周）")
def hot(
    service: AService,
    who: Engineer,
    place: Annotated[
        Literal["district", "town"], Query(description="district 按区；town 按街镇")
    ] = "district",
) -> dict[str, Any]:
    """Return what citizens call about most."""
    return {"hot": read_hot(service.engine, place)}


@router.get("/audit", summary="审计记录")
def audit_log(
    service: AService, who: Admin, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> dict[str, Any]:
    """Return the latest audit lines."""
    return {"audit": read_audit(service.engine, limit)}
