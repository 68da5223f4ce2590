"""Pages of everyone: log-in, dispatch, queue, catalogue."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Form, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from service.api.deps import COOKIE, AService, check_origin, peer_of, principal_of
from service.api.knowledge import find_leaves, leaf_line
from service.console import engineering
from service.console.page import STATIC, leaf_names, logged_in, render, to_log_in
from service.problems import Problem
from service.store.queries import read_tickets

router = APIRouter(include_in_schema=False)
_Next = Annotated[str | None, Query(alias="next", max_length=300)]


def add_to(app: FastAPI) -> None:
    """Add the pages and their assets."""
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(router)
    app.include_router(engineering.router)


@router.get("/login")
async def log_in_page(request: Request, to: _Next = None) -> Response:
    """Show the log-in form."""
    return render("login.html", request, None, to=_local(to), fault=None)


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
    if service.log_ins.take(f"{peer} {name}") > 0 or service.log_ins_of_client.take(f"{peer}") > 0:
        found, fault = None, "尝试次数过多，请一分钟后再试"
    else:
        found = await asyncio.to_thread(service.access.log_in, name, password)
        fault = "用户名或口令不对，或账号已停用"
    if found is None:
        service.audit(f"user:{name}", "log-in-failed", "", peer)
        if wants_json:
            raise Problem(401, "unauthenticated", fault)
        page = render("login.html", request, None, to=_local(to), fault=fault)
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
    who = logged_in(request)
    return render("dispatch.html", request, who) if who else to_log_in(request)


@router.get("/queue")
def queue(
    request: Request,
    service: AService,
    status: str = "review",
    q: Annotated[str | None, Query(max_length=100)] = None,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Show the tickets that wait for a person."""
    who = logged_in(request)
    if who is None:
        return to_log_in(request)
    if status not in ("review", "open", "decided", "all"):
        status = "review"
    words = (q or "").replace("\x00", "").strip() or None
    rows = read_tickets(service.engine, status=status, words=words, before=before, limit=50)
    return render(
        "queue.html",
        request,
        who,
        rows=rows,
        status=status,
        q=words or "",
        more=rows[-1]["id"] if len(rows) == 50 else None,
        names=leaf_names(service),
    )


@router.get("/catalogue")
def catalogue(
    request: Request,
    service: AService,
    code: str | None = None,
    q: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Browse and search the catalogue."""
    who = logged_in(request)
    if who is None:
        return to_log_in(request)
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
    return render(
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
