from dataclasses import replace

import pytest

from jiesu_nlp.errors import DataError
from jiesu_nlp.route.router import Router
from jiesu_nlp.route.rule_files import DEADLINES_YAML, read_deadlines, read_rules
from jiesu_nlp.route.rules import Case, RuleSet, is_about

LEAF = "08-01-001"
FULL = """\
rules:
- id: R-1
  when:
    leaf: ["08-01"]
    not_leaf: ["08-01-002"]
    kind: [compound]
    owner: [部队]
    actor: [物业]
    type: [投诉]
    district: [朝阳区]
    town: [望京街道]
    month: [7]
    gate: [none]
    words: [坑]
    and_words: [修]
    not_words: [市政路]
  unit: 街道乡镇
  with: [水务]
  limit: 24h
  reason: 试
"""
CASE = Case(
    leaf=LEAF,
    text="坑没人修",
    kind="compound",
    owners=frozenset(["部队"]),
    actors=frozenset(["物业"]),
    request_type="投诉",
    district="朝阳区",
    town="望京街道",
    month=7,
)


@pytest.fixture
def router(rules_of, knowledge):
    return Router(knowledge.catalogue, rules_of(FULL), knowledge.units)


def test_all_parts_must_hold_and_the_first_that_fails_is_named(router):
    assert router.route(CASE).rule.id == "R-1"
    failing = {
        "kind": {"kind": "street"},
        "owner": {"owners": frozenset()},
        "actor": {"actors": frozenset(["邻居"])},
        "type": {"request_type": "咨询"},
        "district": {"district": None},
        "town": {"town": "东湖街道"},
        "month": {"month": None},
        "gate": {"gate": "emergency"},
        "words": {"text": "没人修"},
        "and_words": {"text": "坑"},
        "not_words": {"text": "市政路的坑没人修"},
    }
    for part, change in failing.items():
        attempt = router.rules.trace(replace(CASE, **change))[0]
        assert attempt.failed == part
    assert [r.id for r in router.rules.candidates("08-01-002")] == ["D-08-01-002"]


def test_the_winner_gives_unit_co_units_copy_and_deadline(router):
    routing = router.route(CASE)
    assert routing.lead.name == "朝阳区望京街道办事处"
    assert [u.name for u in routing.co_units] == ["朝阳区水务局"]
    assert [u.name for u in routing.cc] == ["朝阳区人民政府"]
    assert routing.deadline.tier == "24h"
    assert [u.unit_class for u in routing.alternatives] == ["交通"]


def test_district_known_but_town_not_goes_to_the_district(rules_of, knowledge):
    text = 'rules:\n- {id: R-1, when: {leaf: ["08-01"]}, unit: 街道乡镇, reason: 试}\n'
    router = Router(knowledge.catalogue, rules_of(text), knowledge.units)
    lead = router.route(Case(LEAF, district="海淀区")).lead
    assert (lead.name, lead.rule) == ("海淀区人民政府", "F-12-1-2")
    nowhere = router.route(Case(LEAF)).lead
    assert nowhere.code is None
    assert "待核实" in nowhere.name


def test_a_policy_question_without_a_place_goes_to_the_municipal_department(knowledge):
    router = Router(knowledge.catalogue, RuleSet((), knowledge.catalogue), knowledge.units)
    leaf = next(x.code for x in knowledge.catalogue.leaves if x.unit == "教育")
    asked = router.route(Case(leaf, request_type="咨询")).lead
    assert asked.name == "北京市教育委员会"
    assert router.route(Case(leaf, request_type="投诉")).lead.code is None


def test_the_enterprise_in_the_text_wins_over_the_default(knowledge):
    router = Router(knowledge.catalogue, RuleSet((), knowledge.catalogue), knowledge.units)
    leaf = next(x.code for x in knowledge.catalogue.leaves if x.unit == "轨道企业")
    assert router.route(Case(leaf, text="4号线站台太挤")).lead.name == "北京京港地铁有限公司"
    default = router.route(Case(leaf, text="站台太挤")).lead
    assert default.name == "北京市地铁运营有限公司"
    assert "核实" in (default.reason or "")


PAD = "啊" * 60


@pytest.mark.parametrize(
    ("words", "text", "about"),
    [
        (("公路", "高速公路"), "高速公路", True),
        (("公路", "高速公路"), PAD + "高速公路" + PAD, False),
        (("高速公路", "公路"), PAD + "高速公路" + PAD, False),
        (("院内", "小区院内"), PAD + "小区院内" + PAD, False),
        (("公路", "高速公路"), PAD + "高速公路" + PAD + "公路", True),
        (("公路", "高速公路"), PAD + "公路" + PAD + "公路", True),
        (("国道", "高速公路"), PAD + "高速公路" + PAD + "国道", True),
        (("高速", "公路", "高速公路"), PAD + "高速公路" + PAD, False),
        (("国道", "省道"), PAD + PAD, False),
        (("高速公路",), "啊" * 36 + "高速公路" + PAD, True),
        (("高速公路",), "啊" * 37 + "高速公路" + PAD, False),
    ],
)
def test_one_mention_in_passing_decides_nothing_in_a_longer_text(words, text, about):
    assert is_about(words, text) is about


