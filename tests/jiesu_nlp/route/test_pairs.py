"""Leaves the classifier takes for each other: the words of the ticket turn the unit either way."""

import pytest

from jiesu_nlp.route.router import Router
from jiesu_nlp.route.rules import Case

PAIRS = [
    (("04-09-010", "11-04-006"), "小区外头那排杨树长了虫,掉得满地都是", "园林绿化"),
    (("04-09-010", "11-04-006"), "马路两边的国槐往下滴油,车都粘了", "园林绿化"),
    (("04-09-010", "11-04-006"), "我们小区里的槐树全是腻虫", "街道乡镇"),
    (("13-01-007", "20-03-004"), "催收的天天打电话,爆通讯录,我同事都知道了", "金融管理"),
    (("13-01-007", "20-03-004"), "催收的找上门来,堵在我家门口", "公安"),
    (("13-01-007", "20-03-004"), "催收的跑到公司前台坐着不走,来公司闹", "公安"),
    (("13-05-006", "22-01-002"), "办护照约不上号,一放号就没", "公安"),
    (("13-05-006", "22-01-002"), "区政务服务中心的综合窗口约不上号", "政务服务"),
]


@pytest.mark.parametrize(("leaves", "text", "unit"), PAIRS)
def test_the_unit_is_right_whichever_leaf_comes_first(knowledge, leaves, text, unit):
    kind = "compound" if "小区里" in text else "unknown"
    for leaf in leaves:
        case = Case(leaf=leaf, text=text, kind=kind, district="朝阳区", town="望京街道")
        assert knowledge.rules.first(case).unit == unit, leaf


@pytest.mark.parametrize("leaf", ["04-09-010", "11-04-006", "13-01-007", "13-05-006", "22-01-002"])
def test_without_such_words_the_catalogue_decides(knowledge, leaf):
    case = Case(leaf=leaf, text="这个事情没人管", district="朝阳区", town="望京街道")
    assert knowledge.rules.first(case).id == f"D-{leaf}"


CENTRAL = [
    ("19-04-002", "国家图书馆的座位约不上", "其他"),
    ("19-04-002", "国图旁边那个区图书馆没座位", "文化旅游"),
    ("19-01-002", "故宫的票一放就没", "其他"),
    ("15-11-010", "清华大学不让进校参观", "教育"),
    ("05-01-001", "北医三院的大夫态度恶劣", "卫生健康"),
]


@pytest.mark.parametrize(("leaf", "text", "unit"), CENTRAL)
def test_bodies_of_the_state_in_beijing(knowledge, leaf, text, unit):
    router = Router(knowledge.catalogue, knowledge.rules, knowledge.units)
    assert router.lead(Case(leaf=leaf, text=text, district="海淀区")).unit_class == unit


def test_housing_of_central_bodies_is_for_the_district(dispatcher):
    text = "海淀区某中央国家机关宿舍院,机关服务局管的房子屋顶漏雨没人修"
    (demand,) = dispatcher.suggest(text).demands
    assert demand.unit.unit_class == "区政府"
