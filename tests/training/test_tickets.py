import json

import pytest
from openpyxl import Workbook

from jiesu_nlp.catalogue.model import RetiredLeaf
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.ticket import Ticket
from tests.training.conftest import write_jsonl
from training.labels import LabelBook, catalogue_of_labels
from training.taxonomies import labels_of_data
from training.tickets import LabelledTicket, Rejected, iso_time, read_tickets, read_unlabelled

LEAF = "09-02-003"


@pytest.fixture
def book(knowledge) -> LabelBook:
    return LabelBook(knowledge.catalogue)


def read(path, book, **options):
    return list(read_tickets([path], book, **options))


ROWS = [
    ["诉求内容", "编码", "受理时间", "权重"],
    ["门口烧烤摊，油烟大", LEAF, "2026/3/4 9:30", "2"],
    ["路上有小贩", LEAF, "2026-03-05", ""],
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_csv_in_any_usual_encoding(tmp_path, book, encoding):
    text = "\n".join(",".join(f'"{c}"' for c in row) for row in ROWS)
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    first, second = read(tmp_path / "a.csv", book)
    assert first.text == "门口烧烤摊，油烟大"
    assert first.code == second.code == LEAF
    assert (first.created_at, first.weight, second.weight) == ("2026-03-04T09:30:00", 2.0, 1.0)


def test_csv_with_line_breaks_in_a_cell(tmp_path, book):
    (tmp_path / "a.csv").write_text(f'text,code\n"第一行\n第二行",{LEAF}\n', encoding="utf-8")
    (ticket,) = read(tmp_path / "a.csv", book)
    assert ticket.text == "第一行\n第二行"


def test_every_format_gives_the_same_tickets(tmp_path, book):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = [dict(zip(("text", "code", "created_at"), r[:3], strict=True)) for r in ROWS[1:]]
    write_jsonl(tmp_path / "a.jsonl", rows)
    workbook = Workbook()
    workbook.active.append(list(rows[0]))
    for row in rows:
        workbook.active.append(list(row.values()))
    workbook.save(tmp_path / "b.xlsx")
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "c.parquet")
    dataset = tmp_path / "d"
    dataset.mkdir()
    (dataset / "state.json").write_text("{}")
    with pa.ipc.new_stream(dataset / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "e.tsv").write_text(
        "\n".join("\t".join(r.values()) for r in [dict(zip(rows[0], rows[0], strict=True)), *rows]),
        encoding="utf-8",
    )
    kinds = [tmp_path / n for n in ("a.jsonl", "b.xlsx", "c.parquet", "d", "e.tsv")]
    found = [[(t.text, t.code, t.created_at) for t in read(p, book)] for p in kinds]
    assert found[0][0] == ("门口烧烤摊，油烟大", LEAF, "2026-03-04T09:30:00")
    assert all(f == found[0] for f in found)


