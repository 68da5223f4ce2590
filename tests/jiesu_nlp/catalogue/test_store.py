import dataclasses

import pytest

from jiesu_nlp.catalogue import (
    Catalogue,
    Group,
    Leaf,
    LevelOneClass,
    Neighbour,
    RetiredLeaf,
    read_catalogue,
    write_catalogue,
)
from jiesu_nlp.catalogue.snapshot import catalogue_from_json, catalogue_to_json, says_to_json
from jiesu_nlp.errors import DataError

LEAF = Leaf(
    code="01-01-001",
    name="路灯不亮",
    definition="路灯: 坏了 #急",
    types=("投诉", "求助"),
    unit="城市管理",
    limit="24h",
    neighbours=(Neighbour("信号灯坏", "01-01-002"),),
    co_units=("街道乡镇",),
    basis="《条例》第十三条",
    route="小区内→街道乡镇",
    says=("“黑咕隆咚”的一条路", "yes", "12", "- 像列表", "路灯: 灭了", "带\\反斜杠", "尾巴 #"),
)


def small() -> Catalogue:
    other = dataclasses.replace(LEAF, code="01-01-002", name="信号灯坏", neighbours=(), says=())
    return Catalogue(
        "1",
        "小目录",
        (LevelOneClass("01", "市政", 2, "范围", "边界"),),
        (Group("01-01", "照明"),),
        (LEAF, other),
        (RetiredLeaf("01-01-900", "旧项", ("01-01-001", "01-01-002"), "2026-01-01", "拆分"),),
    )


def test_round_trip_keeps_every_field(tmp_path):
    write_catalogue(small(), tmp_path)
    assert read_catalogue(tmp_path) == small()


def test_snapshot_keeps_every_field():
    catalogue = small()
    assert catalogue_from_json(catalogue_to_json(catalogue), says_to_json(catalogue)) == catalogue


def test_writing_twice_gives_the_same_bytes(tmp_path):
    write_catalogue(small(), tmp_path / "a")
    write_catalogue(read_catalogue(tmp_path / "a"), tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_successors_follow_the_chain():
    catalogue = small()
    assert catalogue.successors("01-01-900") == ("01-01-001", "01-01-002")
    assert catalogue.successors("01-01-001") == ("01-01-001",)
    assert catalogue.successors("99-99-999") == ()


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ('code: "01-01-001"', 'code: "1-1-1"', "格式不对"),
        ("    unit: 城市管理\n", "", "缺少必填字段"),
        ("    limit: 24h\n", "    limit: 24h\n    limt: 24h\n", "不认识的字段“limt”"),
        ("信号灯坏 → 01-01-002", "信号灯坏", "情形 → 编码"),
        ("    types: [投诉, 求助]\n", "    types: 投诉\n", "应为列表"),
        ('code: "01-01-002"', 'code: "01-02-002"', "不属于小类"),
        ('code: "01-01-002"', 'code: "01-01-001"', "出现两次"),
        ("groups:", "groups: [", "YAML"),
    ],
)
def test_malformed_file_names_file_and_remedy(tmp_path, find, replace, message):
    write_catalogue(small(), tmp_path)
    path = tmp_path / "01-市政.yaml"
    text = path.read_text()
    assert find in text
    path.write_text(text.replace(find, replace, 1))
    with pytest.raises(DataError, match=message) as caught:
        read_catalogue(tmp_path)
    assert path.name in str(caught.value)


def test_foreign_encoding_names_the_line(tmp_path):
    write_catalogue(small(), tmp_path)
    path = tmp_path / "01-市政.yaml"
    path.write_bytes(path.read_bytes() + "尾巴".encode("gb18030"))
    with pytest.raises(DataError, match="UTF-8") as caught:
        read_catalogue(tmp_path)
    assert caught.value.line is not None
