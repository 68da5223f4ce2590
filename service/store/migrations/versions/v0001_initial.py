"""Suggestions, decisions, shadow answers, audit log, accounts, sessions, keys."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = ("suggestion", "decision", "shadow", "audit")
# Later tables come with later migrations.
_TABLES = (*_APPEND_ONLY, "account", "session", "api_key")


def upgrade() -> None:
    """Create all tables and the triggers that keep records from being rewritten."""
    from service.store.tables import metadata  # noqa: PLC0415

    metadata.create_all(op.get_bind(), tables=[metadata.tables[name] for name in _TABLES])
    if op.get_bind().dialect.name == "sqlite":
        for table in _APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION refuse_update() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_update()"
        )


def downgrade() -> None:
    """Drop everything."""
    from service.store.tables import metadata  # noqa: PLC0415

    metadata.drop_all(op.get_bind(), tables=[metadata.tables[name] for name in _TABLES])
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION IF EXISTS refuse_update()")
