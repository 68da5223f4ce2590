import dataclasses

import pytest

from jiesu_nlp.catalogue import Catalogue, Group, Leaf, LevelOneClass, Neighbour, RetiredLeaf
from jiesu_nlp.catalogue.checks import check_catalogue, near_duplicates

WORDS = "井盖丢失路灯不亮污水外溢树枝折断垃圾成堆噪声扰民停车占道供暖不热电梯困人电线垂落"


def says_of(number: int) -> tuple[str, ...]:
    """Distinct sentences of varied length that share no 3-gram worth mentioning."""
    return tuple(
        f"{chr(0x4E00 + number * 997 + i * 31)}"
        + "".join(
            chr(0x5000 + (number * 7919 + i * 613 + j * 89) % 9000) for j in range(9 + i * i // 4)
        )
        for i in range(24)
    )


def leaf(number: int, **changes) -> Leaf:
    values = {
        "code": f"01-01-{number:03d}",
        "name": f"细项{number}",
        "definition": "定义",
        "types": ("投诉",),
        "unit": "水务",
        "limit": "7d",
        "says": says_of(number),
    }
    return Leaf(**{**values, **changes})


def catalogue(*leaves: Leaf, budget: int | None = None, retired=()) -> Catalogue:
    return Catalogue(
        "1",
        "小目录",
        (LevelOneClass("01", "市政", len(leaves) if budget is None else budget),),
        (Group("01-01", "组"),),
        leaves,
        retired,
    )


def test_a_sound_catalogue_is_quiet():
    assert check_catalogue(catalogue(leaf(1), leaf(2))) == []


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"name": "细项1"}, "名称", "相同"),
        ({"neighbours": (Neighbour("别处", "01-01-002"),)}, "相邻项", "指向自己"),
        ({"neighbours": (Neighbour("别处", "07-01-001"),)}, "相邻项", "不存在"),
        ({"unit": "天庭"}, "单位", "天庭"),
        ({"co_units": ("水务",)}, "单位", "又写了主办"),
        ({"limit": "3d"}, "时限", "3d"),
        ({"types": ()}, "类型", "没有"),
        ({"types": ("表扬",)}, "类型", "表扬"),
        ({"says": says_of(2)[:23]}, "例句", "只有 23 句"),
        ({"says": (*says_of(2)[:23], "短")}, "例句", "1 字"),
        ({"says": (*says_of(2)[:23], "长" * 201)}, "例句", "201 字"),
        ({"says": tuple(f"细项2{s}" for s in says_of(2))}, "例句", "照抄名称"),
        ({"says": (*says_of(2)[:23], says_of(2)[0])}, "重复", "相同"),
        ({"says": (*says_of(2)[:23], says_of(1)[5])}, "重复", "01-01-001"),
    ],
)
def test_each_fault_is_found(changes, check, words):
    findings = check_catalogue(catalogue(leaf(1), leaf(2, **changes)))
    assert any(f.severity == "error" and f.check == check and words in f.message for f in findings)


def test_budget_retired_and_opening_faults():
    shared = tuple("来电人反映的" + s for s in says_of(2))
    broken = catalogue(
        leaf(1),
        leaf(2, says=shared),
        budget=3,
        retired=(
            RetiredLeaf("01-01-001", "旧", ("01-01-002",)),
            RetiredLeaf("01-01-009", "旧", ()),
        ),
    )
    found = {(f.check, f.code) for f in check_catalogue(broken)}
    assert {
        ("数量", "01"),
        ("退役编码", "01-01-001"),
        ("退役编码", "01-01-009"),
        ("开头", ""),
    } <= found


def test_near_duplicates_are_found_despite_punctuation_and_small_changes():
    texts = [
        "小区门口的井盖昨天晚上丢了，来往老人孩子很危险",
        "物业把电梯停了三天，八十岁的老人下不了楼",
        "小区门口的井盖昨天晚上丢了来往的老人孩子很危险！",
    ]
    assert [(a, b) for a, b, _ in near_duplicates(texts)] == [(0, 2)]


def test_uniform_length_is_a_warning():
    even = tuple(s[:12] for s in says_of(3))
    findings = check_catalogue(catalogue(leaf(3, says=tuple(dict.fromkeys(even)))))
    assert any(f.severity == "warning" and "长短太齐" in f.message for f in findings)


def test_the_project_catalogue_has_no_errors(knowledge):
    errors = [f for f in check_catalogue(knowledge.catalogue) if f.severity == "error"]
    assert errors == []


def test_the_project_catalogue_is_complete(knowledge):
    assert len(knowledge.catalogue) == 2240
    assert len(knowledge.catalogue.classes) == 24
    assert sum(len(x.says) for x in knowledge.catalogue.leaves) >= 54_000


def test_no_sentence_is_a_template(knowledge):
    """A class of sentences written by a script shows as shared long prefixes."""
    prefixes: dict[str, int] = {}
    for x in knowledge.catalogue.leaves:
        for say in x.says:
            prefixes[say[:10]] = prefixes.get(say[:10], 0) + 1
    worst = max(prefixes.items(), key=lambda p: p[1])
    assert worst[1] <= 25, worst


def test_replacing_leaves_sorts_them():
    c = catalogue(leaf(1), leaf(2))
    again = c.replace_leaves(reversed(c.leaves))
    assert again.codes == c.codes
    assert dataclasses.replace(again) == c
