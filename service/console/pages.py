"""Pages of the console: log-in, dispatch, queue, catalogue, quality, models, audit."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.staticfiles import StaticFiles

from jiesu_nlp.vocabulary import PlaceKind, Tier
from service.access import Principal, Role
from service.api.deps import COOKIE, AService, check_origin, peer_of, principal_of, service_of
from service.api.knowledge import find_leaves, leaf_line
from service.console.charts import CHARTS, draw
from service.core import Service
from service.problems import Problem
from service.store.quality import read_quality
from service.store.queries import read_audit, read_shadow, read_tickets
from service.store.tables import BEIJING

_HERE = Path(__file__).parent
router = APIRouter(include_in_schema=False)
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
}
_templates.filters["percent"] = lambda v: "—" if v is None else f"{100 * v:.0f}%"
_templates.filters["minute"] = local_minute
_templates.globals.update(
    ADVICE=ADVICE,
    ACTIONS=ACTIONS,
    CHARTS=CHARTS,
    TIERS={t.value: t.label for t in Tier},
    PLACE_KINDS={k.value: k.label for k in PlaceKind},
)


_Next = Annotated[str | None, Query(alias="next", max_length=300)]


def add_to(app: FastAPI) -> None:
    """Add the pages and their assets."""
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.include_router(router)


def _page(name: str, request: Request, who: Principal | None, **context: Any) -> HTMLResponse:
    text = _templates.get_template(name).render(
        who=who, path=request.url.path, demo=service_of(request).settings.demo, **context
    )
    return HTMLResponse(text)


def _who(request: Request, role: Role = Role.OPERATOR) -> Principal | None:
    """Return who is logged in; ``None`` sends them to the log-in page."""
    who = principal_of(request)
    if who is None or who.csrf is None:
        return None
    if not who.role.covers(role):
        raise Problem(403, "forbidden", f"此页需要{role.label}权限")
    return who


def _to_log_in(request: Request) -> RedirectResponse:
    return RedirectResponse(f"/login?next={request.url.path}", 303)


@router.get("/login")
async def log_in_page(request: Request, to: _Next = None) -> Response:
    """Show the log-in form."""
    return _page("login.html", request, None, to=_local(to), fault=None)


@router.post("/login")
async def log_in(
    request: Request,
    service: AService,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=200)],
    to: Annotated[str | None, Form(alias="next", max_length=300)] = None,
) -> Response:
    """Open a session; a script gets the new token as JSON, a form is sent on."""
    check_origin(request)
    wants_json = "application/json" in request.headers.get("accept", "")
    peer = peer_of(request)
    if service.log_ins.take(f"{peer} {name}") > 0:
        found, fault = None, "尝试次数过多，请一分钟后再试"
    else:
        found = await asyncio.to_thread(service.access.log_in, name, password)
        fault = "用户名或口令不对，或账号已停用"
    if found is None:
        service.audit(f"user:{name}", "log-in-failed", "", peer)
        if wants_json:
            raise Problem(401, "unauthenticated", fault)
        page = _page("login.html", request, None, to=_local(to), fault=fault)
        page.status_code = 401
        return page
    token, who = found
    service.log_ins.give_back(f"{peer} {name}")
    service.audit(who.actor, "log-in", "", peer)
    response: Response = (
        JSONResponse({"csrf": who.csrf, "name": who.name})
        if wants_json
        else RedirectResponse(_local(to), 303)
    )
    response.set_cookie(
        COOKIE,
        token,
        httponly=True,
        samesite="strict",
        secure=service.settings.secure_cookies,
        max_age=int(service.settings.session_hours * 3600),
    )
    return response


@router.post("/logout")
async def log_out(
    request: Request, service: AService, csrf: Annotated[str, Form(max_length=100)]
) -> Response:
    """Close the session."""
    check_origin(request)
    who = principal_of(request)
    if who is not None and who.csrf == csrf:
        await asyncio.to_thread(service.access.log_out, request.cookies[COOKIE])
        service.audit(who.actor, "log-out", "", peer_of(request))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def _local(to: str | None) -> str:
    """Return where to go after log-in: a path of this service, never another site."""
    if not to or not to.startswith("/") or to.startswith(("//", "/\\")) or urlsplit(to).netloc:
        return "/"
    return to


@router.get("/")
async def dispatch(request: Request) -> Response:
    """Show the dispatch screen."""
    who = _who(request)
    return _page("dispatch.html", request, who) if who else _to_log_in(request)


@router.get("/queue")
def queue(
    request: Request,
    service: AService,
    status: str = "review",
    q: Annotated[str | None, Query(max_length=100)] = None,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Show the tickets that wait for a person."""
    who = _who(request)
    if who is None:
        return _to_log_in(request)
    if status not in ("review", "open", "decided", "all"):
        status = "review"
    words = (q or "").replace("\x00", "").strip() or None
    rows = read_tickets(service.engine, status=status, words=words, before=before, limit=50)
    return _page(
        "queue.html",
        request,
        who,
        rows=rows,
        status=status,
        q=words or "",
        more=rows[-1]["id"] if len(rows) == 50 else None,
        names=_leaf_names(service),
    )


