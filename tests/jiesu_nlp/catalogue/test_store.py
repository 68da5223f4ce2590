import dataclasses
import errno
from pathlib import Path

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
from jiesu_nlp.errors import DataError, UsageError

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


AWKWARD = (
    '2027"a',
    "a, b]",
    "}",
    "#1",
    "- x",
    "是: 否",
    "市容 #1",
    "no",
    "~",
    "*x",
    "&x",
    "反\\斜",
    "两\n行",
    "竖\x0b\x0c排",
    "隐\x00\x7f\x9f形",
    "行\x85\u2028\u2029尾",
    "头\ufeff\ufffe\uffff尾",
    "𠮷野家😀",
)


@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_survives_in_any_field(tmp_path, text):
    leaf = Leaf(
        code="01-01-001",
        name=text,
        definition=text,
        types=(text, "投诉"),
        unit=text,
        limit=text,
        neighbours=(Neighbour(text, "01-01-001"),),
        co_units=(text, text),
        basis=text,
        route=text,
        says=(text,),
    )
    name = text if "\\" not in text and text.isprintable() else "市政"
    before = Catalogue(
        version=text,
        title=text,
        classes=(LevelOneClass("01", name, 1, text, text),),
        groups=(Group("01-01", text),),
        leaves=(leaf,),
        retired=(RetiredLeaf("01-01-900", text, ("01-01-001",), text, text),),
    )
    write_catalogue(before, tmp_path)
    assert read_catalogue(tmp_path) == before


def renamed(name):
    return dataclasses.replace(small(), classes=(LevelOneClass("01", name, 2),))


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize(
    "name", ["市容/环卫", "../外面", "反\\斜", "两\n行", "零\x00", "", "长" * 61, " 市政"]
)
def test_a_class_name_that_is_no_file_name_is_refused_before_writing(tmp_path, name):
    write_catalogue(small(), tmp_path)
    before = contents(tmp_path)
    with pytest.raises(DataError, match=r"(?s)01.*处理办法"):
        write_catalogue(renamed(name), tmp_path)
    assert contents(tmp_path) == before


def test_a_renamed_class_leaves_no_old_file_and_foreign_files_stay(tmp_path):
    write_catalogue(small(), tmp_path)
    (tmp_path / "09-我的笔记.yaml").write_text("x")
    write_catalogue(renamed("市政设施"), tmp_path)
    assert set(contents(tmp_path)) == {
        "01-市政设施.yaml",
        "09-我的笔记.yaml",
        "catalogue.yaml",
        "retired.yaml",
    }
    assert read_catalogue(tmp_path) == renamed("市政设施")


def test_a_full_disk_leaves_the_old_catalogue_whole(tmp_path, monkeypatch):
    write_catalogue(small(), tmp_path)
    before = contents(tmp_path)
    write = Path.write_bytes

    def full(path, data):
        if path.name == "retired.yaml":
            write(path, data[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UsageError, match=r"No space left.*腾出"):
        write_catalogue(renamed("市政设施"), tmp_path)
    assert contents(tmp_path) == before


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
