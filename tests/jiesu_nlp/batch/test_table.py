"""Answers into a database: a shard whole or not at all, no row twice, what is foreign untouched."""

import json

import openpyxl
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
sql = pytest.importorskip("sqlalchemy")

from jiesu_nlp.batch.local import relabel  # noqa: E402
from jiesu_nlp.batch.moves import review_rows, write_review  # noqa: E402
from jiesu_nlp.batch.rows import Task  # noqa: E402
from jiesu_nlp.batch.run import Plan, Start, identity_of  # noqa: E402
from jiesu_nlp.batch.source import open_source  # noqa: E402
from jiesu_nlp.batch.table import Table, is_table_of, parse_table  # noqa: E402
from jiesu_nlp.batch.verdicts import VERDICT, apply_verdicts  # noqa: E402
from jiesu_nlp.errors import UsageError  # noqa: E402
from tests.service.postgres import fresh_database, start_server  # noqa: E402

CHOSEN = ("code", "confidence", "candidates", "district", "enterprise", "demands")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("psycopg")
    yield from start_server(tmp_path_factory.mktemp("postgres"))


@pytest.fixture(params=["sqlite", "postgresql"])
def table(request, tmp_path):
    if request.param == "sqlite":
        return Table(f"sqlite:///{tmp_path / 'a.db'}", "重标")
    return Table(fresh_database(request.getfixturevalue("server")), "public.重标")


@pytest.fixture
def source(rows, tmp_path):
    few = [dict(r) for r in rows[:90]]
    few[4]["text"] = None
    few[5]["编号"] = "甲\0乙"
    few[6]["编号"] = None
    pq.write_table(pa.Table.from_pylist(few), tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


@pytest.fixture
def go(dispatcher, bundle, source, table):
    def go(output, **how):
        task = Task(text="text", columns=CHOSEN, old_label="old")
        plan = Plan(task, output, "table", None, 20, table)
        start = Start("in", identity_of(bundle), **how)
        return relabel(open_source(str(source)), dispatcher, plan, start, workers=2)

    return go


def opened(table):
    """An engine that keeps no connection, or the server would wait for it at the end."""
    return sql.create_engine(table.url, poolclass=sql.pool.NullPool)


def everything(table):
    with opened(table).connect() as connection:
        rows = connection.execute(
            sql.text("SELECT * FROM 重标 ORDER BY jiesu_source, jiesu_row")
        ).mappings()
        return [dict(r) for r in rows]


def change(table, statement):
    with opened(table).begin() as connection:
        return connection.execute(sql.text(statement)).rowcount


def test_the_table_holds_what_parquet_would(go, run, table, source, tmp_path):
    tally = go(tmp_path / "work")
    assert (tally.rows, tally.bad) == (89, 1)
    run(source, tmp_path / "out", task={"columns": CHOSEN, "old_label": "old"}, shard_rows=20)
    parts = sorted((tmp_path / "out").glob("part-*"))
    expected = pa.concat_tables(pq.ParquetFile(p).read() for p in parts).to_pylist()
    found = everything(table)
    for row in found:
        row["jiesu_candidates"] = json.loads(row["jiesu_candidates"])
        row["jiesu_review"] = json.loads(row["jiesu_review"])
        row["jiesu_enterprise"] = bool(row["jiesu_enterprise"])
    expected[4]["编号"] = "甲\ufffd乙"
    assert found == expected
    assert not list((tmp_path / "work").glob("part-*"))
    assert go(tmp_path / "work").resumed == 90


def test_a_kill_between_database_and_manifest_writes_nothing_twice(go, table, tmp_path):
    go(tmp_path / "work")
    before = everything(table)
    manifest = tmp_path / "work" / "_jiesu" / "manifest.jsonl"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:3]))
    assert 0 < go(tmp_path / "work").resumed < 90
    assert everything(table) == before
    # The other way round: the database was restored from an older copy.
    change(table, "DELETE FROM 重标_shards WHERE shard = '00000-000002'")
    assert change(table, "DELETE FROM 重标 WHERE jiesu_row BETWEEN 41 AND 60") == 20
    go(tmp_path / "work")
    assert everything(table) == before


