"""Decisions as labelled tickets: the columns that ``jiesu train`` reads; and the end of old records.

The label of a demand is its last acceptance or change, unless it was returned after that.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, delete, func, or_, select

from jiesu_nlp.errors import UsageError
from jiesu_nlp.ticket import day_of
from service.store.tables import (
    BEIJING,
    audit,
    decision,
    feed,
    session,
    shadow,
    stamp,
    suggestion,
)

COLUMNS = ("text", "code", "unit", "created_at", "weight", "source")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PAGE = 5000
# Further than any two time zones are apart.
_ZONES = timedelta(days=2)


def stamp_of(moment: str) -> str:
    """Return the stamp of a day or time that a person gives, Beijing time unless it says otherwise.

    Raises
    ------
    UsageError
        If it is none: compared as text it would let nothing or everything through.
    """
    try:
        return _in_beijing(moment)
    except (ValueError, OverflowError):
        raise UsageError(
            f"日期“{moment}”看不懂；请写成 2026-11-01 或 2026-11-01T08:00:00（北京时间）"
        ) from None


def _in_beijing(moment: str) -> str:
    given = datetime.fromisoformat(moment)
    return stamp(given if given.tzinfo else given.replace(tzinfo=BEIJING))


def labelled(engine: Engine, *, since: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield one row of :data:`COLUMNS` per decided demand, in the order in which they were stored.

    Parameters
    ----------
    since
        Stamp as the store writes it (:func:`stamp_of`): only tickets received since, or stored
        since where the order system did not say when they were received.
    """
    query = (
        select(
            suggestion.c.id,
            suggestion.c.text,
            suggestion.c.created_at,
            suggestion.c.received_at,
            suggestion.c.answer,
            decision.c.demand,
            decision.c.kind,
            decision.c.code,
            decision.c.unit,
        )
        .join(decision, decision.c.suggestion_id == suggestion.c.id)
        .order_by(
            suggestion.c.created_at, suggestion.c.id, decision.c.demand, decision.c.created_at
        )
        .execution_options(yield_per=_PAGE)
    )
    if since:
        query = query.where(_perhaps_since(since))
    last: Any = None
    with engine.connect() as c:
        for row in c.execute(query):
            if since and _received(row) < since:
                continue
            if last is not None and (row.id, row.demand) != (last.id, last.demand):
                yield from _label(last)
            last = row
        if last is not None:
            yield from _label(last)


def _perhaps_since(since: str) -> ColumnElement[bool]:
    """Leave out what is plainly older; the order system's stamps have many forms, most ISO 8601."""
    received = func.coalesce(suggestion.c.received_at, suggestion.c.created_at)
    day = max(date.fromisoformat(since[:10]), date.min + _ZONES) - _ZONES
    return or_(received >= day.isoformat(), received.not_like("____-__-__%"))


def _received(row: Any) -> str:
    """Return when a ticket was received, as the store writes times.

    Where only the day can be read, its last moment: rather exported twice than never.
    """
    received = row.received_at
    day = day_of(received) if received else None
    if day is None:
        return str(row.created_at)
    try:
        if len(received.strip()) > len("2026-11-05"):
            return _in_beijing(received.strip())
    except ValueError:
        pass
    return f"{day}T23:59:59.999+08:00"


def _label(row: Any) -> Iterator[dict[str, Any]]:
    if row.kind == "returned" or row.code is None:
        return
    demands = json.loads(row.answer)["demands"]
    text = row.text
    if len(demands) > 1 and row.demand < len(demands):
        start, end = demands[row.demand]["span"]
        text = text[start:end]
    yield {
        "text": text,
        "code": row.code,
        "unit": row.unit,
        "created_at": row.received_at or row.created_at,
        "weight": 1.0,
        "source": f"decision:{row.kind}",
    }


def to_csv(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """Yield CSV with a mark of UTF-8; a cell that a spreadsheet would run gets an apostrophe."""
    yield b"\xef\xbb\xbf"
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([harmless(row[c]) for c in COLUMNS])
        if buffer.tell() > 65536:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def harmless(value: Any) -> Any:
    """Put an apostrophe before what a spreadsheet would take for a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value


def to_parquet(rows: Iterator[dict[str, Any]]) -> bytes:
    """Return a Parquet file; texts are exact."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = pa.schema([(c, pa.float64() if c == "weight" else pa.string()) for c in COLUMNS])
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        page: list[dict[str, Any]] = []
        for row in rows:
            page.append(row)
            if len(page) >= _PAGE:
                writer.write_table(pa.Table.from_pylist(page, schema))
                page = []
        if page:
            writer.write_table(pa.Table.from_pylist(page, schema))
    return sink.getvalue()


def purge(engine: Engine, before: str, *, with_decisions: bool = False) -> dict[str, int]:
    """Delete what is older than a stamp; return how many rows of each table.

    Decided tickets are labels and stay unless ``with_decisions``; audit lines stay with them.
    """
    gone: dict[str, int] = {}
    with engine.begin() as c:
        old = select(suggestion.c.id).where(suggestion.c.created_at < before)
        if with_decisions:
            judged = decision.c.suggestion_id.in_(old)
            c.execute(delete(feed).where(feed.c.record.in_(select(decision.c.id).where(judged))))
            gone["decision"] = c.execute(delete(decision).where(judged)).rowcount
            gone["audit"] = c.execute(delete(audit).where(audit.c.created_at < before)).rowcount
        gone["shadow"] = c.execute(delete(shadow).where(shadow.c.created_at < before)).rowcount
        ended = and_(
            suggestion.c.created_at < before,
            suggestion.c.id.not_in(select(decision.c.suggestion_id)),
        )
        c.execute(delete(feed).where(feed.c.record.in_(select(suggestion.c.id).where(ended))))
        gone["suggestion"] = c.execute(delete(suggestion).where(ended)).rowcount
        c.execute(delete(session).where(session.c.expires_at < before))
    return gone
