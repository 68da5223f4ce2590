"""Tables of the store. Suggestions and decisions are append-only: triggers refuse an UPDATE.

Times are Beijing texts of fixed width (``2026-11-20T09:30:00.123+08:00``): they sort and compare alike
in SQLite and PostgreSQL, and a day is the day of the city.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from secrets import token_hex

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

HEAD = "0003"
metadata = MetaData()
BEIJING = timezone(timedelta(hours=8))

suggestion = Table(
    "suggestion",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("ticket_id", Text),
    Column("received_at", Text),
    Column("channel", Text),
    # A keyed digest: the same caller is recognised, nobody can be read from it.
    Column("requester", String(32)),
    Column("text", Text, nullable=False),
    Column("address", Text),
    Column("actor", Text, nullable=False),
    Column("source", String(16), nullable=False),
    Column("model", Text, nullable=False),
    Column("catalogue", Text, nullable=False),
    Column("rules", Text, nullable=False),
    Column("places", Text, nullable=False),
    Column("code", String(16), nullable=False),
    Column("unit", Text, nullable=False),
    Column("district", Text),
    Column("town", Text),
    Column("gate", String(16), nullable=False),
    Column("confidence", Float, nullable=False),
    Column("advice", String(16), nullable=False),
    Column("elapsed_ms", Float, nullable=False),
    Column("answer", Text, nullable=False),
    # How many demands there are to decide: the queue must not read it out of every answer. The default
    # is for what an instance of the version before writes or has in its spool.
    Column("demands", Integer, nullable=False, server_default=text("1")),
    # Keyed digest of what was asked under an idempotency key, to tell a repeated request from another.
    Column("digest", String(64)),
    # With all that the queue asks of the tickets it passes over: their rows are long.
    Index("suggestion_by_time", "created_at", "id", "demands"),
    Index("suggestion_by_advice", "advice", "created_at", "id", "demands"),
    Index("suggestion_by_matter", "code", "district", "created_at"),
    Index("suggestion_by_requester", "requester", "created_at"),
)

decision = Table(
    "decision",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("suggestion_id", String(32), nullable=False),
    Column("demand", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("code", String(16)),
    Column("unit_code", Text),
    Column("unit", Text),
    Column("reason", Text),
    Column("actor", Text, nullable=False),
    # What was suggested, kept beside the decision so that quality needs no join.
    Column("suggested_code", String(16)),
    Column("suggested_unit", Text),
    Column("district", Text),
    Column("model", Text),
    Column("confidence", Float),
    Column("advice", String(16)),
    # Rank of the chosen leaf among the suggested ones, 1 to 5; 0 if it was not among them.
    Column("rank", Integer),
    # Digest of what was asked, to tell a repeated request from another one under the same key.
    Column("digest", String(64), nullable=False),
    Index("decision_by_suggestion", "suggestion_id", "demand", "created_at"),
    Index("decision_by_time", "created_at"),
)

shadow = Table(
    "shadow",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("suggestion_id", String(32), nullable=False),
    Column("model", Text, nullable=False),
    Column("active_model", Text, nullable=False),
    Column("code", String(16), nullable=False),
    Column("unit", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("same_code", Boolean, nullable=False),
    Column("same_unit", Boolean, nullable=False),
    Index("shadow_by_suggestion", "suggestion_id"),
    Index("shadow_by_time", "created_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("detail", Text),
    Column("peer", Text),
    Index("audit_by_time", "created_at"),
)

# What became visible in which order, filled by triggers: the cursor of who follows along. Times will
# not do, because a spooled record is stored long after it was made.
feed = Table(
    "feed",
    metadata,
    Column(
        "seq",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("kind", String(16), nullable=False),
    Column("record", String(32), nullable=False),
    # A number is never given again, not even after the newest rows were purged.
    sqlite_autoincrement=True,
)

account = Table(
    "account",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", String(32), nullable=False),
)

session = Table(
    "session",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("account", String(64), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32), nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("revoked_at", String(32)),
)

APPEND_ONLY = ("suggestion", "decision", "shadow", "audit")
SPOOLED = {"suggestion": suggestion, "decision": decision, "shadow": shadow, "audit": audit}


def stamp(moment: datetime | None = None) -> str:
    """Return a moment (now) as the store writes it."""
    moment = (moment or datetime.now(BEIJING)).astimezone(BEIJING)
    return moment.isoformat(timespec="milliseconds")


def ago(days: float) -> str:
    """Return the stamp of so many days ago."""
    return stamp(datetime.now(BEIJING) - timedelta(days=days))


def new_id() -> str:
    """Return a fresh id; later ids sort after earlier ones."""
    return f"{time.time_ns() // 1_000_000:012x}{token_hex(10)}"
