"""Bodies of requests, with examples in Chinese, and the documented shape of answers."""

# ruff: noqa: D400 - docstrings become descriptions in OpenAPI, and Chinese ends with 。

from __future__ import annotations

import copy
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from jiesu_nlp.schema import json_schema
from jiesu_nlp.ticket import TEXT_LIMIT, Ticket

MOST_TICKETS = 500
_SURROGATE = re.compile("[\ud800-\udfff\x00]")
ID_PATTERN = "^[0-9a-f]{32}$"


def _clean(value: str | None) -> str | None:
    if value is not None and _SURROGATE.search(value):
        raise ValueError("含有无法存储的字符（空字符或残缺的编码）")
    return value


def _worded(value: str) -> str:
    if not value.strip():
        raise ValueError("诉求内容为空")
    _clean(value)
    return value


Short = Annotated[str, Field(max_length=200), AfterValidator(_clean)]
Words = Annotated[str, Field(max_length=2000), AfterValidator(_clean)]


class TicketBody(BaseModel):
    """一件工单。"""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "id": "20261120-0001",
                    "text": "朝阳区望京西园四区门口每天晚上一排烧烤摊，油烟味熏得窗户都不敢开",
                    "channel": "12345 热线",
                    "created_at": "2026-11-20T09:30:00",
                    "requester": "来电人编号 8812",
                    "address": "朝阳区望京西园四区",
                }
            ]
        },
    )

    text: Annotated[
        str, Field(max_length=TEXT_LIMIT, description="诉求内容"), AfterValidator(_worded)
    ]
    id: Short | None = Field(None, description="工单编号，原样带回")
    channel: Short | None = Field(None, description="渠道")
    created_at: Short | None = Field(None, description="受理时间，ISO 8601")
    requester: Short | None = Field(None, description="来电人的稳定代号；只以加密摘要保存")
    address: Short | None = Field(None, description="工单系统另记的地址")

    def ticket(self) -> Ticket:
        """Return the library's ticket."""
        return Ticket(
            text=self.text,
            id=self.id,
            channel=self.channel,
            created_at=self.created_at,
            requester=self.requester,
            address=self.address,
        )


class BatchBody(BaseModel):
    """一批工单。"""

    tickets: Annotated[list[TicketBody], Field(min_length=1, max_length=MOST_TICKETS)]


class DecisionBody(BaseModel):
    """对一个诉求的处理结果。"""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "suggestion_id": "019b0f0e3c7a5d2f8e1b4c6a90d7e3f1",
                    "demand": 0,
                    "kind": "changed",
                    "code": "09-02-003",
                    "unit": "朝阳区望京街道办事处",
                }
            ]
        },
    )

    suggestion_id: Annotated[str, Field(pattern=ID_PATTERN, description="派单建议的 suggestion_id")]
    demand: Annotated[int, Field(ge=0, le=999, description="第几个诉求，从 0 起")] = 0
    kind: Literal["accepted", "changed", "returned", "overruled"] = Field(
        description="accepted 采纳；changed 改派；returned 退回（异议）；overruled 不采纳分流提示，照常派单"
    )
    code: Annotated[str, Field(max_length=16), AfterValidator(_clean)] | None = Field(
        None, description="最终的目录编码；省略时为建议的第一项"
    )
    unit_code: Annotated[str, Field(max_length=64), AfterValidator(_clean)] | None = Field(
        None, description="最终承办单位的编码"
    )
    unit: Short | None = Field(None, description="最终承办单位的名称；省略时为建议的单位")
    reason: Words | None = Field(None, description="退回或改派的理由；退回时必填")
    unless_decided: bool = Field(False, description="已有处理结果时拒绝（409），供多人同时处理队列")


class AlikeBody(BaseModel):
    """查找相近工单。"""

    text: Annotated[str, Field(max_length=TEXT_LIMIT), AfterValidator(_worded)]
    code: Annotated[str, Field(max_length=16), AfterValidator(_clean)]
    district: Short | None = None
    town: Short | None = None
    requester: Short | None = None


class RouteBody(BaseModel):
    """换一个细项，重新派向：取自一条派单建议的内容。"""

    code: Annotated[str, Field(max_length=16), AfterValidator(_clean)]
    text: Annotated[str, Field(max_length=TEXT_LIMIT), AfterValidator(_clean)] = ""
    kind: Annotated[str, Field(max_length=32), AfterValidator(_clean)] = "unknown"
    district: Short | None = None
    town: Short | None = None
    owners: Annotated[list[Short], Field(max_length=50)] = []
    actors: Annotated[list[Short], Field(max_length=50)] = []
    request_type: Short = "投诉"
    gate: Short = "none"
    created_at: Short | None = None


class PlaceBody(BaseModel):
    """一句话里的地点。"""

    text: Annotated[str, Field(max_length=2000), AfterValidator(_worded)]
    address: Short | None = None


class ModelBody(BaseModel):
    """模型包的名称。"""

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_clean)]


class ShadowBody(BaseModel):
    """影子模型；null 表示停用。"""

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_clean)] | None


def suggestion_schemas() -> dict[str, Any]:
    """Return the components of the answer: the library's contract plus ``suggestion_id``."""
    whole = copy.deepcopy(json_schema())
    text = {name: _moved(schema) for name, schema in whole["$defs"].items()}
    answer = text["Suggestion"]
    answer["properties"]["suggestion_id"] = {
        "type": ["string", "null"],
        "description": "这条建议的编号，提交处理结果时用；预览（preview=true）不保存，为 null",
    }
    answer["required"].append("suggestion_id")
    text["Problem"] = {
        "type": "object",
        "description": "RFC 9457 错误说明",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail"],
    }
    return text


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _moved(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_moved(v) for v in value]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/components/schemas/")
    return value
