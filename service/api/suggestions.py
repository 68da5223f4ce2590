"""``/v1/suggestions``: answer tickets; ``/v1/alike``: what came before."""

from __future__ import annotations

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
    Header(
        alias="Idempotency-Key",
        max_length=200,
        description="幂等键：同一键重复提交只记一次；同键不同内容答 409",
    ),
]


def _json(text: bytes | str) -> Response:
    return Response(text, media_type="application/json")


@router.post("/suggestions", summary="一件工单的派单建议", responses=_ANSWER)  # type: ignore[arg-type]
async def suggest(
    body: TicketBody,
    service: AService,
    who: Operator,
    key: Key = None,
    preview: Annotated[bool, Query(description="只看不存：边输入边建议时用")] = False,
) -> Response:
    """Answer one ticket."""
    source = "console" if who.csrf is not None else "api"
    return _json(await service.suggest(body.ticket(), who, source=source, key=key, preview=preview))


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
    answers = await service.suggest_many([t.ticket() for t in body.tickets], who, source="api")
    return _json(b'{"suggestions":[%b]}' % b",".join(answers))


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
