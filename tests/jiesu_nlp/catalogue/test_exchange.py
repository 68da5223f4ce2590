import dataclasses
import json

import pytest
from openpyxl import load_workbook

from jiesu_nlp.catalogue import LevelOneClass
from jiesu_nlp.catalogue.checks import check_counts
from jiesu_nlp.catalogue.diff import diff
from jiesu_nlp.catalogue.exchange import export_catalogue, import_catalogue, read_mapping
from jiesu_nlp.catalogue.search import search
from jiesu_nlp.errors import DataError, UsageError
from tests.jiesu_nlp.catalogue.test_store import small


@pytest.mark.parametrize("name", ["目录.xlsx", "目录.jsonl"])
def test_round_trip_loses_nothing(tmp_path, name):
    before = small()
    export_catalogue(before, tmp_path / name)
    after, problems = import_catalogue(tmp_path / name, base=before, version=before.version)
    assert problems == []
    assert after == before


def test_the_whole_project_catalogue_survives_the_round_trip(tmp_path, knowledge):
    before = knowledge.catalogue
    export_catalogue(before, tmp_path / "c.jsonl")
    after, problems = import_catalogue(tmp_path / "c.jsonl", base=before, version=before.version)
    assert problems == []
    assert after == before


@pytest.mark.slow
def test_the_whole_project_catalogue_survives_the_spreadsheet(tmp_path, knowledge):
    before = knowledge.catalogue
    export_catalogue(before, tmp_path / "c.xlsx")
    after, problems = import_catalogue(tmp_path / "c.xlsx", base=before, version=before.version)
    assert problems == []
    assert after == before


def test_exported_text_is_never_a_formula(tmp_path):
    base = small()
    leaf = dataclasses.replace(base.leaves[0], definition='=cmd()|"x"')
    export_catalogue(base.replace_leaves([leaf, base.leaves[1]]), tmp_path / "c.xlsx")
    cell = load_workbook(tmp_path / "c.xlsx")["派单目录"]["E2"]
    assert cell.value.startswith("=")
    assert cell.data_type == "s"


def table(tmp_path, change):
    rows = [json.loads(s) for s in lines(tmp_path)]
    change(rows)
    path = tmp_path / "official.jsonl"
    path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    return path


def lines(tmp_path):
    export_catalogue(small(), tmp_path / "c.jsonl")
    return (tmp_path / "c.jsonl").read_text().splitlines()


@pytest.mark.parametrize(
    ("change", "row", "reason"),
    [
        (lambda r: r[0].update(unit="天庭"), 1, "天庭"),
        (lambda r: r[1].update(limit="三天"), 2, "三天"),
        (lambda r: r[1].update(code="1-2"), 2, "格式不对"),
        (lambda r: r[1].update(code=r[0]["code"]), 2, "重复"),
        (lambda r: r[0].update({"is": ""}), 1, "不能为空"),
        *(
            (lambda r, field=field, blank=blank: r[1].update({field: blank}), 2, "不能为空")
            for field, blank in [
                ("unit", " "),
                ("limit", "\u3000"),
                ("is", "\t"),
                ("code", " "),
                ("types", []),
                ("types", [" "]),
                ("types", "、"),
            ]
        ),
        (lambda r: r[1].update(path=["市政", "照明", " "]), 2, "不能为空"),
        (lambda r: r[1].update(path=["市政", " ", r[1]["path"][2]]), 2, "不能为空"),
        (lambda r: r[1].update(path=[" ", "照明", r[1]["path"][2]]), 2, "不能为空"),
        (lambda r: r[0].update({"not": ["没有箭头"]}), 1, "情形 → 编码"),
        (lambda r: r[0].update({"not": ["别处 → 09-09-009"]}), 1, "不存在"),
        (lambda r: r[1].update(path=["市政", "另名", r[1]["path"][2]]), 2, "两个名称"),
        (lambda r: r[1].update(path=["市政", "照明", r[0]["path"][2]]), 2, "相同"),
        (lambda r: r.pop(1), 1, "不见了"),
    ],
)
def test_every_problem_names_row_and_reason_and_nothing_is_taken(tmp_path, change, row, reason):
    base = dataclasses.replace(small(), retired=())
    catalogue, problems = import_catalogue(table(tmp_path, change), base=base, version="2")
    assert catalogue is None
    assert any(p.row == row and reason in str(p) for p in problems), problems


