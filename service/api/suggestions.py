"""``/v1/suggestions``: answer tickets; ``/v1/alike``: what came before."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from service.api.deps import AService, Operator, throttle
from service.api.schemas import AlikeBody, BatchBody, TicketBody
from service.problems import Problem
from service.store.queries import read_alike, read_ticket

router = APIRouter(prefix="/v1", tags=["派单建议"])
_ANSWER = {
    200: {
        "description": "派单建议",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Suggestion"}}},
    }
}
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=200, description="幂等键：同一键重复提交只记一次"),
]


def json_response(value: Any) -> Response:
    """Answer with JSON in UTF-8, without a second look at plain data."""
    return Response(json.dumps(value, ensure_ascii=False).encode(), media_type="application/json")


@router.post("/suggestions", summary="一件工单的派单建议", responses=_ANSWER)  # type: ignore[arg-type]
async def suggest(
    body: TicketBody,
    service: AService,
    who: Operator,
    key: Key = None,
    preview: Annotated[bool, Query(description="只看不存：边输入边建议时用")] = False,
) -> Response:
    """Answer one ticket."""
    if key is not None and not preview:
        known = await asyncio.to_thread(_earlier, service, service.keyed_id(who, key))
        if known is not None:
            return json_response(known)
    source = "console" if who.csrf is not None else "api"
    answers = await service.suggest(
        [body.ticket()], who, source=source, keys=[key], preview=preview
    )
    return json_response(answers[0])


def _earlier(service: AService, identity: str) -> dict[str, Any] | None:
    """Return the stored answer of an earlier request; nothing if the store is away."""
    try:
        found = read_ticket(service.engine, identity)
    except Exception:
        return None
    return None if found is None else found["answer"]


@router.post(
    "/suggestions:batch",
    summary="一批工单（不超过 500 件）的派单建议，顺序不变",
    responses={
        200: {
            "description": "与输入同序的派单建议",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "suggestions": {
                                "type": "array",
                                "items": {"$ref": "#/components/schemas/Suggestion"},
                            }
                        },
                    }
                }
            },
        }
    },
)
async def suggest_batch(body: BatchBody, service: AService, who: Operator) -> Response:
    """Answer many tickets."""
    throttle(service, who, cost=len(body.tickets) / 10)
    answers = await service.suggest([t.ticket() for t in body.tickets], who, source="api")
    return json_response({"suggestions": answers})


@router.get("/suggestions/{suggestion_id}", summary="查看一条派单建议及其处理结果")
def one(suggestion_id: str, service: AService, who: Operator) -> dict[str, Any]:
    """Return a stored suggestion with its decisions."""
    found = read_ticket(service.engine, suggestion_id)
    if found is None:
        raise Problem(404, "unknown-suggestion", "没有这条派单建议")
    return found


@router.post("/alike", summary="疑似重复与相近的历史工单（只提示，不合并）")
def alike(body: AlikeBody, service: AService, who: Operator) -> dict[str, Any]:
    """Return probable duplicates and similar earlier tickets."""
    return read_alike(
        service.engine,
        text=body.text,
        code=body.code,
        district=body.district,
        town=body.town,
        requester=service.pseudonym(body.requester),
    )
