"""Every kind of input gives the same answers; what cannot be read is said."""

import csv
import datetime as dt
import json
import zipfile

import openpyxl
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from jiesu_nlp.batch.source import UnreadableError, detect_text_column, open_source  # noqa: E402
from jiesu_nlp.cli.relabel import _shown  # noqa: E402
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


def test_csv_quotes_that_do_not_pair_cost_one_line_each_and_change_none(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        'text,label\n"甲小区"停水,A\n乙小区停电,B\n"丙小区漏水,C\n丁小区噪音,D\n'
        '"戊"小区停气,E\n己,F\n"庚,G\n辛,H\n',
        encoding="utf-8",
    )
    _, rows, bad = everything(path)
    assert [tuple(r.values()) for r in rows] == [
        ("乙小区停电", "B"), ("丁小区噪音", "D"), ("己", "F"), ("辛", "H"),
    ]  # fmt: skip
    assert [b.row for b in bad] == [2, 4, 6, 8]
    assert all("引号" in b.reason for b in bad)


def test_csv_rows_that_run_together_go_aside_with_their_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        'id,text,label\n1,"丙小区漏水,C\n2,丁小区噪音,D\n3,戊小区停气",E\n'
        '4,"小区停水,\n两天了,\n没人管",F\n5,"停电,""三天""\n",G\n',
        encoding="utf-8",
    )
    _, rows, bad = everything(path)
    assert [r["text"] for r in rows] == ["小区停水,\n两天了,\n没人管", '停电,"三天"\n']
    assert [b.row for b in bad] == [4]
    assert "第 2–4 行" in bad[0].reason


@pytest.mark.parametrize(
    ("row", "glued"),
    [
        ('1,"丙小区漏水,C\n2,戊小区停气",E', True),
        ('1,"丙小区漏水,C\r\n2,""戊""停气",E', True),
        ('"丙小区漏水,乙,C\n丁小区停气",戊,E', True),
        ('1,丙,"C\n2,丁小区,D"', True),
        ('1,丙小区漏水,"C\n2,丁小区噪音,D\n3,戊小区停气,E"', True),
        ('"漏水,丙,望京\n停气,丁,方庄\n噪音",戊,上地', True),
        # A cell of several lines, whatever commas it has.
        ('"停水了,请处理\n门牌3号,谢谢\n联系我,急",A,B', False),
        ('7,"1,停水\n2,停电",望京', False),
        ('7,"一,停水\n二,停电",A', False),
        ('7,"小区停水,\n两天了,没人管",', False),
        ('"停水,两天,\n没人管,,\n请处理",,A', False),
        ('1,"停水\n两天,\n没人管","停气\n一天"', False),
        # Nothing shows which of the two it is.
        ('"停水,两天,急\n联系我",望京,方庄', False),
    ],
)
def test_a_cell_of_lines_is_told_from_rows_that_run_together(tmp_path, row, glued):
    path = tmp_path / "a.csv"
    path.write_text(f"a,b,c\n{row}\n9,停电,D\n", encoding="utf-8", newline="")
    _, rows, bad = everything(path)
    assert len(rows) == 2 - glued
    assert len(bad) == glued
    assert all("没有配对（第 2–" in b.reason for b in bad)


def test_a_cell_of_two_columns_with_a_comma_in_each_line_is_one(tmp_path):
    path = tmp_path / "a.csv"
    cell = "停水了,请处理\n门牌3号,谢谢\n联系我,急"
    path.write_text(f'text,label\n"{cell}",A\n', encoding="utf-8")
    _, rows, bad = everything(path)
    assert rows == [{"text": cell, "label": "A"}]
    assert not bad


def test_a_csv_header_that_cannot_be_read_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,"text\n1,停水\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.csv 第 1 行.*引号"):
        open_source(str(path))


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


def test_long_numbers_are_text_and_others_stay_what_they_are(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": 20240101123456789012, "n": 1, "x": 1, "y": 0.5}\n'
        '{"id": 7, "n": 2, "x": 2.5, "y": 9007199254740993}\n'
        '{"id": null, "n": 3, "x": NaN, "y": null}\n',
        encoding="utf-8",
    )
    source, rows, bad = everything(path)
    assert not bad
    assert [r["id"] for r in rows] == ["20240101123456789012", "7", None]
    kinds = [source.schema.field(n).type for n in ("n", "x", "y")]
    assert kinds == [pa.int64(), pa.float64(), pa.string()]
    assert rows[1]["y"] == "9007199254740993"


