from dataclasses import replace

import pytest

from jiesu_nlp.catalogue.model import RetiredLeaf
from jiesu_nlp.gates import Advice, GateBook, GateRule
from jiesu_nlp.route.checks import (
    check_gates,
    check_order,
    check_references,
    check_rules,
    hidden_by,
)
from jiesu_nlp.route.proof import prove
from jiesu_nlp.route.router import Router
from jiesu_nlp.route.rules import Case, Condition, DeadlineRule, Rule, RuleSet
from jiesu_nlp.route.units import RegisteredUnit, UnitRegistry
from jiesu_nlp.vocabulary import PlaceKind


def rule(number, unit="水务", where="", **when):
    parts = {"leaf": '["08-01"]', **when}
    text = ", ".join(f"{k}: {v}" for k, v in parts.items())
    return f"- {{id: R-{number}, when: {{{text}}}, unit: {unit}, reason: 试{where}}}\n"


@pytest.fixture
def findings(rules_of, knowledge):
    def run(*lines):
        found = check_order(rules_of("rules:\n" + "".join(lines)), knowledge.catalogue)
        return {(f.check, f.rule): f for f in found if f.check != "idle"}

    return run


def test_rules_that_do_not_touch_are_clean(findings):
    assert not findings(
        rule(1, words="[坑]"), rule(2, words="[井盖]"), rule(3, kind="[compound]", unit="公安")
    )


def test_a_rule_behind_a_wider_one_never_fires(findings):
    found = findings(rule(1, words="[公路]"), rule(2, words="[高速公路]", month="[7]"))
    assert found["unreachable", "R-2"].severity == "error"
    assert "R-1" in found["unreachable", "R-2"].message


def test_a_narrower_or_negated_one_in_front_hides_nothing(findings):
    assert not findings(rule(1, words="[高速公路]"), rule(2, words="[公路]"))
    assert not findings(rule(1, words="[公路]", not_words="[小区]"), rule(2, words="[公路]"))
    assert findings(
        rule(1, words="[公路]", not_words="[小区]"),
        rule(2, words="[公路]", not_words="[小区]", month="[7]"),
    )


def test_several_rules_may_hide_one_together(findings):
    found = findings(
        rule(1, kind="[compound, street]"),
        rule(2, kind="[village]"),
        rule(3, kind="[village, street]", words="[坑]"),
    )
    assert set(found) == {("unreachable", "R-3")}
    everything = ", ".join(PlaceKind)
    assert ("unreachable", "R-2") in findings(
        rule(1, kind=f"[{everything}]"), rule(2, words="[坑]")
    )


def test_mentions_of_several_words_add_up_so_several_rules_do_not_hide_one(findings):
    late = "啊" * 60
    text = f"{late}高速公路{late}国道"
    mixed = Condition(words=("高速公路", "国道"))
    assert mixed.failure(Case("", text=text)) is None
    earlier = [Condition(words=("公路",)), Condition(words=("国道",))]
    assert all(c.failure(Case("", text=text)) == "words" for c in earlier)
    assert not findings(
        rule(1, words="[公路]"), rule(2, words="[国道]"), rule(3, words="[高速公路, 国道]")
    )
    assert ("unreachable", "R-2") in findings(
        rule(1, words="[公路, 国道]"), rule(2, words="[高速公路, 国道]", month="[7]")
    )


@pytest.mark.parametrize("start", [35, 36, 37, 38, 39, 40])
def test_what_is_hidden_never_fires_wherever_the_word_stands(start):
    wide, narrow = (Rule(w, Condition(words=(w,)), "试") for w in ("公路", "高速公路"))
    assert hidden_by(narrow, [wide]) == [wide]
    case = Case("", text="啊" * start + "高速公路" + "啊" * 60)
    assert wide.when.failure(case) is None or narrow.when.failure(case) is not None


def test_hidden_only_for_some_leaves_is_a_warning(findings):
    found = findings(rule(1, leaf='["08-01-001"]'), rule(2, words="[坑]"))
    assert found["shadowed", "R-2"].severity == "warning"
    assert "08-01-001" in found["shadowed", "R-2"].message


def test_a_category_rule_that_hides_a_place_rule_is_the_known_trap(findings):
    found = findings(rule(1), rule(2, unit="公安", kind="[expressway]"))
    assert found["hides_place", "R-2"].severity == "error"
    assert "不看地点" in found["hides_place", "R-2"].message


def test_conflicts_and_duplicates(findings):
    found = findings(
        rule(1, words="[坑]"), rule(2, words="[坑]", unit="公安"), rule(3, words="[坑]")
    )
    assert ("conflict", "R-2") in found
    assert ("duplicate", "R-3") in found


def test_a_rule_that_repeats_the_catalogue_is_noted(rules_of, knowledge):
    leaf = knowledge.catalogue.by_code["08-01-001"]
    rules = rules_of("rules:\n" + rule(1, unit=leaf.unit, leaf='["08-01-001"]', words="[坑]"))
    assert [f.check for f in check_order(rules, knowledge.catalogue)] == ["idle"]


