"""The cluster engine: row for row what the single machine answers, and a wave at a time."""

import datetime as dt
import json
import shutil
import sys

import openpyxl
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from jiesu_nlp.batch import spark  # noqa: E402
from jiesu_nlp.batch.columns import NAMES  # noqa: E402
from jiesu_nlp.batch.moves import count_moves, review_rows  # noqa: E402
from jiesu_nlp.batch.rows import Task, answer_batch  # noqa: E402
from jiesu_nlp.batch.run import Plan, Start, identity_of  # noqa: E402
from jiesu_nlp.batch.verdicts import VERDICT, apply_verdicts  # noqa: E402
from jiesu_nlp.errors import DataError, UsageError  # noqa: E402


def table(output):
    return pa.concat_tables(pq.ParquetFile(p).read() for p in sorted(output.glob("part-*")))


def test_blocks_are_whole_however_the_rows_arrive():
    sources = ["a"] * 7 + ["b"] * 4
    numbers = [*range(1, 8), *range(1, 5)]
    rows = pa.record_batch(
        {"n": range(11), spark.SOURCE: sources, spark.ROW: pa.array(numbers, pa.int64())}
    )
    for size in (1, 2, 3, 11):
        batches = [rows.slice(i, size) for i in range(0, 11, size)]
        found = [(s, n, b.column("n").to_pylist()) for s, n, b in spark._blocks(batches, 3)]
        assert found == [
            ("a", [1, 2, 3], [0, 1, 2]),
            ("a", [4, 5, 6], [3, 4, 5]),
            ("a", [7], [6]),
            ("b", [1, 2, 3], [7, 8, 9]),
            ("b", [4], [10]),
        ]
    assert list(spark._blocks(iter(()), 3)) == []


def test_bad_rows_and_ledger_travel_beside_the_answers(dispatcher):
    task = Task(text="text", columns=("code",), old_label="old")
    rows = pa.record_batch({"text": ["停水", None, "停电"], "old": ["07-01-001", "x", None]})
    answered = answer_batch(dispatcher, rows, task, source="f", numbers=[4, 5, 6])
    schema = spark.answered_schema(rows.schema, task, aside=True)
    found = spark._with_aside(answered, schema, "f").to_pylist()
    assert [r["jiesu_row"] for r in found] == [4, 6, None]
    assert [r["_jiesu_ledger"] and r["_jiesu_ledger"]["row"] for r in found] == [4, 6, None]
    assert json.loads(found[2]["_jiesu_bad"])["_row"] == 5


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    pytest.importorskip("pyspark")
    pytest.importorskip("pandas")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"Java 17.*JAVA_HOME"), spark.session("local[1]", {}):
        pass
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(UsageError, match=r"jiesu-nlp\[spark\]"), spark.session("local[1]", {}):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory, rows):
    """Two years of history, awkward names, more row groups than tasks, two bad rows."""
    folder = tmp_path_factory.mktemp("in") / "历史 库+1%"
    for year, part in (("2024", rows[:170]), ("2025", rows[170:])):
        (folder / f"年={year}").mkdir(parents=True)
        made = [
            {**r, "受理时间": dt.datetime(2024, 5, 1) + dt.timedelta(hours=r["n"])} for r in part
        ]
        made[9]["text"] = None
        pq.write_table(
            pa.Table.from_pylist(made), folder / f"年={year}" / "工 单.parquet", row_group_size=37
        )
    return folder


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("pyspark")
    pytest.importorskip("pandas")
    if shutil.which("java") is None:
        pytest.skip("没有 Java")
    with spark.session("local-cluster[2,1,1024]", {}) as session:
        yield session


@pytest.fixture
def go(cluster, bundle):
    def go(spec, output):
        source = spark.SparkSource(cluster, str(spec))
        plan = Plan(Task(text="text", columns=NAMES, old_label="old"), output, shard_rows=40)
        start = Start(str(spec), identity_of(bundle))
        return spark.relabel(cluster, source, plan, start, bundle=bundle)

    return go


@pytest.mark.slow
def test_two_workers_answer_as_one_machine_does(go, run, folder, dispatcher, tmp_path, monkeypatch):
    local = run(folder, tmp_path / "local", task={"old_label": "old"})
    monkeypatch.setattr(spark, "_WAVE_BYTES", 1)
    tally = go(folder, tmp_path / "spark")
    assert (tally.rows, tally.bad, tally.decisions) == (local.rows, local.bad, local.decisions)
    ours, theirs = table(tmp_path / "local"), table(tmp_path / "spark")
    assert theirs.schema.equals(ours.schema)
    assert theirs.to_pylist() == ours.to_pylist()
    assert tally.bad_file.read_text() == local.bad_file.read_text()
    ours, theirs = count_moves(tmp_path / "local"), count_moves(tmp_path / "spark")
    assert theirs == ours

    # A person decides a row of the second wave.
    row = next(r for r in review_rows(tmp_path / "spark", 1000) if "2025" in r["source"])
    book = openpyxl.Workbook()
    book.active.append(["来源", "行", VERDICT])
    book.active.append([row["source"], row["row"], "01-01-002"])
    book.save(tmp_path / "v.xlsx")
    apply_verdicts(tmp_path / "spark", tmp_path / "v.xlsx", dispatcher.catalogue)

    # Killed after the first wave's record, in the midst of the second's files.
    before = table(tmp_path / "spark")
    manifest = tmp_path / "spark" / "_jiesu" / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:-1]))
    next(iter((tmp_path / "spark").glob("part-00001-*"))).unlink()
    again = go(folder, tmp_path / "spark")
    assert 0 < again.resumed < again.rows
    assert table(tmp_path / "spark").equals(before)
    assert table(tmp_path / "spark").column("jiesu_label_basis").to_pylist().count("person") == 1
    with pytest.raises(UsageError, match="计算引擎"):
        run(folder, tmp_path / "spark", task={"old_label": "old"})


@pytest.mark.slow
def test_damage_and_nothing_to_read_are_said(cluster, folder, tmp_path):
    with pytest.raises(UsageError, match="不存在"):
        spark.SparkSource(cluster, str(tmp_path / "missing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="没有 Parquet"):
        spark.SparkSource(cluster, str(tmp_path / "empty"))
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    path = next(iter(broken.rglob("*.parquet")))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="移走"):
        spark.SparkSource(cluster, str(broken))


@pytest.mark.slow
def test_a_frame_of_ones_own(cluster, bundle, dispatcher, rows):
    texts = [r["text"] for r in rows[:5]]
    frame = cluster.createDataFrame(
        [(t, "表", i) for i, t in enumerate(texts, 1)],
        f"text string, {spark.SOURCE} string, {spark.ROW} long",
    )
    task = Task(text="text", columns=("code",))
    with spark.shipped(cluster, bundle) as name:
        found = spark.answer(frame.repartition(1), task, name).orderBy("jiesu_row").collect()
    assert [r["jiesu_code"] for r in found] == [
        dispatcher.suggest(t).demands[0].categories[0].code for t in texts
    ]