def test_a_folder_is_read_in_name_order(tmp_path, book):
    for name in ("b", "a"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": f"诉求{name}", "code": LEAF}])
    assert [t.text for t in read(tmp_path, book)] == ["诉求a", "诉求b"]


def test_labels_may_be_codes_paths_or_names(tmp_path, book):
    path = book.catalogue.path(LEAF)
    labels = [LEAF, " › ".join(path), "/".join(path), ">".join(path), path[2]]
    write_jsonl(tmp_path / "a.jsonl", [{"text": "占道", "path": label} for label in labels])
    assert {t.code for t in read(tmp_path / "a.jsonl", book)} == {LEAF}


def test_retired_codes_follow_their_successors(knowledge):
    from dataclasses import replace

    catalogue = replace(
        knowledge.catalogue,
        retired=(
            RetiredLeaf("90-01-001", "旧一", ("90-01-002",)),
            RetiredLeaf("90-01-002", "旧二", (LEAF,)),
            RetiredLeaf("90-01-003", "旧三", (LEAF, "09-02-001")),
        ),
    )
    book = LabelBook(catalogue)
    assert book.resolve("90-01-001").code == LEAF
    several = book.resolve("90-01-003")
    assert several.code is None
    assert "09-02-001" in several.detail
    assert sum(book.retired.values()) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "  ", "code": LEAF}, "诉求为空"),
        ({"text": None, "code": LEAF}, "诉求为空"),
        ({"text": "路灯", "code": "99-99-999"}, "编码不存在"),
        ({"text": "路灯", "code": "09"}, "只到大类或小类"),
        ({"text": "路灯", "code": ""}, "没有编码"),
        ({"text": "路灯", "code": LEAF, "weight": "-1"}, "权重有误"),
        ({"text": "路灯", "code": LEAF, "weight": "nan"}, "权重有误"),
        ({"text": "路灯", "code": LEAF, "created_at": "前天"}, "时间有误"),
        ({"text": "a\x00b", "code": LEAF}, "诉求不可用"),
    ],
)
def test_a_bad_row_says_why(tmp_path, book, row, reason):
    write_jsonl(tmp_path / "a.jsonl", [{"text": "好的一行", "code": LEAF}, row])
    good, bad = read(tmp_path / "a.jsonl", book)
    assert isinstance(good, LabelledTicket)
    assert isinstance(bad, Rejected)
    assert bad.reason == reason
    assert "第 2 行" in bad.where


def test_unreadable_lines_are_reported_not_dropped(tmp_path, book):
    good = json.dumps({"text": "路灯不亮", "code": LEAF}, ensure_ascii=False).encode()
    (tmp_path / "a.jsonl").write_bytes(good + b"\n{oops\n\xff\xfe\x81\n[1]\n" + good + b"\n")
    found = read(tmp_path / "a.jsonl", book)
    assert [type(f) for f in found] == [
        LabelledTicket,
        Rejected,
        Rejected,
        Rejected,
        LabelledTicket,
    ]


def test_a_quotation_mark_without_partner_is_reported(tmp_path, book):
    """It swallows all that follows, which must not go unnoticed."""
    path = tmp_path / "a.csv"
    lines = [f"路灯坏了{i}盏,{LEAF}" for i in range(1500)]
    path.write_text("\n".join(["text,code", f'"没有配对的引号,{LEAF}', *lines]), encoding="utf-8")
    (found,) = read(path, book)
    assert isinstance(found, Rejected)
    assert "第 2 行" in found.where
    assert "第 1502 行" in found.detail
    path.write_text(
        "\n".join(["text,code", f'"没有配对的引号,{LEAF}', *lines * 80]), encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"第 2 行.*引号是否成对"):
        read(path, book)


QUIET = [f"{i},诉求{i},{LEAF}" for i in range(2, 40)]


@pytest.mark.parametrize(
    ("rows", "last"),
    [
        # What was meant to begin a cell ends the one that swallowed it.
        ([f'1,"路灯坏了没人修,{LEAF}', *QUIET, f'40,"井盖丢了",{LEAF}'], 41),
        ([f'1,"路灯坏了没人修,{LEAF}', f'2,"井盖丢了",{LEAF}'], 3),
        # It goes on to the end of the file.
        ([f'1,"路灯坏了没人修,{LEAF}', *QUIET], 40),
        # The second mark happens to stand where it could end a cell.
        ([f'1,"路灯坏了没人修,{LEAF}', *QUIET, f'40,井盖丢了",{LEAF}'], 41),
    ],
)
def test_swallowed_rows_are_no_ticket(tmp_path, book, rows, last):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["id,text,code", *rows, ""]), encoding="utf-8")
    (found,) = read(path, book)
    assert isinstance(found, Rejected)
    assert (found.where, found.reason) == ("a.csv 第 2 行", "无法读取")
    assert f"直到第 {last} 行" in found.detail


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("text,code", [f'"路灯坏了没人修,{LEAF}', *[f"诉求,{LEAF}"] * 30, f'他说不管",{LEAF}']),
        ("text,code", [f'"路灯坏了没人修,{LEAF}', f'他说不管",{LEAF}']),
        ("code,text", [f'{LEAF},"路灯坏了没人修', f"{LEAF},诉求", f'{LEAF},他说不管"']),
        ("id,text,code", [f'1,"路灯坏了,{LEAF}', *QUIET[:2], f'4,他说不管",{LEAF}']),
        # A text with a comma, and a label that is wrong.
        (
            "id,text,code",
            [f'1,"路灯,{LEAF}', *QUIET[:4], f"6,没水,没电,{LEAF}", "7,诉求,无", f'8,好",{LEAF}'],
        ),
        ("text,code,unit", [f'"路灯,{LEAF},交通', f"没水,没电,{LEAF},", f'好",{LEAF},交通']),
        ("code,note,text", [f'{LEAF},"路灯,坏', "", f"{LEAF},诉求,甲", "", f'{LEAF},好",乙']),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_swallowed_rows_are_known_by_their_labels(tmp_path, book, header, rows, end):
    path = tmp_path / "a.csv"
    good = ",".join({"text": "好的", "code": LEAF}.get(name, "1") for name in header.split(","))
    path.write_bytes(end.join([header, good, *rows, good, ""]).encode())
    first, bad, last = read(path, book)
    assert first.text == last.text == "好的"
    assert isinstance(bad, Rejected)
    assert bad.where == "a.csv 第 3 行"
    assert f"直到第 {2 + len(rows)} 行" in bad.detail
    assert bad.row == {}


