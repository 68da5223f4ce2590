"""Every kind of input gives the same answers; what cannot be read is said."""

import csv
import json

import openpyxl
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from jiesu_nlp.batch.source import detect_text_column, open_source  # noqa: E402
from jiesu_nlp.errors import DataError, UsageError  # noqa: E402


def everything(spec, **options):
    source = open_source(str(spec), **options)
    rows, bad = [], []
    for piece in range(len(source.pieces)):
        for chunk in source.read(piece, 7):
            rows += chunk.batch.to_pylist()
            bad += chunk.bad
    return source, rows, bad


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_csv_in_any_usual_encoding_keeps_text_as_it_is(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_text('编号,诉求内容\n007,"小区停水，\n两天了"\n008,路灯不亮\n', encoding=encoding)
    source, rows, bad = everything(path)
    assert rows == [
        {"编号": "007", "诉求内容": "小区停水，\n两天了"},
        {"编号": "008", "诉求内容": "路灯不亮"},
    ]
    assert not bad
    assert detect_text_column(source) == "诉求内容"


def test_csv_rows_of_another_width_go_aside(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n1,a\n2\n3,b,c\n4,\xff\xff\xff\n5,d\n")
    _, rows, bad = everything(path)
    assert [r["id"] for r in rows] == ["1", "5"]
    assert [b.row for b in bad] == [3, 4, 5]
    assert "列" in bad[0].reason
    assert "编码" in bad[2].reason


def test_jsonl_types_and_misfits(tmp_path):
    path = tmp_path / "a.jsonl"
    good = [{"id": i, "text": f"停水{i}", "nested": {"a": [1]}} for i in range(2100)]
    odd = ["{", '{"id": "x", "text": "t"}', '{"id": 1, "text": "t", "more": 2}', "[1]",
           '{"id": 2, "text": "\\ud800"}', '{"text": "缺编号"}']  # fmt: skip
    lines = [json.dumps(r, ensure_ascii=False) for r in good] + odd
    path.write_text("\n".join(lines), encoding="utf-8")
    source, rows, bad = everything(path)
    assert source.schema.field("id").type == pa.int64()
    assert len(rows) == 2101
    assert rows[-1] == {"id": None, "text": "缺编号", "nested": None}
    assert rows[0]["nested"] == '{"a": [1]}'
    assert [b.row for b in bad] == [2101, 2102, 2103, 2104, 2105]


def test_xlsx_and_sql_and_parquet_agree_with_csv(tmp_path, rows):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    few = rows[:20]
    names = list(few[0])
    with (tmp_path / "a.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(few)
    book = openpyxl.Workbook()
    book.active.append(names)
    for row in few:
        book.active.append(list(row.values()))
    book.save(tmp_path / "a.xlsx")
    pq.write_table(pa.Table.from_pylist(few), tmp_path / "a.parquet")
    url = f"sqlite:///{tmp_path / 'a.db'}"
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text('CREATE TABLE t (n INT, text TEXT, old TEXT, "编号" TEXT)')
        )
        insert = sqlalchemy.text("INSERT INTO t VALUES (:n, :text, :old, :no)")
        connection.execute(insert, [{**r, "no": r["编号"]} for r in few])
    assert everything(tmp_path / "a.xlsx")[1] == few
    assert everything(tmp_path / "a.parquet")[1] == few
    assert everything(url, query="SELECT * FROM t ORDER BY n")[1] == few
    assert everything(tmp_path / "a.csv")[1] == [{**r, "n": str(r["n"])} for r in few]
    with pytest.raises(UsageError, match="数据库"):
        everything(url, query="SELECT * FROM missing")


def test_partitioned_folder_and_promoted_types(tmp_path):
    for year, kind in (("2024", pa.int32()), ("2025", pa.int64())):
        (tmp_path / f"year={year}").mkdir()
        table = pa.table({"id": pa.array([1, 2], kind), "text": ["停水", "停电"]})
        pq.write_table(table, tmp_path / f"year={year}" / "a.parquet")
    source, rows, _ = everything(tmp_path)
    assert source.schema.field("id").type == pa.int64()
    assert [r["year"] for r in rows] == ["2024", "2024", "2025", "2025"]


def test_schemas_that_cannot_be_reconciled_name_file_and_column(tmp_path):
    pq.write_table(pa.table({"text": ["停水"], "x": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["停水"], "x": ["1"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet.*字段 x.*string.*int64"):
        open_source(str(tmp_path))


def test_text_column_is_found_by_content_or_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": ["编号"], "zz": ["我家小区停水两天了没人管，请尽快处理"]}), path)
    assert detect_text_column(open_source(str(path))) == "zz"
    pq.write_table(pa.table({"a": ["短"], "b": [1]}), path)
    with pytest.raises(UsageError, match="--text-column"):
        detect_text_column(open_source(str(path)))


def test_nothing_to_read(tmp_path):
    with pytest.raises(UsageError, match="不存在"):
        open_source(str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="没有可读"):
        open_source(str(tmp_path))
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(UsageError, match="不认识"):
        open_source(str(tmp_path / "a.doc"))
