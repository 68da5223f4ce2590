"""How good the suggestions were, told by the decisions: the figures of the quality board.

Only the last decision about a demand counts; what was decided before it is history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Subquery,
    and_,
    case,
    cast,
    func,
    select,
)

from service.store.queries import last_decisions
from service.store.tables import ago, suggestion

_BINS = 10
_FINE_BINS = 100
PRECISIONS = (0.95, 0.98)
# A week with fewer labels says nothing about calibration.
LEAST_FOR_ALARM = 30
_ALARM_GAP = 0.03
_ALARM_Z = 2.58
_FALSE_ALARMS = 0.05
_LEAST_TO_RISE = 5


@dataclass(frozen=True)
class Quality:
    """Figures of the last days; every rate is ``None`` where nothing was decided.

    Attributes
    ----------
    auto_stated, auto_precision
        Mean stated confidence of the ``auto`` suggestions, and how many kept their unit.
    coverage
        For each of :data:`PRECISIONS`: the confidence from which on that share of units was kept,
        and which share of the tickets lies above it.
    calibration
        Stated confidence against kept units, by confidence.
    drift
        The same by week, with an alarm where the difference is not chance.
    """

    days: int
    suggestions: int
    decided: int
    accepted1: float | None
    accepted3: float | None
    accepted5: float | None
    unit_kept: float | None
    returned: float | None
    auto_coverage: float | None
    auto_stated: float | None
    auto_precision: float | None
    by_day: list[dict[str, Any]]
    by_week: list[dict[str, Any]]
    by_class: list[dict[str, Any]]
    by_unit: list[dict[str, Any]]
    by_district: list[dict[str, Any]]
    by_model: list[dict[str, Any]]
    calibration: list[dict[str, Any]]
    coverage: list[dict[str, Any]]
    curve: list[dict[str, Any]]
    drift: list[dict[str, Any]]
    confusions: list[dict[str, Any]]
    hot: list[dict[str, Any]]


def read_quality(engine: Engine, days: int = 30) -> Quality:
    """Compute the figures of the last days in the database."""
    d = last_decisions(ago(days))
    figures = _figures(d)
    labelled = _labelled(d)
    kept = d.c.unit == d.c.suggested_unit
    with engine.connect() as c:

        def grouped(name: Any, most: int = 40) -> list[dict[str, Any]]:
            query = select(name.label("name"), *figures).group_by(name)
            rows = c.execute(query.order_by(func.count().desc()).limit(most))
            return [_rates(dict(r._mapping)) for r in rows]

        total = _rates(dict(c.execute(select(*figures)).one()._mapping))
        auto = c.execute(
            select(
                _count(d.c.advice == "auto").label("auto"),
                _count(and_(d.c.advice == "auto", kept)).label("good"),
                func.avg(case((d.c.advice == "auto", d.c.confidence))).label("stated"),
                func.count().label("all"),
            ).where(labelled)
        ).one()
        by_day = _by_time(c, d, ago(days), str)
        fine = _by_confidence(c, d)
        confusions = c.execute(
            select(d.c.suggested_code, d.c.code, func.count().label("n"))
            .where(labelled, d.c.suggested_code != d.c.code)
            .group_by(d.c.suggested_code, d.c.code)
            .order_by(func.count().desc(), d.c.suggested_code, d.c.code)
            .limit(20)
        ).all()
        return Quality(
            days=days,
            suggestions=sum(r["suggestions"] for r in by_day),
            decided=total["decided"],
            accepted1=total["accepted1"],
            accepted3=total["accepted3"],
            accepted5=total["accepted5"],
            unit_kept=total["unit_kept"],
            returned=total["returned"],
            auto_coverage=_share(auto.auto, auto.all),
            auto_stated=None if auto.stated is None else float(auto.stated),
            auto_precision=_share(auto.good, auto.auto),
            by_day=by_day,
            by_week=_by_time(c, d, ago(days), monday),
            by_class=grouped(func.substr(d.c.suggested_code, 1, 2)),
            by_unit=grouped(d.c.suggested_unit),
            by_district=grouped(func.coalesce(d.c.district, "（未识别）")),
            by_model=[
                {**r, "interval": interval(r["first"], r["labelled"])}
                for r in grouped(func.coalesce(d.c.model, "（未知）"))
            ],
            calibration=_calibration(fine),
            coverage=[_coverage(fine, p) for p in PRECISIONS],
            curve=_curve(fine),
            drift=_drift(c, d),
            confusions=[{"from": r[0], "to": r[1], "count": r.n} for r in confusions],
            hot=_hot(c, "district"),
        )


def read_trend(engine: Engine, by: str, days: int = 90, most: int = 8) -> dict[str, Any]:
    """Follow the rates of the most frequent classes, units, districts or models over time.

    Returns
    -------
    dict
        ``step`` (``day`` up to 31 days, else ``week``), ``times`` and per name its points.
    """
    d = last_decisions(ago(days))
    name = {
        "class": func.substr(d.c.suggested_code, 1, 2),
        "unit": d.c.suggested_unit,
        "district": func.coalesce(d.c.district, "（未识别）"),
        "model": func.coalesce(d.c.model, "（未知）"),
    }[by]
    day = func.substr(d.c.created_at, 1, 10)
    step = "day" if days <= 31 else "week"
    with engine.connect() as c:
        common = (
            select(name.label("name"))
            .where(name.is_not(None))
            .group_by(name)
            .order_by(func.count().desc())
            .limit(most)
        )
        names = [r.name for r in c.execute(common)]
        rows = c.execute(
            select(name.label("series"), day.label("day"), *_figures(d))
            .where(name.in_(names))
            .group_by(name, day)
        ).all()
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        at = row.day if step == "day" else monday(row.day)
        _add(sums.setdefault((row.series, at), {}), dict(row._mapping))
    times = sorted({at for _, at in sums})
    return {
        "by": by,
        "step": step,
        "times": times,
        "series": [
            {"name": n, "points": [_rates(sums.get((n, at), {})) for at in times]} for n in names
        ],
    }


def read_hot(engine: Engine, place: str = "district") -> list[dict[str, Any]]:
    """Return the most frequent matters by ``district`` or ``town`` this week."""
    with engine.connect() as c:
        return _hot(c, place)


def _hot(c: Connection, place: str, most: int = 40) -> list[dict[str, Any]]:
    """Return the matters of this week by place beside the three weeks before, rising ones first.

    A matter rises where its share of this week among its four weeks is greater than that of all
    tickets by more than chance: one-sided exact binomial test, with at most one false alarm in
    twenty expected over all matters and places (Benjamini and Hochberg 1995).
    """
    recent = suggestion.c.created_at >= ago(28)
    fresh = _count(suggestion.c.created_at >= ago(7)).label("week")
    all_tickets = c.execute(select(fresh, func.count().label("n")).where(recent)).one()
    share = _share(all_tickets.week, all_tickets.n) or 0.0
    where = [suggestion.c.district, *([suggestion.c.town] if place == "town" else [])]
    rows = c.execute(
        select(
            suggestion.c.code,
            *where,
            fresh,
            func.count().label("n"),
            func.count(suggestion.c.requester.distinct()).label("callers"),
        )
        .where(recent, *(column.is_not(None) for column in where))
        .group_by(suggestion.c.code, *where)
        .having(func.count() >= 2)
    )
    found = [
        {
            "code": r.code,
            "district": r.district,
            "town": r.town if place == "town" else None,
            "week": int(r.week),
            "usual": round((r.n - int(r.week)) / 3, 1),
            "callers": r.callers,
            "chance": at_least(int(r.week), r.n, share) if r.n >= _LEAST_TO_RISE else None,
        }
        for r in rows
    ]
    limit = _discovery_limit([r["chance"] for r in found if r["chance"] is not None])
    for r in found:
        r["rising"] = r["chance"] is not None and r["chance"] <= limit
    found.sort(key=lambda r: (not r["rising"], -r["week"], r["code"]))
    return [r for r in found if r["week"] >= 2][:most]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _labelled(d: Subquery) -> ColumnElement[bool]:
    return and_(d.c.rank.is_not(None), d.c.kind != "returned")


def _figures(d: Subquery) -> list[ColumnElement[int]]:
    labelled = _labelled(d)
    return [
        func.count().label("decided"),
        _count(labelled).label("labelled"),
        _count(and_(labelled, d.c.rank == 1)).label("first"),
        _count(and_(labelled, d.c.rank.between(1, 3))).label("third"),
        _count(and_(labelled, d.c.rank >= 1)).label("fifth"),
        _count(and_(labelled, d.c.unit == d.c.suggested_unit)).label("kept"),
        _count(d.c.kind == "returned").label("returned"),
    ]


_COUNTS = ("decided", "labelled", "first", "third", "fifth", "kept", "returned")


def _add(sums: dict[str, int], row: Mapping[str, Any]) -> None:
    for name in _COUNTS:
        sums[name] = sums.get(name, 0) + int(row[name] or 0)


def _rates(row: Mapping[str, Any]) -> dict[str, Any]:
    n = {name: int(row.get(name) or 0) for name in _COUNTS}
    return {
        "name": row.get("name"),
        "decided": n["decided"],
        "labelled": n["labelled"],
        "first": n["first"],
        "accepted1": _share(n["first"], n["labelled"]),
        "accepted3": _share(n["third"], n["labelled"]),
        "accepted5": _share(n["fifth"], n["labelled"]),
        "unit_kept": _share(n["kept"], n["labelled"]),
        "returned": _share(n["returned"], n["decided"]),
    }


def _by_time(
    c: Connection, d: Subquery, since: str, step: Callable[[str], str]
) -> list[dict[str, Any]]:
    """Return volume and rates by what ``step`` makes of a day."""
    made = func.substr(suggestion.c.created_at, 1, 10)
    volume: dict[str, int] = {}
    for r in c.execute(
        select(made.label("day"), func.count().label("n"))
        .where(suggestion.c.created_at >= since)
        .group_by(made)
    ):
        volume[step(r.day)] = volume.get(step(r.day), 0) + r.n
    day = func.substr(d.c.created_at, 1, 10)
    sums: dict[str, dict[str, int]] = {}
    for r in c.execute(select(day.label("day"), *_figures(d)).group_by(day)):
        _add(sums.setdefault(step(r.day), {}), dict(r._mapping))
    return [
        {**_rates(sums.get(at, {})), "name": at, "suggestions": volume.get(at, 0)}
        for at in sorted({*volume, *sums})
    ]


@dataclass(frozen=True, slots=True)
class _Bin:
    """Labels whose stated confidence rounds to one hundredth."""

    at: int
    n: int
    said: float
    kept: int


def _by_confidence(c: Connection, d: Subquery) -> list[_Bin]:
    at = cast(func.round(d.c.confidence * _FINE_BINS), Integer)
    rows = c.execute(
        select(
            at.label("at"),
            func.count().label("n"),
            func.sum(d.c.confidence).label("said"),
            _count(d.c.unit == d.c.suggested_unit).label("kept"),
        )
        .where(_labelled(d), d.c.confidence.is_not(None))
        .group_by(at)
        .order_by(at)
    )
    return [_Bin(r.at, r.n, float(r.said), int(r.kept)) for r in rows]


def _calibration(fine: Iterable[_Bin]) -> list[dict[str, Any]]:
    bins: dict[int, list[_Bin]] = {}
    for one in fine:
        bins.setdefault(min(one.at * _BINS // _FINE_BINS, _BINS - 1), []).append(one)
    return [
        {
            "count": (n := sum(b.n for b in group)),
            "said": sum(b.said for b in group) / n,
            "was": sum(b.kept for b in group) / n,
        }
        for _, group in sorted(bins.items())
    ]


def _curve(fine: Sequence[_Bin]) -> list[dict[str, Any]]:
    """Return share and precision of what lies above each confidence, the surest first."""
    total = sum(b.n for b in fine)
    points, n, kept = [], 0, 0
    for one in reversed(fine):
        n += one.n
        kept += one.kept
        points.append({"from": one.at / _FINE_BINS, "share": n / total, "precision": kept / n})
    return points


def _coverage(fine: Sequence[_Bin], precision: float) -> dict[str, Any]:
    reached = [p for p in _curve(fine) if p["precision"] >= precision]
    widest = reached[-1] if reached else None
    return {
        "precision": precision,
        "share": widest["share"] if widest else (0.0 if fine else None),
        "from": widest["from"] if widest else None,
    }


def _drift(c: Connection, d: Subquery) -> list[dict[str, Any]]:
    """Return stated confidence and kept units by week.

    The alarm compares the kept units with their expected number, the sum of the stated
    confidences; if these are right its variance is the sum of p(1 - p).
    """
    day = func.substr(d.c.created_at, 1, 10)
    rows = c.execute(
        select(
            day.label("day"),
            func.count().label("n"),
            func.sum(d.c.confidence).label("said"),
            func.sum(d.c.confidence * (1 - d.c.confidence)).label("variance"),
            _count(d.c.unit == d.c.suggested_unit).label("kept"),
        )
        .where(_labelled(d), d.c.confidence.is_not(None))
        .group_by(day)
    )
    weeks: dict[str, list[float]] = {}
    for r in rows:
        sums = weeks.setdefault(monday(r.day), [0.0] * 4)
        for i, value in enumerate((r.n, r.said, r.variance, r.kept)):
            sums[i] += float(value)
    found = []
    for week, (n, said, variance, kept) in sorted(weeks.items()):
        gap = (kept - said) / n
        z = (kept - said) / math.sqrt(max(variance, 1e-9))
        alarm = None
        if n >= LEAST_FOR_ALARM and abs(gap) >= _ALARM_GAP and abs(z) >= _ALARM_Z:
            alarm = "too-sure" if gap < 0 else "too-modest"
        found.append(
            {
                "week": week,
                "count": int(n),
                "said": said / n,
                "was": kept / n,
                "interval": interval(int(kept), int(n)),
                "alarm": alarm,
            }
        )
    return found


def monday(day: str) -> str:
    """Return the Monday of a day's week, both as ``2026-11-20``."""
    at = date.fromisoformat(day)
    return (at - timedelta(days=at.weekday())).isoformat()