@pytest.mark.parametrize(
    ("change", "titles"),
    [
        (lambda r: r[1].update(limit=""), ["办理时限"]),
        (lambda r: r[0].update({"is": ""}), ["定义"]),
        (lambda r: [x.update(unit="天庭") for x in r], ["派单方向", "派单方向"]),
        (lambda r: r[0].update(path=[" ", "照明", r[0]["path"][2]]), ["一级类"]),
        (lambda r: r[1].update(code="1-2"), ["编码"]),
        (lambda r: r[1].update(code=" "), ["编码"]),
        # What is wrong besides is still told.
        (
            lambda r: r[1].update(limit="", path=["市政", "照明", r[0]["path"][2]]),
            ["办理时限", "细项名称"],
        ),
        (
            lambda r: r[1].update({"limit": "", "not": ["别处 → 09-09-009"]}),
            ["办理时限", "不属于（情形 → 编码）"],
        ),
    ],
)
def test_a_row_with_a_bad_cell_is_not_absent(tmp_path, change, titles):
    _, problems = import_catalogue(table(tmp_path, change), base=small(), version="2")
    assert [str(p).split("（", 1)[1].split("）：")[0] for p in problems] == titles


def test_a_line_that_is_no_json_is_not_absent(tmp_path):
    path = table(tmp_path, lambda r: None)
    path.write_text(path.read_text().replace('{"code": "01-01-002"', '{"code": "01-01-002'))
    _, problems = import_catalogue(path, base=small(), version="2")
    assert [(p.row, p.reason) for p in problems] == [(2, "不是有效的 JSON")]


def test_foreign_titles_need_a_mapping(tmp_path):
    (tmp_path / "m.yaml").write_text(
        "code: 事项编码\nclass: 大类\ngroup: 中类\nname: 事项\nis: 说明\ntypes: 类型\nunit: 单位\nlimit: 时限\n"
    )
    (tmp_path / "o.csv").write_bytes(
        "事项编码,大类,中类,事项,说明,类型,单位,时限\n"
        "01-01-001,市政,照明,路灯不亮,灯坏了,投诉、求助,城市管理,24h\n"
        "01-01-002,市政,照明,信号灯坏,灯坏了,投诉,公安交管,24h\n".encode("gb18030")
    )
    with pytest.raises(DataError, match="首行缺少列"):
        import_catalogue(tmp_path / "o.csv", base=small(), version="2")
    catalogue, problems = import_catalogue(
        tmp_path / "o.csv", base=small(), version="2", mapping=read_mapping(tmp_path / "m.yaml")
    )
    assert problems == []
    assert [x.unit for x in catalogue.leaves] == ["城市管理", "公安交管"]
    assert catalogue.version == "2"


def edited(tmp_path, *changes):
    """The path of our workbook after someone changed some cells: sheet, row, column, value."""
    export_catalogue(small(), tmp_path / "c.xlsx")
    book = load_workbook(tmp_path / "c.xlsx")
    for sheet, row, column, value in changes:
        book[sheet].cell(row, column).value = value
    book.save(tmp_path / "e.xlsx")
    return tmp_path / "e.xlsx"


NEW_LEAF = [
    ("派单目录", 4, column, value)
    for column, value in enumerate(
        ["01-02-001", "市政", "道路", "路坏了", "坑", None, "投诉", "交通", None, "7d"], start=1
    )
]
NEW_NAME = [("派单目录", 2, 2, "市政设施"), ("派单目录", 3, 2, "市政设施")]


def test_budgets_are_counted_from_the_rows(tmp_path):
    new, problems = import_catalogue(edited(tmp_path, *NEW_LEAF), base=small(), version="2")
    assert problems == []
    assert [c.budget for c in new.classes] == [3]
    assert list(check_counts(new)) == []


def test_scope_and_boundary_come_from_the_sheet_of_classes(tmp_path):
    changes = [("一级类", 2, 4, " 新范围 "), ("一级类", 2, 5, None)]
    new, problems = import_catalogue(edited(tmp_path, *changes), base=small(), version="2")
    assert problems == []
    assert new.classes == (LevelOneClass("01", "市政", 2, "新范围", ""),)