def test_a_retired_label_within_marks_is_not_counted(tmp_path, knowledge):
    from dataclasses import replace

    old = RetiredLeaf("90-01-001", "旧", (LEAF,))
    book = LabelBook(replace(knowledge.catalogue, retired=(old,)))
    path = tmp_path / "a.csv"
    path.write_text(f'text,code\n"路灯,{old.code}\n诉求,{old.code}\n好",{old.code}\n')
    (bad,) = read(path, book)
    assert isinstance(bad, Rejected)
    assert not book.retired


def test_swallowed_rows_without_labels_are_known_by_their_cells(tmp_path):
    path = tmp_path / "a.csv"
    rows = ["id,text,district", '1,"路灯坏了,甲', *["2,诉求,甲"] * 3, '5,他说不管",乙', "6,好,乙"]
    path.write_text("\n".join(rows))
    bad, good = read_unlabelled(path)
    assert isinstance(bad, Rejected)
    assert good == Ticket("好", id="6")


def test_rows_before_and_after_swallowed_ones_are_read(tmp_path, book):
    path = tmp_path / "a.csv"
    rows = [f"路灯不亮,{LEAF}", f'"没有配对,{LEAF}', f'"暖气",{LEAF}', f"井盖丢了,{LEAF}"]
    path.write_text("\n".join(["text,code", *rows]), encoding="utf-8")
    first, bad, last = read(path, book)
    assert (first.text, last.text) == ("路灯不亮", "井盖丢了")
    assert bad.where == "a.csv 第 3 行"


@pytest.mark.parametrize(
    "text",
    [
        "第一行\n第二行, 两处, 逗号\n第三行",
        '他说""坏了""\n\n""没人修""',
        "楼号,问题,户数\n",
        "一\n二\n三\n四,\n五,六,七",
        "通话\n座席,您好,请讲\n市民,路灯,坏了\n座席,在哪,哪条路\n谢谢",
        f"编号,内容,{LEAF}\n第二行\n第三行\n第四行",
    ],
)
def test_cells_of_several_lines_stay_tickets(tmp_path, book, text):
    path = tmp_path / "a.csv"
    path.write_text(f'id,text,code\n1,"{text}",{LEAF}\n2,路灯,{LEAF}', encoding="utf-8")
    first, second = read(path, book)
    assert first.text == text.replace('""', '"')
    assert second.text == "路灯"