def test_dangling_references_and_dates(rules_of, knowledge):
    text = """\
rules:
- {id: R-1, when: {leaf: ["99-01"]}, unit: 水务, reason: 试}
- {id: R-2, when: {leaf: ["08-01"], district: [朝阳]}, unit: 水务, reason: 试}
- {id: R-3, when: {leaf: ["08-01"], town: [望京]}, unit: 水务, reason: 试}
- {id: R-4, when: {leaf: ["08-01"], district: [海淀区], town: [望京街道]}, unit: 水务, reason: 试}
- {id: R-5, when: {leaf: ["08-01"]}, unit_code: U-NONE, reason: 试}
- {id: R-6, when: {leaf: ["08-01"], month: [1]}, unit: 水务, reason: 试, valid_to: 2020-01-01}
- {id: R-7, when: {leaf: ["08-01"], not_leaf: ["09"], month: [2]}, unit: 水务, reason: 试}
"""
    k = knowledge
    found = check_references(rules_of(text), k.catalogue, k.units, k.places)
    assert [(f.rule, f.check) for f in found] == [
        ("R-1", "unknown_leaf"),
        ("R-2", "unknown_district"),
        ("R-3", "unknown_town"),
        ("R-4", "town_elsewhere"),
        ("R-5", "unknown_unit"),
        ("R-6", "expired"),
        ("R-7", "useless_not_leaf"),
    ]


def test_codes_of_gates_must_be_leaves_in_use(knowledge):
    k = knowledge
    retired = RetiredLeaf("08-01-900", "旧项", ("08-01-001",))
    catalogue = replace(k.catalogue, retired=(retired,))
    book = GateBook(
        (GateRule("G1-X", "emergency", "", "", ("火",), leaf=(retired.code, "08-01-001")),),
        (),
        (Advice("secret", "", "", leaf=("08-01", "99-01-001")), Advice("119", "", "")),
    )
    found = list(check_gates(book, catalogue))
    assert [(f.severity, f.check, f.rule) for f in found] == [
        ("error", "retired_leaf", "G1-X"),
        ("error", "unknown_leaf", "advice（secret）"),
        ("error", "unknown_leaf", "advice（secret）"),
    ]
    assert all("gates.yaml" in str(f) and "处理办法" in str(f) for f in found)
    assert "08-01-900" in str(found[0]) and "08-01-001" in str(found[0])
    with_gates = check_rules(k.rules, catalogue, k.units, k.places, book)
    assert [f for f in with_gates if f.severity == "error"] == found


def test_the_rules_we_ship_have_no_errors(knowledge):
    k = knowledge
    found = check_rules(k.rules, k.catalogue, k.units, k.places, k.gates)
    assert [str(f) for f in found if f.severity == "error"] == []


# --- proof --------------------------------------------------------------------------------------


def test_every_leaf_town_and_kind_ends_in_one_unit_and_one_deadline(knowledge):
    proof = prove(knowledge.rules, knowledge.catalogue, knowledge.units, knowledge.places)
    assert proof.gaps == ()
    assert proof.leaves == len(knowledge.catalogue)
    assert proof.places == 343 + 5 + 17, "five functional zones beside the towns"
    assert proof.fallbacks == 5 + 17, "every town has its office"
    assert proof.cases == proof.leaves * proof.places * len(PlaceKind)
    assert proof.seconds < 60


def test_gaps_are_found(rules_of, knowledge):
    k = knowledge
    elsewhere = rules_of(
        'rules:\n- {id: R-1, when: {leaf: ["08-01"]}, unit_code: U-110101-JW, reason: 试}\n'
    )
    gaps = prove(elsewhere, k.catalogue, k.units, k.places).gaps
    assert any("R-1" in g and "不管辖" in g for g in gaps)
    restricted = rules_of(
        'rules:\n- {id: R-1, when: {leaf: ["08-01"], district: [东城区]}, '
        "unit_code: U-110101-JW, reason: 试}\n"
    )
    assert prove(restricted, k.catalogue, k.units, k.places).holds
    no_water = UnitRegistry(u for u in k.units.units if u.unit_class not in ("水务", "区政府"))
    assert not prove(k.rules, k.catalogue, no_water, k.places).holds
    community = UnitRegistry(
        [*k.units.units, RegisteredUnit("X", "多福巷社区", "多福巷", "其他", "town", area=("*",))]
    )
    by_code = rules_of('rules:\n- {id: R-1, when: {leaf: ["08-01"]}, unit_code: X, reason: 试}\n')
    assert any("不能作为" in g for g in prove(by_code, k.catalogue, community, k.places).gaps)


def test_the_reduction_agrees_with_the_router_on_random_cases(knowledge):
    """The proof looks at rules, not at cases; here cases are routed for real."""
    import random

    k = knowledge
    router = Router(k.catalogue, k.rules, k.units)
    dice = random.Random(12345)
    words = sorted({w for r in k.rules.rules for w in (*r.when.words, *r.when.and_words)} | {"x"})
    towns = [(k.places.districts[t.district], t.name) for t in k.places.towns]
    for _ in range(3000):
        district, town = dice.choice(towns)
        case = Case(
            leaf=dice.choice(k.catalogue.leaves).code,
            text=" ".join(dice.sample(words, 3)),
            kind=dice.choice(list(PlaceKind)),
            owners=frozenset(dice.sample(["部队", "中央单位", "铁路", "物业企业"], 1)),
            request_type=dice.choice(["投诉", "咨询"]),
            district=district,
            town=dice.choice([town, None]),
            month=dice.choice([None, 1, 7]),
        )
        routing = router.route(case)
        unit = k.units.by_code[routing.lead.code or ""]
        assert any(a in ("*", district, f"{district}/{case.town}") for a in unit.area) or all(
            a.startswith("@") for a in unit.area
        )
        assert routing.deadline.tier in ("2h", "24h", "7d", "15d")
        assert routing.deadline.basis


def test_a_deadline_that_is_no_tier_is_a_gap(knowledge):
    k = knowledge
    bad = DeadlineRule("T-X", Rule("", k.rules.rules[0].when, "").when, "试", limit="3d")
    rules = RuleSet(k.rules.rules, k.catalogue, deadlines=[bad])
    assert any("T-X" in g for g in prove(rules, k.catalogue, k.units, k.places).gaps)
