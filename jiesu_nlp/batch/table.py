"""A database table for the answers: a shard's rows and the note that it is done in one transaction.

The note stands in a table of its own, named like the answers' with ``_shards`` behind it. A killed
run leaves a shard there whole or not at all; the answers' primary key lets no row in twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jiesu_nlp.batch.address import MASK, identity, parsed, shown
from jiesu_nlp.batch.extras import arrow, need
from jiesu_nlp.batch.sink import flat
from jiesu_nlp.errors import UsageError

_NOTES = "_shards"
_AT_ONCE = 2000
_SQLITE_WAIT = 300


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a database, existing or to be made.

    Attributes
    ----------
    url
        SQLAlchemy URL.
    name
        Name of the table, also ``schema.table``.
    """

    url: str
    name: str

    @property
    def shown(self) -> str:
        """The table as it may be shown and kept: without the password."""
        return f"{shown(self.url)}#{self.name}"

    @property
    def identity(self) -> str:
        """What tells it from every other table, whoever opens it."""
        return identity(self.url, self.name)

    def prepare(self, schema: Any, prefix: str, run: str, *, restart: bool) -> None:
        """Make the tables, or see that they are of this run.

        Parameters
        ----------
        schema
            Arrow schema of the answers.
        prefix
            Of the result columns.
        run
            What the run is called.
        restart
            Drop the answers of an earlier run first.

        Raises
        ------
        UsageError
            If there is a table of that name that is not this run's.
        """
        sql = need("sqlalchemy", "tables", "写数据库")
        with self._connect() as connection:
            there = self._exists(connection, self.name)
            notes = self._exists(connection, self.name + _NOTES)
            if there and not notes:
                raise UsageError(
                    f"表 {self.shown} 已存在，且不是重标的结果；请换一个表名，或先删除它"
                )
            if notes and restart:
                for name in (self.name, self.name + _NOTES):
                    self._table(connection, name).drop(connection, checkfirst=True)
            elif notes:
                noted = self._table(connection, self.name + _NOTES)
                other = sql.select(noted.c.run).where(noted.c.run != run).limit(1)
                if connection.execute(other).first() is not None:
                    raise UsageError(
                        f"表 {self.shown} 里是另一次重标的结果；请换一个表名，或加 --restart 丢弃旧结果重做"
                    )
            self._define(sql, schema, prefix).create_all(connection)

    def _define(self, sql: Any, schema: Any, prefix: str) -> Any:
        metadata = sql.MetaData()
        keys = (prefix + "source", prefix + "row")
        columns = [
            sql.Column(
                f.name,
                sql.String(500) if f.name == keys[0] else _sql_type(sql, f.type),
                primary_key=f.name in keys,
                autoincrement=False,
            )
            for f in schema
        ]
        space, name = self._parts(self.name)
        sql.Table(name, metadata, *columns, schema=space)
        sql.Table(
            name + _NOTES,
            metadata,
            sql.Column("shard", sql.String(40), primary_key=True),
            sql.Column("run", sql.String(40), nullable=False),
            sql.Column("input", sql.String(64), nullable=False),
            sql.Column("rows", sql.Integer, nullable=False),
            schema=space,
        )
        return metadata

    def stored(self, run: str) -> dict[str, str]:
        """Return the checksum of the input of every shard that is in the table."""
        sql = need("sqlalchemy", "tables", "写数据库")
        with self._connect() as connection:
            notes = self._table(connection, self.name + _NOTES)
            found = connection.execute(sql.select(notes.c.shard, notes.c.input, notes.c.run))
            return {shard: digest for shard, digest, of in found if of == run}

    def write(self, key: str, digest: str, run: str, prefix: str, answers: Any) -> None:
        """Write a shard: its rows (instead of those of an earlier try) and the note, or nothing.

        Raises
        ------
        UsageError
            If the database refuses.
        """
        with self._connect() as connection:
            table = self._table(connection, self.name)
            notes = self._table(connection, self.name + _NOTES)
            gone = connection.execute(notes.delete().where(notes.c.shard == key))
            rows = _plain(answers)
            source, row = table.c[prefix + "source"], table.c[prefix + "row"]
            if gone.rowcount and rows:
                first, last = rows[0], rows[-1]
                connection.execute(
                    table.delete().where(
                        source == first[source.name],
                        row.between(first[row.name], last[row.name]),
                    )
                )
            for start in range(0, len(rows), _AT_ONCE):
                connection.execute(table.insert(), rows[start : start + _AT_ONCE])
            note = {"shard": key, "run": run, "input": digest, "rows": len(rows)}
            connection.execute(notes.insert(), note)

    def update(self, prefix: str, verdicts: Mapping[tuple[str, int], str]) -> None:
        """Put verdicts into the label columns, all or none.

        Raises
        ------
        UsageError
            If the database refuses.
        """
        sql = need("sqlalchemy", "tables", "写数据库")
        with self._connect() as connection:
            table = self._table(connection, self.name)
            change = (
                table.update()
                .where(
                    table.c[prefix + "source"] == sql.bindparam("of_source"),
                    table.c[prefix + "row"] == sql.bindparam("of_row"),
                )
                .values(
                    {
                        prefix + "label": sql.bindparam("code"),
                        prefix + "label_basis": "person",
                        prefix + "review": "[]",
                    }
                )
            )
            connection.execute(
                change,
                [
                    {"of_source": source, "of_row": row, "code": code}
                    for (source, row), code in verdicts.items()
                ],
            )

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        """Yield a connection in one transaction; what the database says, a user can read."""
        sql = need("sqlalchemy", "tables", "写数据库")
        try:
            # Workers take turns on an SQLite file; a shard of the other may take a while.
            waits = {"timeout": _SQLITE_WAIT} if self.url.startswith("sqlite") else {}
            engine = sql.create_engine(self.url, poolclass=sql.pool.NullPool, connect_args=waits)
            with engine.begin() as connection:
                yield connection
        except (sql.exc.SQLAlchemyError, ImportError) as fault:
            first = str(getattr(fault, "orig", None) or fault).strip().splitlines()[0]
            raise UsageError(
                f"写数据库失败：{first}；已完成的分片保留，排除后重新运行同一命令即可继续"
            ) from None

    @staticmethod
    def _parts(name: str) -> tuple[str | None, str]:
        space, _, plain = name.rpartition(".")
        return space or None, plain

    def _exists(self, connection: Any, name: str) -> bool:
        sql = need("sqlalchemy", "tables", "写数据库")
        space, plain = self._parts(name)
        return bool(sql.inspect(connection).has_table(plain, schema=space))

    def _table(self, connection: Any, name: str) -> Any:
        sql = need("sqlalchemy", "tables", "写数据库")
        space, plain = self._parts(name)
        return sql.Table(plain, sql.MetaData(), schema=space, autoload_with=connection)


