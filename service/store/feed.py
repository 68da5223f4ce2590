"""What happened, in the order in which it became visible; a cursor never misses a late record."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select

from service.store.queries import SUMMARY, decision_of, summary_of
from service.store.tables import decision, feed, suggestion


def read_events(
    engine: Engine, *, after: int = 0, limit: int = 200, kind: str | None = None
) -> list[dict[str, Any]]:
    """Return the events behind a cursor, oldest first.

    Parameters
    ----------
    after
        Cursor of the last event the caller has dealt with; 0 for the beginning.
    kind
        ``suggestion`` or ``decision``; both by default.
    """
    query = select(feed).where(feed.c.seq > after).order_by(feed.c.seq).limit(limit)
    if kind is not None:
        query = query.where(feed.c.kind == kind)
    with engine.connect() as c:
        rows = c.execute(query).all()
        wanted = [r.record for r in rows if r.kind == "decision"]
        decisions = {
            d.id: decision_of(d)
            for d in c.execute(select(decision).where(decision.c.id.in_(wanted)))
        }
        about = {r.record for r in rows if r.kind == "suggestion"}
        about |= {d["suggestion_id"] for d in decisions.values()}
        suggestions = {
            s.id: summary_of(s)
            for s in c.execute(select(*SUMMARY).where(suggestion.c.id.in_(about)))
        }
    events = []
    for row in rows:
        made = decisions.get(row.record) if row.kind == "decision" else None
        ticket = suggestions.get(made["suggestion_id"] if made else row.record)
        event = {
            "cursor": str(row.seq),
            "kind": row.kind,
            "ticket_id": ticket["ticket_id"] if ticket else None,
        }
        content = made if row.kind == "decision" else ticket
        # A record purged meanwhile leaves its number without content; the cursor still moves on.
        if content is not None:
            event[row.kind] = content
        events.append(event)
    return events


def last_cursor(engine: Engine) -> int:
    """Return the cursor of the newest event, 0 if there is none."""
    with engine.connect() as c:
        return int(c.execute(select(func.max(feed.c.seq))).scalar() or 0)