def test_a_shard_that_fails_leaves_no_row_and_goes_on_later(go, table, tmp_path):
    if table.url.startswith("sqlite"):
        make = "CREATE TRIGGER halt BEFORE INSERT ON 重标 WHEN new.n = 50 BEGIN SELECT RAISE(ABORT, 'full'); END"
        drop = "DROP TRIGGER halt"
    else:
        make = "ALTER TABLE 重标 ADD CONSTRAINT halt CHECK (n <> 50)"
        drop = "ALTER TABLE 重标 DROP CONSTRAINT halt"
    go(tmp_path / "work")
    before = everything(table)
    manifest = tmp_path / "work" / "_jiesu" / "manifest.jsonl"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:1]))
    change(table, "DELETE FROM 重标_shards")
    change(table, "DELETE FROM 重标")
    change(table, make)
    with pytest.raises(UsageError, match="写数据库失败"):
        go(tmp_path / "work")
    numbers = {r["n"] for r in everything(table)}
    assert not numbers & set(range(40, 60))
    change(table, drop)
    go(tmp_path / "work")
    assert everything(table) == before


def test_foreign_tables_and_other_runs_are_left_alone(go, table, tmp_path):
    change(table, "CREATE TABLE 重标 (x INT)")
    with pytest.raises(UsageError, match="不是重标的结果"):
        go(tmp_path / "a")
    with pytest.raises(UsageError, match="不是重标的结果"):
        go(tmp_path / "a", restart=True)
    change(table, "DROP TABLE 重标")
    go(tmp_path / "a")
    with pytest.raises(UsageError, match="另一次重标"):
        go(tmp_path / "b")
    go(tmp_path / "b", restart=True)
    assert len(everything(table)) == 89


def review_with_a_verdict(folder, catalogue):
    """Export the review of a run in ``folder / "work"`` with a verdict on its first row."""
    rows = review_rows(folder / "work", 100)
    write_review(folder / "v.xlsx", rows, catalogue)
    book = openpyxl.load_workbook(folder / "v.xlsx")
    column = [c.value for c in book.active[1]].index(VERDICT) + 1
    book.active.cell(2, column).value = "01-01-002"
    book.save(folder / "v.xlsx")
    return rows


def test_verdicts_reach_the_table(go, table, dispatcher, tmp_path):
    go(tmp_path / "work")
    rows = review_with_a_verdict(tmp_path, dispatcher.catalogue)
    with pytest.raises(UsageError, match="--table"):
        apply_verdicts(tmp_path / "work", tmp_path / "v.xlsx", dispatcher.catalogue)
    apply_verdicts(tmp_path / "work", tmp_path / "v.xlsx", dispatcher.catalogue, table=table)
    decided = [r for r in everything(table) if r["jiesu_label_basis"] == "person"]
    assert [(r["jiesu_row"], r["jiesu_label"]) for r in decided] == [(rows[0]["row"], "01-01-002")]
    assert decided[0]["jiesu_review"] == "[]"


def test_addresses_are_checked_and_passwords_not_shown():
    found = parse_table("postgresql+psycopg://u:geheim@h/db#a.b")
    assert found.name == "a.b"
    assert "geheim" not in found.shown
    found = parse_table("postgresql+psycopg://h/db?user=u&password=geheim&sslmode=require#t")
    assert found.shown == "postgresql+psycopg://h/db?***#t"
    for wrong in ("sqlite:///a.db", "sqlite:///a.db#", "#t"):
        with pytest.raises(UsageError, match="#表名"):
            parse_table(wrong)
    for wrong in ("x#y", "postgresql://u:geheim@h:port/db#t"):
        with pytest.raises(UsageError, match="端口") as told:
            parse_table(wrong)
        assert "geheim" not in str(told.value)