def parse_table(text: str) -> Table:
    """Read ``URL#table``.

    Raises
    ------
    UsageError
        If it is none.
    """
    url, _, name = text.rpartition("#")
    if not url or not name.strip():
        raise UsageError(
            "--table 应为“数据库地址#表名”，如 postgresql+psycopg://用户@主机/库#重标2026"
        )
    parsed(url, "写数据库")
    return Table(url, name.strip())


def is_table_of(header: Mapping[str, Any], table: Table | None) -> bool:
    """Say whether a run's answers go into a table; ``None``: into none.

    Parameters
    ----------
    header
        Of the run's manifest. Older ones have no ``table_id`` but the address itself; where its
        options are masked, nobody can tell which database it was, and it is not this one.
    table
        What is asked about.
    """
    noted = header.get("table")
    if table is None or noted is None:
        return table is None and noted is None
    if "table_id" in header:
        return bool(header["table_id"] == table.identity)
    return MASK not in noted and parse_table(noted).identity == table.identity


def _sql_type(sql: Any, kind: Any) -> Any:
    pa = arrow()
    types = pa.types
    if types.is_boolean(kind):
        return sql.Boolean()
    if types.is_integer(kind):
        return sql.BigInteger()
    if types.is_floating(kind):
        return sql.Double()
    if types.is_timestamp(kind):
        return sql.DateTime(timezone=kind.tz is not None)
    if types.is_date(kind):
        return sql.Date()
    if types.is_decimal(kind):
        return sql.Numeric(kind.precision, kind.scale)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return sql.LargeBinary()
    return sql.Text()


def _plain(answers: Any) -> list[dict[str, Any]]:
    """Return the rows with lists as JSON and without NUL, which no database's text can hold."""
    rows: list[dict[str, Any]] = flat(answers).to_pylist()
    for row in rows:
        for name, value in row.items():
            if isinstance(value, str) and "\0" in value:
                row[name] = value.replace("\0", "\ufffd")
    return rows
