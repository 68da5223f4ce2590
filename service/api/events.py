"""``/v1/events``: what the order system pulls, with a cursor that survives restarts on both sides."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from service.api.deps import AService, Operator
from service.store.feed import read_events

router = APIRouter(prefix="/v1", tags=["处理结果"])


@router.get(
    "/events",
    summary="按入库先后拉取派单建议与处理结果（游标）",
    description="先取 after=0；处理完一页、把 next 存下来之后，再用它作 after 取下一页，more 为 false 即已到最新。"
    "游标按写入数据库的先后编号，晚补写的记录（如存储恢复后）也不会漏。中断后从存下的游标继续：每条至少送达一次，请按记录的 id 去重。",
)
def events(
    service: AService,
    who: Operator,
    after: Annotated[
        str, Query(pattern=r"^\d{1,18}$", description="上一页的 next；从头开始用 0", examples=["0"])
    ] = "0",
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
    kind: Annotated[
        Literal["suggestion", "decision"] | None,
        Query(description="只要派单建议或只要处理结果；省略则都要"),
    ] = None,
) -> dict[str, Any]:
    """Return a page of events."""
    found = read_events(service.engine, after=int(after), limit=limit, kind=kind)
    return {
        "events": found,
        "next": found[-1]["cursor"] if found else after,
        "more": len(found) == limit,
    }