def test_a_line_of_no_encoding_says_so(tmp_path, book):
    path = tmp_path / "a.csv"
    good = f"1,路灯,{LEAF}\n".encode()
    path.write_bytes(b"id,text,code\n" + good + b"2,\xff\xff\xff,x\n" + good)
    _, bad, _ = read(path, book)
    assert bad.where == "a.csv 第 3 行"
    assert "既不是 UTF-8 也不是 GB18030" in bad.detail
    path.write_bytes(b"\xff\xff\xff\n" + good)
    with pytest.raises(DataError, match=r"第 1 行：既不是 UTF-8.*转成 UTF-8"):
        read(path, book)


@pytest.mark.parametrize(
    "row",
    [
        f"张三丰,13912345678,我家住幸福小区3号楼502路灯不亮,{LEAF}",
        f"张三丰,路灯不亮，没人修,{LEAF}",
        f"张三丰,张三丰,我家住幸福小区3号楼502门口的路灯已经三天不亮了,{LEAF}",
        "我叫张三丰,我叫张三丰",
    ],
)
def test_a_ticket_is_not_shown_for_a_header(tmp_path, book, row):
    path = tmp_path / "a.csv"
    path.write_text(f"{row}\n{row}\n", encoding="utf-8")
    for columns in ({}, {"text": "没这列"}):
        with pytest.raises((DataError, UsageError)) as caught:
            read(path, book, columns=columns)
        assert not any(said in str(caught.value) for said in ("三丰", "139", "幸福小区", "路灯"))


def test_a_column_without_a_name_means_nothing(tmp_path, book):
    path = tmp_path / "a.csv"
    path.write_text(f",text,code\n0,路灯不亮,{LEAF}\n1,井盖丢了,{LEAF}\n", encoding="utf-8")
    first, second = read(path, book)
    assert (first.weight, first.created_at, first.id, first.units) == (1.0, None, None, ())
    assert second.weight == 1.0
    assert [t.id for t in read_unlabelled(path)] == [None, None]


@pytest.mark.parametrize("codes", [5, 5.0, True, None, "09-02-001；5", ["09-02-001", 5]])
def test_other_codes_of_any_kind(tmp_path, book, codes):
    row = {"text": "路灯", "code": LEAF, "codes_ok": codes, "unit": "交通", "unit_ok": codes}
    (ticket,) = read(write_jsonl(tmp_path / "a.jsonl", [row]), book)
    several = isinstance(codes, str | list)
    assert ticket.codes == ((LEAF, "09-02-001") if several else (LEAF,))


def test_a_header_that_cannot_be_read_is_told(tmp_path, book):
    path = tmp_path / "a.csv"
    path.write_text('"text,code\n' + f"路灯坏了,{LEAF}\n" * 8, encoding="utf-8")
    with pytest.raises(DataError, match=r"第 1 行：直到第 9 行.*引号是否成对"):
        read(path, book)
    path.write_text('"text,code\n' + f"路灯坏了,{LEAF}\n" * 80_000, encoding="utf-8")
    with pytest.raises(DataError, match=r"第 1 行.*引号是否成对"):
        read(path, book)
    path.write_text(f"text,text,code\n路灯,没人修,{LEAF}\n", encoding="utf-8")
    with pytest.raises(DataError, match="列名重复：text"):
        read(path, book)


def test_a_row_shorter_than_its_header(tmp_path, book):
    (tmp_path / "a.csv").write_text(f"text,code,unit\n路灯\n路灯不亮,{LEAF}\n", encoding="utf-8")
    short, good = read(tmp_path / "a.csv", book)
    assert isinstance(short, Rejected)
    assert short.reason == "没有编码"
    assert good.units == ()


def test_columns_can_be_named(tmp_path, book):
    (tmp_path / "a.csv").write_text(f"说了啥,算啥\n路灯不亮,{LEAF}\n", encoding="utf-8")
    with pytest.raises(DataError, match="--column text"):
        read(tmp_path / "a.csv", book)
    (ticket,) = read(tmp_path / "a.csv", book, columns={"text": "说了啥", "code": "算啥"})
    assert ticket.text == "路灯不亮"
    with pytest.raises(UsageError, match="没有列"):
        read(tmp_path / "a.csv", book, columns={"text": "没这列"})


