"""What every page of the console shares: the templates, who is logged in, the words of codes."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

from jiesu_nlp.vocabulary import Tier
from service.access import Principal, Role
from service.api.deps import principal_of, service_of
from service.core import Service
from service.problems import Problem
from service.store.tables import BEIJING

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
# Installed by `./run assets`, never committed; the quality board shows tables without it.
CHARTS = STATIC / "vendor" / "echarts.js"
NO_CHARTS = "图表组件未安装，运行 ./run assets"
_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=select_autoescape(default=True),
    trim_blocks=True,
    lstrip_blocks=True,
)


def local_minute(moment: str | None) -> str:
    """Return an ISO moment as the clock in Beijing shows it."""
    if not moment:
        return ""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return moment[:16]
    if parsed.tzinfo is not None:
        parsed = parsed.astimezone(BEIJING)
    return parsed.strftime("%Y-%m-%d %H:%M")


def _json(value: Any) -> str:
    """Return JSON of plain values or a dataclass."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(plain, ensure_ascii=False)


ADVICE = {"auto": "可直派", "suggest": "建议派单", "review": "请人工核定"}
ACTIONS = {
    "log-in": "登录",
    "log-in-failed": "登录失败",
    "log-out": "退出",
    "export": "导出",
    "model-activate": "启用模型",
    "model-rollback": "退回模型",
    "model-shadow": "影子模型",
    "model-refused": "模型被拒",
    "user-add": "新增用户",
    "user-password": "重设口令",
    "user-role": "改角色",
    "user-disable": "停用用户",
    "user-enable": "启用用户",
    "key-add": "生成密钥",
    "key-revoke": "吊销密钥",
    "purge": "清理",
}
_templates.filters["percent"] = lambda v: "—" if v is None else f"{100 * v:.0f}%"
# The share that was not kept.
_templates.filters["rest"] = lambda v: "—" if v is None else f"{100 * (1 - v):.0f}%"
_templates.filters["minute"] = local_minute
# For a data attribute: the template escapes it, so it cannot leave the attribute.
_templates.filters["json"] = _json
_templates.globals.update(
    ADVICE=ADVICE,
    ACTIONS=ACTIONS,
    TIERS={t.value: t.label for t in Tier},
)


def render(name: str, request: Request, who: Principal | None, **context: Any) -> HTMLResponse:
    """Return a page; ``who`` is in its bar."""
    text = _templates.get_template(name).render(
        who=who, path=request.url.path, demo=service_of(request).settings.demo, **context
    )
    return HTMLResponse(text)


def logged_in(request: Request, role: Role = Role.OPERATOR) -> Principal | None:
    """Return who is logged in; ``None`` where nobody is, who then goes :func:`to_log_in`.

    Raises
    ------
    Problem
        403 without the role.
    """
    who = principal_of(request)
    if who is None or who.csrf is None:
        return None
    if not who.role.covers(role):
        raise Problem(403, "forbidden", f"此页需要{role.label}权限")
    return who


def to_log_in(request: Request) -> RedirectResponse:
    """Send to the log-in page, which leads back to where one wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(wanted, safe='/')}", 303)


def leaf_names(service: Service) -> dict[str, str]:
    """Return the names of all leaves by code."""
    book = service.models.active.dispatcher.catalogue
    return {leaf.code: leaf.name for leaf in book.leaves}
