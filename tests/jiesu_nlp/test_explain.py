import json

import pytest

from jiesu_nlp.explain import explain
from jiesu_nlp.ticket import Ticket

ORDER = ["classify", "locate", "attributes", "rules", "unit", "deadline", "confidence", "questions"]
TEXTS = (
    "朝阳区望京西园四区楼下烧烤店油烟太大",
    "國道旁的大樹倒了，壓在路上😀",
    "一、小区停水两天了，物业说是自来水公司的事；二、楼下广场舞音箱太吵，半夜十一点还在放",
    "有人困在电梯里出不来",
    "请问孩子上小学怎么报名",
)


def facts_of(stages):
    return {s["stage"]: s["facts"] for s in stages}


@pytest.mark.parametrize("text", TEXTS)
def test_the_explanation_agrees_with_the_suggestion(dispatcher, text):
    explanation = explain(dispatcher, text).to_dict()
    json.dumps(explanation)
    answer = dispatcher.suggest(text).to_dict()
    assert [s["stage"] for s in explanation["stages"]] == ["normalise", "redact", "gates", "split"]
    assert facts_of(explanation["stages"])["gates"]["kind"] == answer["gate"]["kind"]
    assert len(explanation["demands"]) == len(answer["demands"])
    for explained, demand in zip(explanation["demands"], answer["demands"], strict=True):
        assert [s["stage"] for s in explained["stages"]] == ORDER
        facts = facts_of(explained["stages"])
        best = facts["classify"]["leaves"][0]
        assert best["code"] == demand["categories"][0]["code"]
        assert best["calibrated"] == pytest.approx(demand["categories"][0]["confidence"], abs=1e-3)
        assert facts["unit"]["unit"] == demand["unit"]["name"]
        assert facts["deadline"]["basis"] == demand["deadline"]["basis"]
        assert facts["confidence"]["calibrated"] == pytest.approx(demand["confidence"], abs=2e-3)
        assert facts["confidence"]["decision"] == demand["decision"]
        won = [t for t in facts["rules"]["tried"] if t["won"]]
        assert len(won) == 1
        assert all(t["result"] for t in facts["rules"]["tried"])
        assert facts["rules"]["tried"][-1]["rule"].startswith("D-")


def test_the_way_is_told(dispatcher):
    text = "我姓张，電話13800001234，家住回龙观，望京西园四区楼下烧烤店油烟太大"
    explanation = explain(dispatcher, text)
    stages = facts_of(explanation.to_dict()["stages"])
    assert any("電" in c["from"] for c in stages["normalise"]["changes"])
    assert stages["redact"]["kinds"] == {"姓氏": 1, "手机号": 1}
    sites = facts_of(explanation.demands[0].to_dict()["stages"])["locate"]["sites"]
    assert {"住处", "地点"} == {s["role"] for s in sites}


def test_no_personal_data_in_it(dispatcher):
    text = "我叫张建国，手机１３８００００１２３４，身份证110101199003071234，望京西园四区停水"
    told = json.dumps(explain(dispatcher, text).to_dict(), ensure_ascii=False)
    for secret in ("13800001234", "１３８００００１２３４", "110101199003071234", "张建国"):
        assert secret not in told


def test_a_lost_rule_says_which_part_failed(dispatcher):
    from dataclasses import replace

    from jiesu_nlp.explain import why_lost
    from jiesu_nlp.route.rules import Attempt, Case, Condition, Rule

    case = Case("08-01-001", text="坑", kind="compound", owners=frozenset(["部队"]))
    parts = {
        "kind": ("street",),
        "owner": ("铁路",),
        "actor": ("商户",),
        "type": ("咨询",),
        "district": ("朝阳区",),
        "town": ("望京街道",),
        "month": (7,),
        "gate": ("emergency",),
        "words": ("公路",),
        "and_words": ("桥",),
        "not_words": ("坑",),
    }
    for part, value in parts.items():
        rule = Rule("R", replace(Condition(), **{part: value}), "")
        assert rule.when.failure(case) == part
        assert why_lost(Attempt(rule, part), case)


def test_a_gate_by_matter_and_words_called_off_are_told(dispatcher):
    told = facts_of(explain(dispatcher, "上次着火后消防通道还是堵着").to_dict()["stages"])
    assert told["gates"]["kind"] == "none"
    assert any("不报" in t["result"] for t in told["gates"]["tried"])


def test_a_whole_ticket_with_address_and_month(dispatcher):
    ticket = Ticket("家里暖气不热", address="海淀区学院路街道", created_at="2026-12-20T08:00")
    facts = facts_of(explain(dispatcher, ticket).to_dict()["demands"][0]["stages"])
    assert facts["attributes"]["month"] == 12
    assert facts["locate"]["address_used"]
    assert facts["locate"]["result"].startswith("海淀区")


@pytest.mark.parametrize(
    ("text", "address", "used"),
    [
        ("朝阳区的路灯不亮", "朝阳区望京街道", True),
        ("朝阳区的路灯不亮", "海淀区", False),
        ("望京街道的路灯不亮", "望京街道", False),
        ("路灯不亮", None, False),
    ],
)
def test_the_address_is_named_where_it_changed_the_place(dispatcher, text, address, used):
    ticket = Ticket(text, address=address)
    facts = facts_of(explain(dispatcher, ticket).to_dict()["demands"][0]["stages"])
    assert facts["locate"]["address_used"] is used