@pytest.mark.parametrize(
    ("name", "content"), [("a.parquet", b"PAR1 no"), ("a.xlsx", b"PK no"), ("a.csv", b"")]
)
def test_damaged_files_are_named(tmp_path, book, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read(tmp_path / name, book)


def test_missing_and_foreign_files(tmp_path, book):
    with pytest.raises(UsageError, match="没有这个文件"):
        read(tmp_path / "none.csv", book)
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(UsageError, match="不认识的文件类型"):
        read(tmp_path / "a.pdf", book)


def test_a_huge_file_is_streamed(tmp_path, book):
    """The first ticket comes before the rest of the file has been read."""
    path = tmp_path / "a.jsonl"
    line = json.dumps({"text": "路灯不亮", "code": LEAF}, ensure_ascii=False) + "\n"
    path.write_text(line * 200_000, encoding="utf-8")
    stream = read_tickets([path], book)
    import tracemalloc

    tracemalloc.start()
    for _ in range(20_000):
        next(stream)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("written", "iso"),
    [
        ("2026-11-20T09:30:05", "2026-11-20T09:30:05"),
        ("2026年3月4日", "2026-03-04T00:00:00"),
        ("20260304", "2026-03-04T00:00:00"),
        ("46085.5", "2026-03-04T12:00:00"),
        ("2026/1/5 下午 3:20:00", "2026-01-05T15:20:00"),
        ("2026-01-05 3:20 PM", "2026-01-05T15:20:00"),
        ("2026/1/5 上午12:20", "2026-01-05T00:20:00"),
        ("2026/1/5 12:20:30 pm", "2026-01-05T12:20:30"),
        ("2026年1月5日 星期一 9时30分", "2026-01-05T09:30:00"),
        ("2026-01-05 9点", "2026-01-05T09:00:00"),
        ("2026-01-05T16:00:00.123Z", "2026-01-05T16:00:00"),
        ("2026-01-05 16:00:00.5 +08:00", "2026-01-05T16:00:00"),
        ("2026-01-05（补录）", "2026-01-05T00:00:00"),
        ("2026-1-5 9时30分 下午", "2026-01-05T21:30:00"),
        ("2026-1-5 下午3点20分15秒", "2026-01-05T15:20:15"),
        ("2026-1-5 9时30分15秒 PM", "2026-01-05T21:30:15"),
        ("2026-01-05 下午3点半", None),
        ("2026-01-05 下午3点一刻", None),
        ("2026-01-05 凌晨三点", None),
        ("2026-01-05 下午", None),
        ("2026-01-05 3:20 p.m.", None),
        ("2026-01-05 傍晚 6:10", None),
        ("2026-01-05 25:00", None),
        ("2026-13-01", None),
        ("不详", None),
    ],
)
def test_times_as_people_write_them(written, iso):
    assert iso_time(written) == iso


def test_a_catalogue_of_labels_keeps_levels():
    catalogue = catalogue_of_labels(
        ["甲 › 一 › x", "甲 › 一 › y", "甲 › 二 › x", "乙"], version="v"
    )
    assert len(catalogue) == 4
    assert len(catalogue.classes) == 2
    assert {catalogue.path(c) for c in catalogue.codes} >= {("甲", "一", "x"), ("乙", "乙", "乙")}
    book = LabelBook(catalogue)
    assert (
        len({book.resolve(name).code for name in ("甲 › 一 › x", "甲›一›y", "甲>二>x", "乙")}) == 4
    )


@pytest.mark.parametrize(
    "labels",
    [
        ("市容›其他", "市容›占道›其他"),
        ("其他", "市容›其他", "噪音"),
        ("其他", "市容›其他", "市容›占道›其他", "占道›其他"),
        ("其他", "市容›其他", *(f"类目{i}" for i in range(150))),
        # What looks like a code is a name here, and no other leaf's code.
        ("02-01-001", "1号线", "噪音"),
        ("/", "噪音"),
    ],
)
def test_labels_of_mixed_depth_each_find_their_own_leaf(labels):
    catalogue = catalogue_of_labels(labels, version="x")
    book = LabelBook(catalogue)
    for label in labels:
        leaf = catalogue.by_code[book.resolve(label).code]
        assert leaf.definition == f"工单中标为“{label}”的诉求"


