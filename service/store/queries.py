"""Read the store: one suggestion, the queue, similar earlier tickets, shadow results, the audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, Select, Subquery, and_, case, func, or_, select

from service.store.tables import ago, audit, decision, shadow, suggestion

_HIDDEN = ("answer", "requester", "rules", "places", "digest")
SUMMARY = [c for c in suggestion.c if c.name not in _HIDDEN]


@dataclass(frozen=True, slots=True)
class BriefDemand:
    """What was suggested for one demand."""

    codes: tuple[str, ...]
    unit: str
    unit_code: str | None
    confidence: float
    advice: str


@dataclass(frozen=True, slots=True)
class Brief:
    """As much of a suggestion as a decision needs."""

    id: str
    district: str | None
    model: str | None
    gate: str
    demands: tuple[BriefDemand, ...]
    digest: str | None = None

    @classmethod
    def unknown(cls, identity: str) -> Brief:
        """Return the brief of a suggestion that cannot be looked up now."""
        return cls(identity, None, None, "none", ())


def brief_of(row: Mapping[str, Any], answer: Mapping[str, Any]) -> Brief:
    """Make the brief of a row and its answer."""
    return Brief(
        row["id"],
        row["district"],
        row["model"],
        row["gate"],
        tuple(
            BriefDemand(
                tuple(c["code"] for c in d["categories"]),
                d["unit"]["name"],
                d["unit"]["code"],
                d["confidence"],
                d["decision"],
            )
            for d in answer["demands"]
        ),
        row["digest"],
    )


def read_brief(engine: Engine, identity: str) -> Brief | None:
    """Return the brief of a stored suggestion."""
    with engine.connect() as c:
        row = c.execute(select(suggestion).where(suggestion.c.id == identity)).first()
    return None if row is None else brief_of(dict(row._mapping), json.loads(row.answer))


def read_answer(engine: Engine, identity: str) -> tuple[str, str | None] | None:
    """Return the answer of a stored suggestion as the JSON it was, and the digest of what was asked."""
    query = select(suggestion.c.answer, suggestion.c.digest).where(suggestion.c.id == identity)
    with engine.connect() as c:
        row = c.execute(query).first()
    return None if row is None else (row.answer, row.digest)


def read_ticket(engine: Engine, identity: str) -> dict[str, Any] | None:
    """Return a stored suggestion with its decisions."""
    with engine.connect() as c:
        row = c.execute(select(suggestion).where(suggestion.c.id == identity)).first()
        if row is None:
            return None
        decisions = c.execute(
            select(decision)
            .where(decision.c.suggestion_id == identity)
            .order_by(decision.c.created_at)
        ).all()
    return {
        **summary_of(row),
        "answer": json.loads(row.answer),
        "decisions": [decision_of(d) for d in decisions],
    }


def read_tickets(
    engine: Engine,
    *,
    status: str = "review",
    words: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Return tickets, newest first.

    Parameters
    ----------
    status
        ``review`` (doubtful and open), ``open`` (not every demand is decided), ``decided`` or
        ``all``.
    words
        Part of the text or the ticket's own id.
    before
        Id of the last ticket of the page before.
    """
    decided = (
        select(func.count(decision.c.demand.distinct()))
        .where(
            decision.c.suggestion_id == suggestion.c.id,
            # A decision taken while the ticket could not be looked up may name a demand it has not.
            decision.c.demand < suggestion.c.demands,
        )
        .scalar_subquery()
    )
    query: Select[Any] = select(*SUMMARY, decided.label("decided_demands"))
    if status in ("review", "open"):
        query = query.where(decided < suggestion.c.demands)
    if status == "review":
        query = query.where(suggestion.c.advice == "review")
    if status == "decided":
        query = query.where(decided >= suggestion.c.demands)
    if words:
        query = query.where(
            or_(
                suggestion.c.text.contains(words, autoescape=True),
                suggestion.c.ticket_id == words,
            )
        )
    if before:
        at = select(suggestion.c.created_at).where(suggestion.c.id == before).scalar_subquery()
        query = query.where(
            or_(
                suggestion.c.created_at < at,
                and_(suggestion.c.created_at == at, suggestion.c.id < before),
            )
        )
    query = query.order_by(suggestion.c.created_at.desc(), suggestion.c.id.desc()).limit(limit)
    with engine.connect() as c:
        return [
            {**summary_of(r), "decided": r.decided_demands >= r.demands} for r in c.execute(query)
        ]