SAME = [
    ("postgresql+psycopg://u:geheim@h/db#t", "postgresql+psycopg://other:neu@H/db#t"),
    ("postgresql://h/db?user=u&password=a&sslmode=require#t", "postgresql+psycopg2://h/db#t"),
    (
        "mssql+pyodbc://?odbc_connect=SERVER%3Da%3BUID%3Du%3BPWD%3D%7Bx%3By%7D%3BDATABASE%3Dd#t",
        "mssql+pyodbc://?odbc_connect=pwd%3Dz%3BSERVER%3Da%3BDATABASE%3Dd#t",
    ),
]
DIFFERENT = [
    "postgresql:///db?host=prod#t",
    "postgresql:///db?host=test#t",
    "postgresql:///db?host=test&port=5433#t",
    "postgresql://prod/db#t",
    "postgresql://prod:5433/db#t",
    "postgresql://prod/db2#t",
    "postgresql://prod/db#u",
    "mysql+pymysql://prod/db#t",
    "mssql+pyodbc://?odbc_connect=SERVER%3Da%3BDATABASE%3Dd#t",
    "mssql+pyodbc://?odbc_connect=SERVER%3Db%3BDATABASE%3Dd#t",
    "sqlite:////data/a@b/工单.db#t",
    "sqlite:////other@b/工单.db#t",
    # Without a database the server chooses it by the user.
    "postgresql://alice@prod#t",
    "postgresql://bob@prod#t",
]


def test_a_table_is_told_by_what_chooses_it_not_by_what_opens_it():
    for one, other in SAME:
        assert parse_table(one).identity == parse_table(other).identity
    found = {parse_table(url).identity for url in DIFFERENT}
    assert len(found) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("noted", "url", "same"),
    [
        # Before the digest: the address without its password, or masked.
        ("postgresql://u@h/db?host=a#t", "postgresql://u:geheim@h/db?host=a#t", True),
        ("postgresql://u@h/db?host=a#t", "postgresql://u:geheim@h/db?host=b#t", False),
        ("postgresql://h/db#t", "postgresql://u:geheim@h/db#t", True),
        ("postgresql://h/db?***#t", "postgresql://h/db?host=a#t", False),
        ("postgresql://h/db?***#t", "postgresql://h/db#t", False),
        ("sqlite:////data/a@b.db#t", "sqlite:////data/a@b.db#t", True),
        (None, "postgresql://h/db#t", False),
    ],
)
def test_the_table_of_an_older_manifest_is_recognised(noted, url, same):
    assert is_table_of({"table": noted}, parse_table(url)) is same
    assert is_table_of({"table": noted}, None) is (noted is None)
    assert is_table_of({}, None)


def test_an_older_run_goes_on_and_another_database_is_refused(go, table, dispatcher, tmp_path):
    go(tmp_path / "work")
    manifest = tmp_path / "work" / "_jiesu" / "manifest.jsonl"
    first, *rest = manifest.read_text().splitlines(keepends=True)
    header = json.loads(first)
    assert header.pop("table_id") == table.identity
    plain = sql.make_url(table.url).set(password=None).render_as_string()
    header["table"] = f"{plain}#{table.name}"
    manifest.write_text("".join([json.dumps(header) + "\n", *rest]))
    assert go(tmp_path / "work").resumed == 90

    review_with_a_verdict(tmp_path, dispatcher.catalogue)
    apply_verdicts(tmp_path / "work", tmp_path / "v.xlsx", dispatcher.catalogue, table=table)

    # What is shown of both is the same, and it is another database all the same.
    other = Table(f"sqlite:///{tmp_path / 'a.db'}?x=1", table.name)
    with pytest.raises(UsageError, match="--table"):
        apply_verdicts(tmp_path / "work", tmp_path / "v.xlsx", dispatcher.catalogue, table=other)
    if table.url.startswith("sqlite"):
        again = Plan(Task(text="text", columns=CHOSEN, old_label="old"), tmp_path / "work",
                     "table", None, 20, other)  # fmt: skip
        source = open_source(str(tmp_path / "in.parquet"))
        start = Start("in", header["bundle"])
        with pytest.raises(UsageError, match="数据库表"):
            relabel(source, dispatcher, again, start, workers=1)