def test_a_short_path_that_may_mean_several_leaves_is_refused():
    book = LabelBook(
        catalogue_of_labels(["市容›占道›其他", "市容›垃圾›其他", "住房›漏水"], version="x")
    )
    for label in ("其他", "市容›其他"):
        found = book.resolve(label)
        assert (found.code, found.reason) == (None, "名称不止一项")
        assert "市容 › 占道 › 其他、市容 › 垃圾 › 其他" in found.detail
    assert book.catalogue.path(book.resolve("占道›其他").code) == ("市容", "占道", "其他")
    assert book.catalogue.path(book.resolve("漏水").code) == ("住房", "住房", "漏水")


def test_one_path_written_in_two_ways_is_one_leaf():
    catalogue = catalogue_of_labels(["市容›其他", "市容 / 其他", "市容-市容", "住房"], version="x")
    assert len(catalogue) == 3
    book = LabelBook(catalogue)
    assert book.resolve("市容›其他").code == book.resolve("市容 / 其他").code


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": f"诉求{i}", "label": i % 3} for i in range(6)],
        # The objects of a JSONL file need not all have the same fields.
        [{"text": f"诉求{i}", ("code", "label", "标签")[i % 3]: f"{i % 3}"} for i in range(6)],
    ],
)
def test_labels_are_read_as_tickets_are(tmp_path, rows):
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    catalogue = labels_of_data([path])
    assert [leaf.name for leaf in catalogue.leaves] == ["0", "1", "2"]
    found = [catalogue.by_code[t.code].name for t in read(path, LabelBook(catalogue))]
    assert found == ["0", "1", "2"] * 2


def test_labels_of_rows_none_of_which_can_be_used(tmp_path):
    rows = [{"text": "路灯", "label": name, "时间": "前天"} for name in "甲乙"]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match="没有一行能用：时间有误 2 行"):
        labels_of_data([path])


def test_many_flat_labels_fit_into_codes():
    catalogue = catalogue_of_labels([f"类{i}" for i in range(2500)], version="v")
    assert len(set(catalogue.codes)) == 2500
    assert len(catalogue.classes) == 1


def test_one_label_is_no_catalogue():
    with pytest.raises(DataError, match="只有 1 个类目"):
        catalogue_of_labels(["甲", " 甲 "], version="v")


def test_unlabelled_tickets_of_every_format(tmp_path):
    (tmp_path / "a.txt").write_text("路灯不亮\n\n暖气不热\n", encoding="gb18030")
    (tmp_path / "a.csv").write_text(
        "工单号,诉求内容\n7,路灯不亮\n8,\n9,暖气不热\n", encoding="utf-8"
    )
    write_jsonl(tmp_path / "a.jsonl", [{"content": "路灯不亮"}, {"content": "暖气不热"}])
    for name, ids in (("a.txt", ["1", "3"]), ("a.csv", ["7", "9"]), ("a.jsonl", [None, None])):
        found = list(read_unlabelled(tmp_path / name))
        good = [t for t in found if isinstance(t, Ticket)]
        assert [t.text for t in good] == ["路灯不亮", "暖气不热"]
        assert [t.id for t in good] == ids
        assert len(found) - len(good) == (name == "a.csv")
    write_jsonl(tmp_path / "c.jsonl", [{"text": "路灯不亮"}, {"内容": "暖气不热", "编号": 5}])
    assert list(read_unlabelled(tmp_path / "c.jsonl")) == [
        Ticket("路灯不亮"),
        Ticket("暖气不热", id="5"),
    ]
    (tmp_path / "b.csv").write_text("甲,乙\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="没有诉求内容列"):
        list(read_unlabelled(tmp_path / "b.csv"))
    assert list(read_unlabelled(tmp_path / "b.csv", columns={"text": "乙"})) == [Ticket("2")]
