"""Open the store: SQLite with a write-ahead log, or PostgreSQL; bring its tables up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Insert, Table, create_engine, event, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from jiesu_nlp.errors import UsageError
from service.store.tables import HEAD

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 5
_MIGRATION_LOCK_SECONDS = 5


def open_engine(url: str) -> Engine:
    """Return an engine; nothing is connected yet.

    Raises
    ------
    UsageError
        If the URL is none or of another database.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise UsageError(
            "数据库地址 JIESU_DATABASE_URL 看不懂；例：postgresql://用户:口令@主机/库名"
        ) from None
    if backend == "postgresql":
        return create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=8,
            pool_timeout=2,
            connect_args={"connect_timeout": 2, "options": "-c statement_timeout=20000"},
        )
    if backend != "sqlite":
        raise UsageError(f"不支持的数据库：{backend}；可用 sqlite 与 postgresql")
    if parsed.database:
        try:
            Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as fault:
            raise UsageError(f"无法建立数据文件夹：{fault}") from None
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # A decision that was confirmed survives a power cut, not only a killed process.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA cache_size=-16000")
    cursor.close()


def version_of(engine: Engine) -> str | None:
    """Return the schema version, ``None`` for an empty database.

    Raises
    ------
    SQLAlchemyError
        If the database does not answer.
    """
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, "alembic_version"):
            return None
        row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
        return None if row is None else str(row[0])


def migrate(engine: Engine) -> None:
    """Bring the tables up to date with Alembic; does nothing where they are.

    It takes the time that the rows of a large store need, but does not wait long for a lock: others'
    statements queue up behind one that is waited for.

    Raises
    ------
    UsageError
        If the database is newer than this program.
    SQLAlchemyError
        If the database does not answer.
    """
    current = version_of(engine)
    if current == HEAD:
        return
    if current is not None and current > HEAD:
        raise UsageError(f"数据库版本 {current} 比程序的 {HEAD} 新；请升级 jiesu-nlp")
    # Imported only where there is something to do: it costs a third of a second at every start.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(f"SET LOCAL lock_timeout = '{_MIGRATION_LOCK_SECONDS}s'"))
        command.upgrade(config, "head")


def insert_once(engine: Engine, table: Table) -> Insert:
    """Return an insert that leaves a row whose id is already there as it is."""
    if engine.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing(index_elements=["id"])
    # Imported only where it is used: it costs a tenth of a second at every start.
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert(table).on_conflict_do_nothing(index_elements=["id"])