@router.get("/catalogue")
def catalogue(
    request: Request,
    service: AService,
    code: str | None = None,
    q: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Browse and search the catalogue."""
    who = _who(request)
    if who is None:
        return _to_log_in(request)
    model = service.models.active
    book = model.dispatcher.catalogue
    leaf = book.by_code.get(code or "")
    if q:
        shown = find_leaves(model, q, 40)
    else:
        under = leaf.group_code if leaf is not None else code
        shown = list(book.leaves_under(under)) if under and book.name_of(under) else []
    counts: dict[str, int] = {}
    for item in book.leaves:
        for part in (item.class_code, item.group_code):
            counts[part] = counts.get(part, 0) + 1
    return _page(
        "catalogue.html",
        request,
        who,
        book=book,
        counts=counts,
        code=code,
        q=q or "",
        leaf=leaf,
        leaves=[leaf_line(book, item) for item in shown],
        says=list(model.says.get(leaf.code, ()))[:12] if leaf else [],
    )


@router.get("/quality")
def quality(
    request: Request, service: AService, days: Annotated[int, Query(ge=1, le=366)] = 30
) -> Response:
    """Show the quality board."""
    who = _who(request, Role.ENGINEER)
    if who is None:
        return _to_log_in(request)
    classes = {c.code: c.name for c in service.models.active.dispatcher.catalogue.classes}
    return _page(
        "quality.html",
        request,
        who,
        quality=read_quality(service.engine, days),
        days=days,
        names=_leaf_names(service),
        classes=classes,
        shadow=read_shadow(service.engine, days),
    )


@router.get("/quality.csv")
def quality_csv(
    request: Request, service: AService, days: Annotated[int, Query(ge=1, le=366)] = 30
) -> Response:
    """Return the figures behind the board as a table."""
    who = _who(request, Role.ENGINEER)
    if who is None:
        return _to_log_in(request)
    service.audit(who.actor, "export", f"quality days={days}", peer_of(request))
    figures = asdict(read_quality(service.engine, days))
    out = io.StringIO()
    writer = csv.writer(out)
    for name in (
        "by_day",
        "by_class",
        "by_unit",
        "by_district",
        "by_model",
        "confusions",
        "hot",
        "calibration",
    ):
        rows = figures[name]
        if rows:
            writer.writerow([name, *rows[0]])
            writer.writerows(["", *r.values()] for r in rows)
    return Response(
        "\ufeff" + out.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="quality.csv"'},
    )


@router.get("/charts/{name}.svg")
def chart(
    name: str, request: Request, service: AService, days: Annotated[int, Query(ge=1, le=366)] = 30
) -> Response:
    """Return one chart of the quality board."""
    who = _who(request, Role.ENGINEER)
    if who is None or name not in CHARTS:
        raise Problem(404, "not-found", "没有这张图")
    return Response(draw(name, read_quality(service.engine, days)), media_type="image/svg+xml")


@router.get("/models")
def models(request: Request, service: AService) -> Response:
    """Show the engineer's page."""
    who = _who(request, Role.ENGINEER)
    if who is None:
        return _to_log_in(request)
    rows = service.models.listing()
    return _page(
        "models.html",
        request,
        who,
        rows=rows,
        shadow=read_shadow(service.engine),
        cards={r["name"]: service.models.card(r["name"]) for r in rows if r.get("card")},
        can_go_back=len(service.models.registry.history()) > 1,
        faults=service.faults,
        audit=read_audit(service.engine, 50) if who.role.covers(Role.ADMIN) else [],
    )


def _leaf_names(service: Service) -> dict[str, str]:
    book = service.models.active.dispatcher.catalogue
    return {leaf.code: leaf.name for leaf in book.leaves}
