from dataclasses import replace

import pytest

from jiesu_nlp.catalogue import Catalogue, Group, Leaf, LevelOneClass, Neighbour
from jiesu_nlp.errors import DataError
from training.confusability import confusability, to_markdown
from training.cross_validation import held_out_fold
from training.labels import catalogue_of_labels
from training.low_rank import Recipe

TOPICS = {
    "井盖": "井盖丢了 井盖松动 井盖塌陷 马路井盖响 井盖翘起 井盖破了 检修井盖没了 井盖下沉",
    "路灯": "路灯不亮 路灯坏了 灯杆歪倒 路灯忽闪 整条街路灯灭 路灯白天亮 灯罩掉了 路灯昏暗",
    "路灯二": "路灯不亮 路灯坏了 灯杆歪倒 路灯忽闪 整条街路灯灭 路灯白天亮 灯罩掉了 路灯昏暗",
}


def test_twins_are_reported_and_strangers_are_not():
    leaves = []
    for i, (name, says) in enumerate(TOPICS.items(), start=1):
        lines = tuple(f"{say}{tail}" for say in says.split() for tail in ("没人修", "好几天了"))
        # Twins are told apart by nothing: the second has the lines in another order.
        leaves.append(
            Leaf(
                code=f"01-01-{i:03d}",
                name=name,
                definition=name,
                types=("投诉",),
                unit="水务" if i < 3 else "交通",
                limit="7d",
                neighbours=(Neighbour("另一种", "01-01-003"),) if i == 2 else (),
                says=lines if i < 3 else tuple(reversed(lines)),
            )
        )
    catalogue = Catalogue(
        "1", "小", (LevelOneClass("01", "市政", 3),), (Group("01-01", "组"),), tuple(leaves)
    )
    report = confusability(catalogue, recipe=Recipe(rank=3, runs=1, epochs=1))
    pairs = {(p.first, p.second): p for p in report.pairs}
    assert ("01-01-002", "01-01-003") in pairs
    assert all("01-01-001" not in pair for pair in pairs)
    twin = pairs["01-01-002", "01-01-003"]
    assert not twin.harmless
    assert twin.separated
    assert "路灯二" in to_markdown(report, catalogue)


def test_a_catalogue_without_says_is_told():
    catalogue = catalogue_of_labels(["甲", "乙"], version="v")
    with pytest.raises(DataError, match="没有一条例句"):
        confusability(catalogue, recipe=Recipe(rank=2, runs=1, epochs=1))


def test_a_fold_may_hold_no_says():
    catalogue = catalogue_of_labels(["甲", "乙"], version="v")
    first, second = catalogue.leaves
    catalogue = replace(catalogue, leaves=(replace(first, says=("路灯不亮",)), second))
    held_out = held_out_fold(catalogue, 1)
    assert held_out.texts == []
    assert held_out.probabilities.shape == (0, 2)