def interval(part: int, whole: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a share (Wilson 1927)."""
    if not whole:
        return None
    z = 1.96
    p, spread = part / whole, z * z / whole
    middle = (p + spread / 2) / (1 + spread)
    half = z * math.sqrt(p * (1 - p) / whole + spread / (4 * whole)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def at_least(hits: int, tries: int, p: float) -> float:
    """Return the chance of so many hits or more, each with probability ``p``."""
    if hits <= 0:
        return 1.0
    if not 0 < p < 1:
        return 0.0 if p <= 0 else 1.0
    logs = [
        math.lgamma(tries + 1)
        - math.lgamma(k + 1)
        - math.lgamma(tries - k + 1)
        + k * math.log(p)
        + (tries - k) * math.log1p(-p)
        for k in range(hits, tries + 1)
    ]
    return min(1.0, math.fsum(math.exp(x) for x in logs))


def _discovery_limit(chances: Sequence[float]) -> float:
    """Return the greatest chance that still counts as a discovery; -1 if none does."""
    limit = -1.0
    for rank, chance in enumerate(sorted(chances), start=1):
        if chance <= _FALSE_ALARMS * rank / len(chances):
            limit = chance
    return limit


def _share(part: Any, whole: Any) -> float | None:
    return None if not whole else int(part or 0) / int(whole)