def test_expired_and_future_rules_never_fire(rules_of, knowledge):
    text = "rules:\n" + "".join(
        f'- {{id: R-{i}, when: {{leaf: ["08-01"]}}, unit: {unit}, reason: 试, {dates}}}\n'
        for i, (unit, dates) in enumerate(
            [
                ("水务", "valid_to: 2025-12-31"),
                ("公安", "valid_from: 2026-01-01, valid_to: 2026-06-30"),
                ("民政", "valid_from: 2027-01-01"),
            ]
        )
    )
    for day, won in [
        ("2025-12-31", "R-0"),
        ("2026-01-01", "R-1"),
        ("2026-06-30", "R-1"),
        ("2026-07-01", f"D-{LEAF}"),
        ("2027-01-01", "R-2"),
    ]:
        assert rules_of(text, on=day).first(Case(LEAF)).id == won
    rules = rules_of(text, on="2025-01-01")
    later = RuleSet.from_json(rules.to_json(), knowledge.catalogue, on="2026-03-01")
    assert len(later.rules) == 3, "a bundle keeps them all and judges them when it is loaded"
    assert later.first(Case(LEAF)).id == "R-1"


def test_rules_survive_a_bundle(knowledge):
    copy = RuleSet.from_json(knowledge.rules.to_json(), knowledge.catalogue)
    assert copy.rules == knowledge.rules.rules
    assert copy.deadlines.rules == knowledge.rules.deadlines.rules


BASE = 'id: R-1, when: {leaf: ["08-01"]}, unit: 水务, reason: 试'


@pytest.mark.parametrize(
    ("rule", "field", "said"),
    [
        (BASE.replace("水务", "水利"), "unit", "单位类别"),
        (BASE.replace("unit: 水务, ", ""), "unit", "须且只能"),
        (BASE + ", unit_code: U-11-SW", "unit", "须且只能"),
        (BASE + ", limit: 3d", "limit", "2h/24h"),
        (BASE + ", with: [居委会]", "with", "单位类别"),
        (BASE + ", valid_from: 2026-13-01", "valid_from", "日期"),
        (BASE + ", valid_from: 2026-02-01, valid_to: 2026-01-01", "valid_to", "早于"),
        (BASE.replace('"08-01"', '"8-1"'), "leaf", "目录编码"),
        (BASE.replace('["08-01"]', "[]"), "leaf", "不能为空"),
        (BASE.replace('leaf: ["08-01"]', "kind: [小区]"), "kind", "可用"),
        (BASE.replace('leaf: ["08-01"]', "gate: [火]"), "gate", "可用"),
        (BASE.replace('leaf: ["08-01"]', "month: [13]"), "month", "1–12"),
        (BASE.replace("reason: 试", "why: 试"), "why", "可用字段"),
        (BASE.replace(", reason: 试", ""), "reason", "补上"),
    ],
)
def test_bad_rules_are_refused_with_file_line_and_remedy(write_rules, rule, field, said):
    with pytest.raises(DataError) as caught:
        read_rules(write_rules(f"rules:\n- {{{rule}}}\n"))
    assert caught.value.field == field
    assert caught.value.line == 2
    assert "30-试.yaml" in str(caught.value)
    assert said in str(caught.value)


def test_an_id_must_not_occur_twice(write_rules):
    with pytest.raises(DataError, match="重复"):
        read_rules(write_rules(f"rules:\n- {{{BASE}}}\n- {{{BASE}}}\n"))


# --- deadlines ----------------------------------------------------------------------------------


def tier(knowledge, leaf, **case) -> tuple[str, str]:
    router = Router(knowledge.catalogue, knowledge.rules, knowledge.units)
    deadline = router.route(Case(leaf, **case)).deadline
    return deadline.tier, deadline.basis


def test_an_emergency_has_two_hours(knowledge):
    got, basis = tier(knowledge, "04-01-001", gate="emergency")
    assert got == "2h"
    assert "T-2H-EMERGENCY" in basis


def test_an_outage_has_a_day_at_most(knowledge):
    assert tier(knowledge, "02-02-006", text="欠费被掐,现在没水")[0] == "24h"
    damage = knowledge.catalogue.by_code["02-04-010"].limit
    assert tier(knowledge, "02-04-010", text="停电把冰箱烧了,要求赔偿")[0] == damage, (
        "no outage now"
    )
    two_hours = next(x.code for x in knowledge.catalogue.leaves_under("02-01") if x.limit == "2h")
    assert tier(knowledge, two_hours, text="停水")[0] == "2h", "never loosened"


def test_heating_depends_on_the_season(knowledge):
    assert tier(knowledge, "02-08-001", month=1)[0] == "24h"
    got, basis = tier(knowledge, "02-08-001", month=7)
    assert got == "7d"
    assert "非供暖季" in basis


def test_a_complex_matter_has_more_time_but_an_urgent_one_has_not(knowledge):
    got, basis = tier(knowledge, "04-13-001", text="历史遗留问题,上百户业主", request_type="投诉")
    assert got == "15d"
    assert "会商" in basis
    urgent = next(x.code for x in knowledge.catalogue.leaves_under("04-08") if x.limit == "24h")
    assert tier(knowledge, urgent, text="历史遗留问题", request_type="投诉")[0] == "24h"


def test_otherwise_the_catalogue_decides_and_says_so(knowledge):
    got, basis = tier(knowledge, "04-01-001")
    assert got == knowledge.catalogue.by_code["04-01-001"].limit
    assert "目录" in basis


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("id: T-1, when: {month: [1]}, basis: 试", "须且只能"),
        ("id: T-1, when: {month: [1]}, basis: 试, limit: 2h, at_most: 7d", "须且只能"),
        ("id: T-1, when: {month: [1]}, basis: 试, at_most: 1d", "不认识的时限"),
        ("id: T-1, when: {month: [1]}, at_most: 24h", "basis"),
    ],
)
def test_bad_deadlines_are_refused(tmp_path, rule, said):
    (tmp_path / DEADLINES_YAML).write_text(f"deadlines:\n- {{{rule}}}\n", "utf-8")
    with pytest.raises(DataError, match=said):
        read_deadlines(tmp_path)