def read_alike(
    engine: Engine,
    *,
    text: str,
    code: str,
    district: str | None,
    town: str | None,
    requester: str | None,
    days: int = 30,
) -> dict[str, list[dict[str, Any]]]:
    """Return probable duplicates and similar earlier tickets.

    A probable duplicate comes from the same requester, or tells of the same matter in the same
    street or town in like words. They are only shown; nothing is merged.
    """
    since = ago(days)
    same_matter = (
        and_(suggestion.c.code == code, suggestion.c.district == district)
        if (district)
        else (suggestion.c.code == code)
    )
    with engine.connect() as c:
        rows = list(
            c.execute(
                select(*SUMMARY)
                .where(suggestion.c.created_at >= since, same_matter)
                .order_by(suggestion.c.created_at.desc())
                .limit(200)
            )
        )
        callers: set[str] = set()
        if requester:
            own = c.execute(
                select(*SUMMARY)
                .where(suggestion.c.created_at >= since, suggestion.c.requester == requester)
                .order_by(suggestion.c.created_at.desc())
                .limit(20)
            ).all()
            callers = {r.id for r in own}
            rows = [*own, *(r for r in rows if r.id not in callers)]
    pairs = _bigrams(text)
    duplicates: list[dict[str, Any]] = []
    similar: list[dict[str, Any]] = []
    for row in rows:
        share = _overlap(pairs, _bigrams(row.text))
        why = None
        if row.id in callers:
            why = "同一来电人" + ("、同一事项" if row.code == code else "")
        elif town and row.town == town and share >= 0.35:
            why = "同一街镇、同一事项、表述相近"
        item = {**summary_of(row), "similarity": round(share, 3), "why": why}
        (duplicates if why else similar).append(item)
    similar.sort(key=lambda r: -r["similarity"])
    return {"duplicates": duplicates[:8], "similar": similar[:8]}


def _bigrams(text: str) -> frozenset[str]:
    plain = "".join(ch for ch in text if ch.isalnum())
    return frozenset(plain[i : i + 2] for i in range(len(plain) - 1))


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a and b else 0.0


def read_decisions(
    engine: Engine, *, after: str | None = None, limit: int = 200
) -> list[dict[str, Any]]:
    """Return decisions by time, oldest first, after the one of the given id."""
    query = select(decision)
    if after:
        at = select(decision.c.created_at).where(decision.c.id == after).scalar_subquery()
        query = query.where(
            or_(
                decision.c.created_at > at,
                and_(decision.c.created_at == at, decision.c.id > after),
            )
        )
    query = query.order_by(decision.c.created_at, decision.c.id).limit(limit)
    with engine.connect() as c:
        return [decision_of(row) for row in c.execute(query)]


def last_decisions(since: str) -> Subquery:
    """Return the last decision about each demand that was decided since."""
    place = func.row_number().over(
        partition_by=(decision.c.suggestion_id, decision.c.demand),
        order_by=(decision.c.created_at.desc(), decision.c.id.desc()),
    )
    ranked = select(decision, place.label("place")).where(decision.c.created_at >= since).subquery()
    return select(ranked).where(ranked.c.place == 1).subquery()


def read_shadow(engine: Engine, days: int = 30) -> list[dict[str, Any]]:
    """Return per shadow model: agreement with the active one, and accuracy of both where decided.

    ``only_shadow`` and ``only_active`` count the decided tickets where just one of them was right.
    """
    judged = last_decisions(ago(days))
    mine = shadow.c.code == judged.c.code
    theirs = judged.c.suggested_code == judged.c.code
    query = (
        select(
            shadow.c.model,
            shadow.c.active_model,
            func.count().label("answers"),
            func.sum(case((shadow.c.same_code, 1), else_=0)).label("same_code"),
            func.sum(case((shadow.c.same_unit, 1), else_=0)).label("same_unit"),
            func.count(judged.c.code).label("judged"),
            func.sum(case((mine, 1), else_=0)).label("right"),
            func.sum(case((theirs, 1), else_=0)).label("active_right"),
            func.sum(case((and_(mine, ~theirs), 1), else_=0)).label("only_shadow"),
            func.sum(case((and_(theirs, ~mine), 1), else_=0)).label("only_active"),
        )
        .select_from(
            shadow.outerjoin(
                judged,
                and_(
                    judged.c.suggestion_id == shadow.c.suggestion_id,
                    judged.c.demand == 0,
                    judged.c.kind != "returned",
                ),
            )
        )
        .where(shadow.c.created_at >= ago(days))
        .group_by(shadow.c.model, shadow.c.active_model)
        .order_by(shadow.c.model, shadow.c.active_model)
    )
    with engine.connect() as c:
        return [dict(r._mapping) for r in c.execute(query)]


def read_audit(engine: Engine, limit: int = 200) -> list[dict[str, Any]]:
    """Return the latest lines of the audit log."""
    with engine.connect() as c:
        rows = c.execute(select(audit).order_by(audit.c.created_at.desc()).limit(limit))
        return [dict(r._mapping) for r in rows]


def decision_of(row: Row[Any]) -> dict[str, Any]:
    """Return a decision as the service shows it."""
    return {k: v for k, v in row._mapping.items() if k != "digest"}


def summary_of(row: Row[Any]) -> dict[str, Any]:
    """Return a suggestion as lists show it: without the whole answer and the requester."""
    return {k: v for k, v in row._mapping.items() if k not in _HIDDEN}
