"""Pages of the engineer: the quality board, models with their cards and reports, the audit log."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from service.access import Role
from service.api.deps import AService, peer_of
from service.console.page import CHARTS, NO_CHARTS, leaf_names, logged_in, render, to_log_in
from service.core import Service
from service.problems import Problem
from service.store.export import harmless
from service.store.quality import LEAST_FOR_ALARM, Quality, at_least, read_quality
from service.store.queries import read_audit, read_shadow
from service.store.tables import BEIJING

router = APIRouter(include_in_schema=False)
_Days = Annotated[int, Query(ge=1, le=366)]


@router.get("/quality")
def quality(request: Request, service: AService, days: _Days = 30) -> Response:
    """Show the quality board."""
    who = logged_in(request, Role.ENGINEER)
    if who is None:
        return to_log_in(request)
    figures = read_quality(service.engine, days)
    codes = {c[end] for c in figures.confusions for end in ("from", "to")}
    every = leaf_names(service)
    classes = {c.code: c.name for c in service.models.active.dispatcher.catalogue.classes}
    return render(
        "quality.html",
        request,
        who,
        quality=figures,
        alarm=alarm_of(figures),
        days=days,
        names={
            code: every[code]
            for code in sorted(codes | {h["code"] for h in figures.hot})
            if code in every
        },
        classes=classes,
        shadow=_judged(read_shadow(service.engine, days)),
        no_charts=None if CHARTS.is_file() else NO_CHARTS,
    )


def alarm_of(figures: Quality) -> tuple[str, str, str]:
    """Return colour, title and words of what the last telling week says of the confidence."""
    telling = [w for w in figures.drift if w["count"] >= LEAST_FOR_ALARM]
    if not telling:
        return (
            "grey",
            "把握是否可信：还看不出",
            f"一周满 {LEAST_FOR_ALARM} 件处理结果才作判断。",
        )
    week = telling[-1]
    low, high = week["interval"]
    told = (
        f"{_day(week['week'])}起的一周有 {week['count']} 件处理结果：建议自己说平均有 "
        f"{week['said']:.0%} 的把握，实际有 {week['was']:.0%}（{low:.0%}–{high:.0%}）的单位没有被改。"
    )
    if week["alarm"] == "too-sure":
        return (
            "red",
            "警报：把握偏高",
            told + "说得比做得满。“可直派”的工单请先照常过目；请工程师用近期处理结果重新训练、"
            "比较后再启用（jiesu train、jiesu promote）。",
        )
    if week["alarm"] == "too-modest":
        return (
            "amber",
            "提醒：把握偏低",
            told + "建议比它自己说的更准，“可直派”放得偏紧；重新校准后能少看一些。",
        )
    return "green", "把握可信", told + "两者相符。"


def _day(text: str) -> str:
    return f"{int(text[5:7])} 月 {int(text[8:10])} 日"


def _judged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add what may be concluded: an exact sign test on the tickets where one alone was right."""
    found = []
    for row in rows:
        better, worse = int(row["only_shadow"] or 0), int(row["only_active"] or 0)
        chance = min(1.0, 2 * at_least(max(better, worse), better + worse, 0.5))
        if chance > 0.05:
            words = "还分不出高下"
        else:
            words = "影子更准" if better > worse else "启用中的更准"
        found.append({**row, "verdict": words, "chance": chance})
    return found


_PARTS = {
    "by_day": "按日",
    "by_class": "按大类",
    "by_unit": "按单位",
    "by_district": "按区",
    "by_model": "按模型",
    "drift": "校准漂移（按周）",
    "calibration": "把握与实际",
    "coverage": "给定正确率的覆盖",
    "confusions": "改判",
    "hot": "高频与上升",
}


@router.get("/quality.csv")
def quality_csv(request: Request, service: AService, days: _Days = 30) -> Response:
    """Return the figures behind the board as a table."""
    who = logged_in(request, Role.ENGINEER)
    if who is None:
        return to_log_in(request)
    service.audit(who.actor, "export", f"quality days={days}", peer_of(request))
    figures = asdict(read_quality(service.engine, days))
    out = io.StringIO()
    writer = csv.writer(out)
    for name, title in _PARTS.items():
        rows = figures[name]
        if rows:
            writer.writerow([title, *rows[0]])
            writer.writerows(["", *(harmless(v) for v in r.values())] for r in rows)
    return Response(
        "\ufeff" + out.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="quality.csv"'},
    )


@router.get("/models")
def models(request: Request, service: AService) -> Response:
    """Show the engineer's page."""
    who = logged_in(request, Role.ENGINEER)
    if who is None:
        return to_log_in(request)
    rows = service.models.listing()
    return render(
        "models.html",
        request,
        who,
        rows=rows,
        shadow=_judged(read_shadow(service.engine)),
        cards={r["name"]: service.models.card(r["name"]) for r in rows if r.get("card")},
        reports=[
            (p.name, datetime.fromtimestamp(p.stat().st_mtime, BEIJING).isoformat())
            for p in _reports(service)
        ],
        reports_folder=service.models.registry.directory / "reports",
        can_go_back=len(service.models.registry.history()) > 1,
        faults=service.faults,
        audit=read_audit(service.engine, 50) if who.role.covers(Role.ADMIN) else [],
    )


def _reports(service: Service) -> list[Path]:
    """Return the evaluation reports beside the bundles, newest first; links do not count."""
    folder = service.models.registry.directory / "reports"
    found = [p for p in folder.glob("*.html") if p.is_file() and not p.is_symlink()]
    return sorted(found, key=lambda p: (-p.stat().st_mtime, p.name))


@router.get("/reports/{name}")
def report(name: str, request: Request, service: AService) -> Response:
    """Show one report; only what is listed, by its listed name."""
    who = logged_in(request, Role.ENGINEER)
    if who is None:
        return to_log_in(request)
    path = {p.name: p for p in _reports(service)}.get(name)
    if path is None:
        raise Problem(404, "not-found", f"没有这份报告：{name}")
    return FileResponse(path, media_type="text/html; charset=utf-8")