def test_a_number_too_large_for_its_column_is_a_bad_row(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = ['{"text": "停水", "x": 1.5}'] * 2000 + ['{"text": "停电", "x": %s}' % ("9" * 400)]
    path.write_text("\n".join([*lines, lines[0]]), encoding="utf-8")
    _, rows, bad = everything(path)
    assert len(rows) == 2001
    assert [b.row for b in bad] == [2001]


def test_xlsx_times_stay_plain_and_cells_beyond_the_header_are_told(tmp_path):
    book = openpyxl.Workbook()
    for row in (
        ("text", "时刻", "用时"),
        ("停水", dt.time(8, 30), dt.timedelta(hours=30)),
        ("停电", None, None, None, "没有列名"),
        ("路灯不亮", None, None, " "),
    ):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    _, rows, bad = everything(tmp_path / "a.xlsx")
    assert [r["text"] for r in rows] == ["停水", "路灯不亮"]
    assert (rows[0]["时刻"], rows[0]["用时"]) == ("08:30:00", "1 day, 6:00:00")
    assert [(b.row, "1 格" in b.reason) for b in bad] == [(3, True)]


def rewritten(path, change):
    """Change the sheet in a workbook."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    parts["xl/worksheets/sheet1.xml"] = change(parts["xl/worksheets/sheet1.xml"])
    with zipfile.ZipFile(path, "w") as book:
        for name, data in parts.items():
            book.writestr(name, data)


def test_an_xlsx_that_understates_its_size_is_read_whole(tmp_path):
    book = openpyxl.Workbook()
    for row in (("id", "text"), (1, "停水"), (2, "停电")):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    rewritten(tmp_path / "a.xlsx", lambda x: x.replace(b'ref="A1:B3"', b'ref="A1:A1"'))
    assert everything(tmp_path / "a.xlsx")[1] == [
        {"id": 1, "text": "停水"},
        {"id": 2, "text": "停电"},
    ]


def test_a_damaged_or_empty_piece_does_not_stop_the_others(tmp_path):
    for name in ("a", "b", "c"):
        book = openpyxl.Workbook()
        book.active.append(["text"])
        for i in range(20):
            book.active.append([f"停水{i}"])
        book.save(tmp_path / f"{name}.xlsx")
    rewritten(tmp_path / "a.xlsx", lambda x: x[: len(x) // 20])
    rewritten(tmp_path / "b.xlsx", lambda x: x[: len(x) // 2])
    source = open_source(str(tmp_path))
    for piece, told in ((0, "^不是有效的 XLSX"), (1, "第 8 行之后读不出来：工作表损坏")):
        with pytest.raises(UnreadableError, match=told):
            list(source.read(piece, 7))
    assert sum(c.batch.num_rows for c in source.read(2, 7)) == 20
    with pytest.raises(DataError, match=r"a\.xlsx：不是有效"):
        open_source(str(tmp_path / "a.xlsx"))

    folder = tmp_path / "jsonl"
    folder.mkdir()
    (folder / "1.jsonl").write_text("")
    with pytest.raises(UsageError, match="没有能读的数据行"):
        open_source(str(folder))
    (folder / "2.jsonl").write_text('{"text": "停水"}\n', encoding="utf-8")
    assert everything(folder)[1] == [{"text": "停水"}]


def test_a_query_with_two_columns_of_one_name_and_an_address_without_sense(tmp_path):
    pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with pytest.raises(UsageError, match=r"重名的列：id；.*AS"):
        open_source(url, query="SELECT 1 AS id, '停水' AS text, 2 AS id")
    with pytest.raises(UsageError, match="端口") as told:
        open_source("postgresql://u:geheim@host:port/db", query="SELECT 1")
    assert "geheim" not in str(told.value)


def test_partition_folders_are_read_as_they_are_written(tmp_path):
    for name in ("%E6%9C%9D%E9%98%B3%E5%8C%BA", "海淀区", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / f"区={name}").mkdir()
        pq.write_table(pa.table({"text": ["停水"]}), tmp_path / f"区={name}" / "a.parquet")
    assert {r["区"] for r in everything(tmp_path)[1]} == {"朝阳区", "海淀区", None}


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


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:///工单.db", "sqlite:///工单.db"),
        ("postgresql://u:s3cret@h:5432/db", "postgresql://h:5432/db"),
        ("postgresql://u:s3@cret@h/db", "postgresql://h/db"),
        ("postgresql://h/db?user=u&password=s3cret", "postgresql://h/db?***"),
        ("mssql+pyodbc://?odbc_connect=UID%3Du;PWD%3Ds3cret", "mssql+pyodbc://?***"),
        ("x://h/db?s3cret", "x://h/db?***"),
        # Where an unescaped sign hides what is password and what host, nothing is shown.
        ("postgresql://h/db?password=s3@cret", "postgresql://***?***"),
        ("postgresql://u:s3?cret@h/db", "postgresql://***?***"),
        ("hdfs://nn:8020/历史", "hdfs://nn:8020/历史"),
        # A file has no user: its @ is a letter of the path.
        ("sqlite:////data/a@b/工单.db", "sqlite:////data/a@b/工单.db"),
        ("sqlite:///a@b.db?mode=ro&x=c@d", "sqlite:///a@b.db?***"),
        ("file:///data/a@b.parquet", "file:///data/a@b.parquet"),
        ("sqlite+pysqlcipher://:geheim@/a.db", "sqlite+pysqlcipher:///a.db"),
        ("postgresql:///u:geheim@h/db", "postgresql://h/db"),
    ],
)
def test_an_address_is_shown_without_secrets(address, shown):
    assert _shown(address) == shown


def test_a_path_is_shown_whole(tmp_path):
    assert _shown(str(tmp_path / "a?b@c.csv")) == str(tmp_path / "a?b@c.csv")