def test_a_class_renamed_in_both_sheets_is_renamed(tmp_path):
    path = edited(tmp_path, *NEW_NAME, ("一级类", 2, 2, "市政设施"))
    new, problems = import_catalogue(path, base=small(), version="2")
    assert problems == []
    assert [c.name for c in new.classes] == ["市政设施"]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        (NEW_NAME, "一级类 第 2 行（名称）"),
        ([("一级类", 2, 2, "市政设施")], "一级类 第 2 行（名称）"),
        ([("一级类", 2, 1, 1)], "一级类 第 2 行（编码）"),
        ([("一级类", 3, 1, "02"), ("一级类", 3, 2, "住房")], "一级类 第 3 行（编码）"),
        ([("一级类", 3, 1, "01"), ("一级类", 3, 2, "市政")], "一级类 第 3 行（编码）"),
        ([("退役编码", 2, 1, "旧-1")], "退役编码 第 2 行（编码）"),
    ],
)
def test_sheets_that_do_not_agree_are_a_problem_with_its_cell(tmp_path, changes, where):
    new, problems = import_catalogue(edited(tmp_path, *changes), base=small(), version="2")
    assert new is None
    assert [str(p).split("：")[0] for p in problems] == [where]


def test_a_row_of_spaces_is_no_row(tmp_path):
    changes = [("派单目录", 4, 1, " "), ("派单目录", 4, 4, "\u3000"), ("退役编码", 3, 1, " ")]
    new, problems = import_catalogue(edited(tmp_path, *changes), base=small(), version="1")
    assert problems == []
    assert new == small()


OFFICIAL = """编码,一级类,二级类,细项名称,定义,诉求类型,派单方向,办理时限
01-01-001,市政,照明,路灯不亮,"灯
坏了",投诉,城市管理,24h
01-01-002,市政,照明,信号灯坏,灯坏了,投诉,公安交管,24h
"""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_with_any_line_end(tmp_path, end):
    (tmp_path / "o.csv").write_bytes(OFFICIAL.replace("\n", end).encode())
    new, problems = import_catalogue(tmp_path / "o.csv", base=small(), version="2")
    assert problems == []
    assert [leaf.name for leaf in new.leaves] == ["路灯不亮", "信号灯坏"]
    assert "".join(new.leaves[0].definition.split()) == "灯坏了"


def test_csv_with_an_endless_cell_names_the_line(tmp_path):
    text = OFFICIAL.replace("信号灯坏,", '"' + "坏" * 200_000 + ",")
    (tmp_path / "o.csv").write_text(text)
    with pytest.raises(DataError, match=r"CSV.*处理办法") as caught:
        import_catalogue(tmp_path / "o.csv", base=small(), version="2")
    assert caught.value.line == 4


@pytest.mark.parametrize("line", ['{"is": "\\ud83d"}', "[" * 100_000])
def test_broken_json_is_a_problem_of_its_line(tmp_path, line):
    (tmp_path / "c.jsonl").write_text(line)
    base = dataclasses.replace(small(), leaves=(), retired=())
    _, problems = import_catalogue(tmp_path / "c.jsonl", base=base, version="2")
    assert [(p.row, p.reason) for p in problems] == [(1, "不是有效的 JSON")]


def test_incomplete_mapping_and_foreign_file_are_refused(tmp_path):
    (tmp_path / "m.yaml").write_text("code: 事项编码\n")
    with pytest.raises(DataError, match="缺少字段"):
        read_mapping(tmp_path / "m.yaml")
    (tmp_path / "x.xlsx").write_bytes(b"not a workbook")
    with pytest.raises(DataError, match="XLSX"):
        import_catalogue(tmp_path / "x.xlsx", base=small(), version="2")
    with pytest.raises(UsageError, match="扩展名"):
        export_catalogue(small(), tmp_path / "x.doc")


def test_diff_tells_each_kind_of_change():
    old = small()
    a, b = old.leaves
    new = dataclasses.replace(
        old,
        leaves=(
            dataclasses.replace(a, name="路灯不亮了", unit="供电企业", limit="7d", says=a.says[1:]),
            dataclasses.replace(b, code="01-01-003"),
            dataclasses.replace(b, code="01-01-004", name="新项"),
        ),
        retired=(
            *old.retired,
            dataclasses.replace(old.retired[0], code="01-01-002", successors=("01-01-003",)),
        ),
    )
    kinds = {(c.kind, c.code) for c in diff(old, new)}
    assert kinds == {
        ("renamed", "01-01-001"),
        ("direction", "01-01-001"),
        ("deadline", "01-01-001"),
        ("says", "01-01-001"),
        ("moved", "01-01-002"),
        ("added", "01-01-004"),
    }
    assert diff(old, old) == []


def test_search_by_code_name_initials_and_meaning(knowledge):
    catalogue = knowledge.catalogue
    assert search(catalogue, "09-01-001")[0].code == "09-01-001"
    assert any("占道" in leaf.name for leaf in search(catalogue, "占道"))
    name = catalogue.by_code["09-01-001"].name
    assert any(leaf.name == name for leaf in search(catalogue, "ldsf"))
    assert search(catalogue, "") == []
