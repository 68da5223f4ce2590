"""Hand-written, made-up sentences with the answer a dispatcher would give."""

import csv
from pathlib import Path

import pytest

from jiesu_nlp.text.normalise import normalise

STATUS = {"r": "resolved", "d": "district_only", "a": "ambiguous", "n": "none"}


def sentences():
    path = Path(__file__).parent / "locate_sentences.tsv"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    return list(csv.DictReader(lines, delimiter="\t", restval=""))


SENTENCES = sentences()


def test_there_are_enough():
    assert len(SENTENCES) >= 150


@pytest.mark.parametrize("row", SENTENCES, ids=lambda row: row["text"][:16])
def test_sentence(locator, row):
    place = locator.locate(normalise(row["text"]).text).place()
    if row["status"] in STATUS:
        assert place.status == STATUS[row["status"]]
    wanted = row["district"].split("|") if row["district"] else []
    if wanted == ["-"]:
        assert place.district is None
    elif len(wanted) > 1 and place.status == "ambiguous":
        assert {c.district for c in place.candidates} & set(wanted)
    elif wanted:
        assert place.district in wanted
    if row["town"]:
        assert (place.town or "") in row["town"].split("|")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("望京西园三区楼道里堆满杂物", "compound"),
        ("望京西园三区对面的工地夜里打桩", "construction"),
        ("望京地铁站旁边的小区地库漏水", "compound"),
        ("小区门口的马路上路灯不亮", "municipal_road"),
        ("京承高速后沙峪收费站不找零", "expressway"),
        ("107国道良乡段有大坑", "highway"),
        ("顺义区潮白河河道里有人倒垃圾", "river"),
        ("帽儿胡同里停满了车", "street"),
        ("回龙观医院挂号排队太久", "hospital"),
        ("北京大学校园里骑车太快", "campus"),
        ("朝阳区望京街道某饭店油烟直排", "shop"),
        ("新发地批发市场乱收费", "market"),
        ("地铁10号线国贸站站台没有广播", "transit"),
        ("北京西站候车室太热", "hub"),
        ("奥林匹克森林公园厕所没纸", "park"),
        ("密云区巨各庄镇耕地上建大棚房", "farmland"),
        ("网上买的手机是翻新机,平台不管", "online"),
        ("采育镇村委会不公开账目", "village"),
        ("丰台科技园写字楼停水", "office"),
        ("慕田峪长城景区门票退款难", "scenic"),
        ("想咨询一下落户政策", "unknown"),
    ],
)
def test_kind_is_where_the_matter_is(locator, text, kind):
    assert locator.locate(text).place().kind == kind
