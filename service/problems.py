"""Errors over HTTP as RFC 9457 problem details, in Chinese, without a stack trace."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from jiesu_nlp.errors import BundleError, JiesuError, UsageError

_log = logging.getLogger("jiesu.service")

_TITLES = {
    400: "请求有误",
    401: "未登录或密钥无效",
    403: "没有权限",
    404: "没有找到",
    405: "不支持的方法",
    409: "与已有记录冲突",
    413: "请求过大",
    415: "不支持的内容类型",
    422: "内容不合要求",
    429: "请求过于频繁",
    500: "服务出错",
    503: "暂时无法处理",
}
_WORDS = {
    "missing": "缺少该项",
    "string_type": "应为文字",
    "string_too_short": "太短",
    "string_too_long": "太长",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_from_float": "应为整数",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "list_type": "应为数组",
    "dict_type": "应为对象",
    "model_attributes_type": "应为 JSON 对象",
    "model_type": "应为 JSON 对象",
    "too_long": "数量过多",
    "too_short": "数量不足",
    "greater_than_equal": "太小",
    "less_than_equal": "太大",
    "extra_forbidden": "不认识的字段",
    "json_invalid": "不是有效的 JSON",
    "literal_error": "不在可选值之内",
    "enum": "不在可选值之内",
}
MEDIA_TYPE = "application/problem+json"
_TYPE_BASE = "urn:jiesu:problem:"


class Problem(Exception):  # noqa: N818 - the name of RFC 9457
    """A refusal with its status; ``detail`` says in Chinese what happened and how to mend it."""

    def __init__(
        self, status: int, kind: str, detail: str, *, retry_after: int | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after
        self.extra = extra


def problem_body(status: int, kind: str, detail: str, path: str, **extra: Any) -> dict[str, Any]:
    """Return the members of a problem document."""
    return {
        "type": _TYPE_BASE + kind,
        "title": _TITLES.get(status, HTTPStatus(status).phrase),
        "status": status,
        "detail": detail,
        "instance": path,
        **extra,
    }


def problem_response(
    request: Request,
    status: int,
    kind: str,
    detail: str,
    *,
    retry_after: int | None = None,
    **extra: Any,
) -> JSONResponse:
    """Answer with a problem document."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse(
        problem_body(status, kind, detail, request.url.path, **extra),
        status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def add_handlers(app: FastAPI) -> None:
    """Register the handlers of all errors."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, fault: Problem) -> JSONResponse:
        return problem_response(
            request,
            fault.status,
            fault.kind,
            fault.detail,
            retry_after=fault.retry_after,
            **fault.extra,
        )

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, fault: RequestValidationError) -> JSONResponse:
        errors = [
            {
                "field": ".".join(str(p) for p in e["loc"] if p not in ("body", "query", "path")),
                "message": _in_words(e),
            }
            for e in fault.errors()[:20]
        ]
        broken = any(e["type"] == "json_invalid" for e in fault.errors())
        detail = "；".join(
            f"{e['field']}：{e['message']}" if e["field"] else e["message"] for e in errors
        )
        if broken:
            detail, errors = "请求正文不是有效的 JSON（UTF-8 编码）", []
        return problem_response(
            request, 400 if broken else 422, "invalid", detail or "内容不合要求", errors=errors
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, fault: HTTPException) -> JSONResponse:
        details = {
            400: "请求正文无法读取，请用 UTF-8 编码的 JSON",
            404: f"没有这个地址：{request.url.path}",
            405: f"该地址不支持 {request.method}",
        }
        response = problem_response(
            request, fault.status_code, "http", details.get(fault.status_code, str(fault.detail))
        )
        response.headers.update(fault.headers or {})
        return response

    @app.exception_handler(JiesuError)
    async def _ours(request: Request, fault: JiesuError) -> JSONResponse:
        if isinstance(fault, UsageError):
            return problem_response(request, 422, "invalid", str(fault))
        kind = "bundle" if isinstance(fault, BundleError) else "data"
        return problem_response(request, 409, kind, str(fault))

    @app.exception_handler(SQLAlchemyError)
    async def _store(request: Request, fault: SQLAlchemyError) -> JSONResponse:
        _log.warning("store: %s", type(fault).__name__)
        return problem_response(
            request,
            503,
            "store-down",
            "存储暂时不可用；派单建议照常，处理结果会先存盘再补写。请稍后再查",
            retry_after=5,
        )

    @app.exception_handler(Exception)
    async def _unknown(request: Request, fault: Exception) -> JSONResponse:
        _log.exception("unexpected error on %s", request.url.path, exc_info=fault)
        return problem_response(request, 500, "internal", "服务内部出错，已记录；请稍后重试")


def _in_words(error: dict[str, Any]) -> str:
    if error["type"] == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    words = _WORDS.get(error["type"], "不合要求")
    context = error.get("ctx") or {}
    for name in ("max_length", "le", "min_length", "ge", "expected"):
        if name in context:
            words += f"（{context[name]}）"
            break
    return words
