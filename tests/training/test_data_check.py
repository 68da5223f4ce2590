import json
from dataclasses import replace

import pytest

from jiesu_nlp.catalogue.model import RetiredLeaf
from tests.training.conftest import write_jsonl
from training.data_check import check_data, encoding_of
from training.labels import LabelBook

LEAF, OTHER = "09-02-003", "09-02-001"


@pytest.fixture
def book(knowledge):
    return LabelBook(knowledge.catalogue)


LONG = "小区门口每天晚上都有人摆烧烤摊，油烟很大，居民睡不好觉，打过好几次电话没人管"


def test_every_problem_is_counted_with_a_sample(tmp_path, book):
    say = book.catalogue.by_code[LEAF].says[0]
    rows = [
        {"text": LONG, "code": LEAF},
        {"text": LONG, "code": LEAF},
        {"text": LONG, "code": OTHER},
        {"text": LONG + "，请尽快", "code": OTHER},
        {"text": "我叫李晓明，电话13912345678，路灯不亮", "code": "08-01-001"},
        {"text": say, "code": LEAF},
        {"text": "灯灭", "code": LEAF},
        {"text": "路灯不亮", "code": "77-77-777"},
        {"text": "", "code": LEAF},
    ]
    rejected = tmp_path / "不能用.jsonl"
    found = check_data([write_jsonl(tmp_path / "a.jsonl", rows)], book, rejected_to=rejected)
    assert (found.rows, found.usable) == (9, 7)
    assert {k: p.count for k, p in found.rejected.items()} == {"编码不存在": 1, "诉求为空": 1}
    counts = {k: p.count for k, p in found.doubts.items()}
    assert counts["诉求完全相同"] == 2
    assert counts["诉求相同而编码不同"] == 1
    assert counts["诉求近似"] == 1
    assert counts["与目录例句相同（泄漏）"] == 1
    assert counts["不足 6 字"] == 1
    assert counts["含个人信息"] == 1
    assert found.personal["手机号"] == found.personal["姓名"] == 1
    assert all(p.examples for p in (*found.doubts.values(), *found.rejected.values()))
    assert "13912345678" not in json.dumps(found.to_json(), ensure_ascii=False, default=str)
    assert len(rejected.read_text(encoding="utf-8").splitlines()) == 2
    assert found.leaves_with_tickets == 3


def test_leakage_against_other_data(tmp_path, book):
    a = write_jsonl(
        tmp_path / "a.jsonl",
        [{"text": LONG, "code": LEAF}, {"text": "另一件事情说一下", "code": LEAF}],
    )
    b = write_jsonl(tmp_path / "b.jsonl", [{"text": LONG + "。", "code": LEAF}])
    found = check_data([a], book, against=[b])
    assert found.doubts["与对照数据重复（泄漏）"].count == 1


def test_retired_codes_of_other_data_are_not_counted(tmp_path, knowledge):
    catalogue = replace(knowledge.catalogue, retired=(RetiredLeaf("90-01-001", "旧", (LEAF,)),))
    rows = [{"text": LONG, "code": LEAF}, {"text": "路灯不亮没人修", "code": "90-01-001"}]
    a = write_jsonl(tmp_path / "a.jsonl", rows)
    b = write_jsonl(tmp_path / "b.jsonl", [{"text": "井盖丢了", "code": "90-01-001"}] * 7)
    found = check_data([a], LabelBook(catalogue), against=[b])
    assert found.retired == {f"90-01-001 → {LEAF}": 1}


def test_unusable_rows_are_written_without_personal_data(tmp_path, book):
    rows = [
        {"text": "路灯不亮", "code": "没有", "来电号码": 13912345678, "来电人": "张三丰"},
        {"text": ["我叫李晓明", {"电话": 13912345678}], "code": LEAF, "also": "13912345678"},
        {"text": 13912345678, "code": LEAF, "对话": ["我叫李晓明，电话13912345678"]},
        {"text": "路灯不亮", "code": "没有", "weight": 1, "district": None},
    ]
    rejected = tmp_path / "不能用.jsonl"
    check_data([write_jsonl(tmp_path / "a.jsonl", rows)], book, rejected_to=rejected)
    written = rejected.read_text(encoding="utf-8")
    assert not any(said in written for said in ("1391234", "张三丰", "晓明"))
    first, *_, last = map(json.loads, written.splitlines())
    assert first["row"] == {"text": "路灯不亮", "code": "没有"}
    assert last["row"] == {"text": "路灯不亮", "code": "没有", "weight": 1, "district": None}
    assert first["reason"] == "编码不存在"


def test_a_column_named_by_the_user_is_written_too(tmp_path, book):
    rejected = tmp_path / "不能用.jsonl"
    path = write_jsonl(tmp_path / "a.jsonl", [{"说了啥": "电话13912345678", "编码": "没有"}])
    check_data([path], book, columns={"text": "说了啥"}, rejected_to=rejected)
    row = json.loads(rejected.read_text(encoding="utf-8"))["row"]
    assert row == {"说了啥": "电话" + "*" * 11, "编码": "没有"}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("路灯".encode(), "UTF-8"),
        ("路灯".encode("utf-8-sig"), "UTF-8（带标记）"),
        ("路灯".encode("gb18030"), "GB18030"),
        ("路灯".encode("utf-16"), "UTF-16"),
        (b"\xff\x81\x00\xff", "混杂或无法识别"),
    ],
)
def test_the_encoding_is_named(tmp_path, data, name):
    (tmp_path / "a.csv").write_bytes(data)
    assert encoding_of(tmp_path / "a.csv") == name
