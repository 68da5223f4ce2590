"""How good the suggestions were, told by the decisions: the figures of the quality board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Integer, and_, case, cast, func, select

from service.store.tables import ago, decision, suggestion

_BINS = 10


@dataclass(frozen=True)
class Quality:
    """Figures of the last days; every rate is ``None`` where nothing was decided."""

    days: int
    suggestions: int
    decided: int
    accepted1: float | None
    accepted3: float | None
    accepted5: float | None
    unit_kept: float | None
    returned: float | None
    auto_coverage: float | None
    auto_precision: float | None
    by_day: list[dict[str, Any]]
    by_class: list[dict[str, Any]]
    by_unit: list[dict[str, Any]]
    by_district: list[dict[str, Any]]
    by_model: list[dict[str, Any]]
    calibration: list[dict[str, Any]]
    confusions: list[dict[str, Any]]
    hot: list[dict[str, Any]]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


_LABELLED = and_(decision.c.rank.is_not(None), decision.c.kind != "returned")
_FIGURES = [
    func.count().label("decided"),
    _count(_LABELLED).label("labelled"),
    _count(and_(_LABELLED, decision.c.rank == 1)).label("first"),
    _count(and_(_LABELLED, decision.c.rank.between(1, 3))).label("third"),
    _count(and_(_LABELLED, decision.c.rank >= 1)).label("fifth"),
    _count(and_(_LABELLED, decision.c.unit == decision.c.suggested_unit)).label("unit_kept"),
    _count(decision.c.kind == "returned").label("returned"),
]


def read_quality(engine: Engine, days: int = 30) -> Quality:
    """Compute the figures of the last days in the database."""
    since = ago(days)
    recent = decision.c.created_at >= since
    day = func.substr(decision.c.created_at, 1, 10).label("name")
    made = func.substr(suggestion.c.created_at, 1, 10).label("day")
    with engine.connect() as c:

        def grouped(name: Any, order: Any = None, most: int = 40) -> list[dict[str, Any]]:
            query = (
                select(name.label("name"), *_FIGURES)
                .where(recent)
                .group_by(name)
                .order_by(order if order is not None else func.count().desc())
                .limit(most)
            )
            return [_rates(dict(r._mapping)) for r in c.execute(query)]

        volume = {
            r.day: r.n
            for r in c.execute(
                select(made, func.count().label("n"))
                .where(suggestion.c.created_at >= since)
                .group_by(made)
            )
        }
        total = _rates(dict(c.execute(select(*_FIGURES).where(recent)).one()._mapping))
        days_seen = {r["name"]: r for r in grouped(day, day, most=days + 1)}
        auto = c.execute(
            select(
                _count(decision.c.advice == "auto").label("auto"),
                _count(
                    and_(decision.c.advice == "auto", decision.c.unit == decision.c.suggested_unit)
                ).label("good"),
                func.count().label("all"),
            ).where(recent, _LABELLED)
        ).one()
        step = cast(decision.c.confidence * _BINS - 0.4999, Integer)
        bins = c.execute(
            select(
                step.label("bin"),
                func.count().label("n"),
                func.avg(decision.c.confidence).label("said"),
                (_count(decision.c.unit == decision.c.suggested_unit) * 1.0 / func.count()).label(
                    "was"
                ),
            )
            .where(recent, _LABELLED, decision.c.confidence.is_not(None))
            .group_by(step)
            .order_by(step)
        ).all()
        confusions = c.execute(
            select(decision.c.suggested_code, decision.c.code, func.count().label("n"))
            .where(recent, _LABELLED, decision.c.suggested_code != decision.c.code)
            .group_by(decision.c.suggested_code, decision.c.code)
            .order_by(func.count().desc())
            .limit(20)
        ).all()
        return Quality(
            days=days,
            suggestions=sum(volume.values()),
            decided=int(total["decided"]),
            accepted1=total["accepted1"],
            accepted3=total["accepted3"],
            accepted5=total["accepted5"],
            unit_kept=total["unit_kept"],
            returned=total["returned"],
            auto_coverage=_share(auto.auto, auto.all),
            auto_precision=_share(auto.good, auto.auto),
            by_day=[
                {**days_seen.get(d, _rates({})), "name": d, "suggestions": volume.get(d, 0)}
                for d in sorted({*volume, *days_seen})
            ],
            by_class=grouped(func.substr(decision.c.suggested_code, 1, 2)),
            by_unit=grouped(decision.c.suggested_unit, most=20),
            by_district=grouped(func.coalesce(decision.c.district, "（未识别）")),
            by_model=grouped(func.coalesce(decision.c.model, "（未知）")),
            calibration=[{"count": b.n, "said": float(b.said), "was": float(b.was)} for b in bins],
            confusions=[{"from": r[0], "to": r[1], "count": r.n} for r in confusions],
            hot=_hot(c),
        )


def _hot(c: Any) -> list[dict[str, Any]]:
    """Return the most frequent matters by district this week, beside the three weeks before."""
    week = ago(7)
    fresh = _count(suggestion.c.created_at >= week)
    before = _count(suggestion.c.created_at < week)
    rows = c.execute(
        select(
            suggestion.c.code, suggestion.c.district, fresh.label("week"), before.label("before")
        )
        .where(suggestion.c.created_at >= ago(28), suggestion.c.district.is_not(None))
        .group_by(suggestion.c.code, suggestion.c.district)
        .having(fresh >= 2)
        .order_by(fresh.desc())
        .limit(30)
    )
    return [
        {
            "code": r.code,
            "district": r.district,
            "week": int(r.week),
            "usual": round(int(r.before) / 3, 1),
            "rising": int(r.week) >= 3 and int(r.week) >= 2 * int(r.before) / 3,
        }
        for r in rows
    ]


def _rates(row: dict[str, Any]) -> dict[str, Any]:
    decided, labelled = int(row.get("decided") or 0), int(row.get("labelled") or 0)
    return {
        "name": row.get("name"),
        "decided": decided,
        "accepted1": _share(row.get("first"), labelled),
        "accepted3": _share(row.get("third"), labelled),
        "accepted5": _share(row.get("fifth"), labelled),
        "unit_kept": _share(row.get("unit_kept"), labelled),
        "returned": _share(row.get("returned"), decided),
    }


def _share(part: Any, whole: Any) -> float | None:
    return None if not whole else int(part or 0) / int(whole)
