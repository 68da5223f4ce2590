"""``/v1/decisions``: record what operators decided, list and export it. ``/v1/tickets``: the queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.access import Role
from service.api.deps import AService, Operator, peer_of
from service.api.schemas import DecisionBody
from service.core import Service, Verdict
from service.problems import Problem
from service.store.export import labelled, stamp_of, to_csv, to_parquet
from service.store.queries import read_decisions, read_tickets
from service.store.writer import Outcome

router = APIRouter(prefix="/v1", tags=["处理结果"])
_LIMIT = Annotated[int, Query(ge=1, le=500)]
_CURSOR = Annotated[str | None, Query(max_length=64)]


@router.post("/decisions", summary="提交处理结果（幂等）", status_code=201)
async def decide(
    body: DecisionBody,
    service: AService,
    who: Operator,
    response: Response,
    key: Annotated[
        str,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            description="幂等键：重试时不变，每个处理结果一个",
        ),
    ],
) -> dict[str, Any]:
    """Record a decision; a repeated one is answered with 200 and recorded once."""
    identity, outcome = await service.decide(_verdict(body, service), who, key)
    if outcome is Outcome.REPEATED:
        response.status_code = 200
    return {
        "id": identity,
        "repeated": outcome is Outcome.REPEATED,
        "stored": "spool" if outcome is Outcome.SPOOLED else "database",
    }


def _verdict(body: DecisionBody, service: Service) -> Verdict:
    """Check a decision against the catalogue and units in service."""
    knowledge = service.models.active.dispatcher.knowledge
    catalogue = knowledge.catalogue
    if body.code is not None and body.code not in catalogue:
        successors = catalogue.successors(body.code)
        if successors:
            raise Problem(
                422,
                "retired-code",
                f"编码 {body.code} 已退役，请改用 {'、'.join(successors)}",
                successors=list(successors),
            )
        raise Problem(
            422,
            "unknown-code",
            f"派单目录（{catalogue.version}）里没有编码 {body.code}；用 GET /v1/catalogue/search 查找",
        )
    unit, unit_code = body.unit, body.unit_code
    if unit_code is not None:
        registered = knowledge.units.by_code.get(unit_code)
        if registered is None:
            raise Problem(422, "unknown-unit", f"没有编码为 {unit_code} 的承办单位")
        unit = registered.name
    if body.kind == "changed" and body.code is None and unit is None:
        raise Problem(422, "invalid", "改派须给出新的目录编码或承办单位")
    if body.kind == "returned" and not (body.reason or "").strip():
        raise Problem(422, "invalid", "退回须写明理由")
    return Verdict(
        body.suggestion_id,
        body.demand,
        body.kind,
        body.code,
        unit_code,
        unit,
        body.reason,
        body.unless_decided,
    )


@router.get(
    "/decisions",
    summary="翻阅处理结果（json），或导出为训练数据（csv、parquet）",
    description="json：按时间先后，用上一页最后一条的 id 作 after 往后翻；要不漏地跟进，用 /v1/events。"
    "csv 与 parquet 即 jiesu train 读取的列：text、code、unit、created_at、weight、source；需要工程师权限。",
)
def decisions(
    request: Request,
    service: AService,
    who: Operator,
    form: Annotated[Literal["json", "csv", "parquet"], Query(alias="format")] = "json",
    after: _CURSOR = None,
    limit: _LIMIT = 200,
    since: Annotated[
        str | None,
        Query(
            max_length=40,
            description="只导出此后受理的工单（没有受理时间的看入库时间）：ISO 8601，如 2026-11-01",
        ),
    ] = None,
) -> Any:
    """Return decisions as JSON pages, or all of them as training data."""
    if form == "json":
        rows = read_decisions(service.engine, after=after, limit=limit)
        return {"decisions": rows, "next": rows[-1]["id"] if len(rows) == limit else None}
    if not who.role.covers(Role.ENGINEER):
        raise Problem(403, "forbidden", "导出需要工程师权限")
    start = stamp_of(since) if since is not None else None
    service.audit(who.actor, "export", f"{form} since={since or ''}", peer_of(request))
    labels = labelled(service.engine, since=start)
    name = f'attachment; filename="decisions.{form}"'
    headers = {"Content-Disposition": name}
    if form == "parquet":
        return Response(
            to_parquet(labels), media_type="application/vnd.apache.parquet", headers=headers
        )
    return StreamingResponse(
        _first(to_csv(labels)), media_type="text/csv; charset=utf-8", headers=headers
    )


def _first(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Start the query before the headers are sent, so that a fault still gets a clean answer."""
    mark, second = next(chunks), next(chunks)

    def rest() -> Iterator[bytes]:
        yield mark + second
        yield from chunks

    return rest()


@router.get("/tickets", summary="工单队列")
def tickets(
    service: AService,
    who: Operator,
    status: Annotated[
        Literal["review", "open", "decided", "all"],
        Query(description="review 待核定；open 未处理；decided 已处理；all 全部"),
    ] = "review",
    q: Annotated[str | None, Query(max_length=100, description="内容片段或工单编号")] = None,
    before: _CURSOR = None,
    limit: _LIMIT = 50,
) -> dict[str, Any]:
    """Return a page of tickets, newest first."""
    rows = read_tickets(
        service.engine, status=status, words=_storable(q), before=before, limit=limit
    )
    return {"tickets": rows, "next": rows[-1]["id"] if len(rows) == limit else None}


def _storable(words: str | None) -> str | None:
    if words is not None and "\x00" in words:
        raise Problem(422, "invalid", "查询内容含有无法处理的字符")
    return words
