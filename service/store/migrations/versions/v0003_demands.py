"""The number of demands of a suggestion, and the digest of what was asked under an idempotency key."""

from alembic import op
from sqlalchemy import Column, Integer, String, inspect, text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEXES = {"suggestion_by_time": ["created_at"], "suggestion_by_advice": ["advice", "created_at"]}
_COUNT = {
    "sqlite": "json_array_length(answer, '$.demands')",
    "postgresql": "json_array_length(CAST(answer AS json) -> 'demands')",
}


def upgrade() -> None:
    """Add the columns where they are missing, and count the demands of what there is."""
    connection = op.get_bind()
    dialect = connection.dialect.name
    # The first migration makes the table of a new store as it is now.
    present = {column["name"] for column in inspect(connection).get_columns("suggestion")}
    for column in (
        Column("demands", Integer, nullable=False, server_default=text("1")),
        Column("digest", String(64)),
    ):
        if column.name not in present:
            op.add_column("suggestion", column)
    if dialect == "sqlite":
        op.execute("DROP TRIGGER IF EXISTS suggestion_append_only")
    else:
        op.execute("ALTER TABLE suggestion DISABLE TRIGGER suggestion_append_only")
    # Most have one demand, which is the default: their rows need not be written anew.
    connection.execute(
        text(f"UPDATE suggestion SET demands = {_COUNT[dialect]} WHERE {_COUNT[dialect]} > 1")
    )
    if dialect == "sqlite":
        op.execute(
            "CREATE TRIGGER suggestion_append_only BEFORE UPDATE ON suggestion "
            "BEGIN SELECT RAISE(ABORT, 'suggestion is append-only'); END"
        )
    else:
        op.execute("ALTER TABLE suggestion ENABLE TRIGGER suggestion_append_only")
    for name, columns in _INDEXES.items():
        op.drop_index(name, "suggestion", if_exists=True)
        op.create_index(name, "suggestion", [*columns, "id", "demands"])


def downgrade() -> None:
    """Drop the columns and what the indexes held of them."""
    for name, columns in _INDEXES.items():
        op.drop_index(name, "suggestion")
        op.create_index(name, "suggestion", columns)
    for name in ("demands", "digest"):
        op.drop_column("suggestion", name)
