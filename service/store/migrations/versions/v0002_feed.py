"""The feed: suggestions and decisions numbered in the order in which they became visible."""

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_FOLLOWED = ("suggestion", "decision")
# Numbers are handed out under this lock and it is held until the commit: without it a number could
# become visible after a greater one, and who follows along would miss it. It is taken before the first
# row, so that two instances that store the same row do not wait for each other.
_LOCK = 6_120_345


def upgrade() -> None:
    """Create the table, take in what there is, and let triggers add the rest."""
    from service.store.tables import feed  # noqa: PLC0415

    connection = op.get_bind()
    feed.create(connection)
    connection.execute(
        text(
            "INSERT INTO feed (kind, record) SELECT kind, id FROM ("
            "SELECT 'suggestion' AS kind, id, created_at FROM suggestion UNION ALL "
            "SELECT 'decision' AS kind, id, created_at FROM decision) AS past "
            "ORDER BY created_at, kind DESC, id"
        )
    )
    if connection.dialect.name == "sqlite":
        for table in _FOLLOWED:
            op.execute(
                f"CREATE TRIGGER {table}_to_feed AFTER INSERT ON {table} BEGIN "
                f"INSERT INTO feed (kind, record) VALUES ('{table}', NEW.id); END"
            )
        return
    op.execute(
        "CREATE FUNCTION lock_feed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"PERFORM pg_advisory_xact_lock({_LOCK}); RETURN NULL; END $$"
    )
    op.execute(
        "CREATE FUNCTION add_to_feed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO feed (kind, record) VALUES (TG_TABLE_NAME, NEW.id); RETURN NULL; END $$"
    )
    for table in _FOLLOWED:
        op.execute(
            f"CREATE TRIGGER {table}_lock_feed BEFORE INSERT ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION lock_feed()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_to_feed AFTER INSERT ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION add_to_feed()"
        )


def downgrade() -> None:
    """Drop the triggers and the table."""
    if op.get_bind().dialect.name == "sqlite":
        for table in _FOLLOWED:
            op.execute(f"DROP TRIGGER {table}_to_feed")
    else:
        op.execute("DROP FUNCTION add_to_feed() CASCADE")
        op.execute("DROP FUNCTION lock_feed() CASCADE")
    op.drop_table("feed")
