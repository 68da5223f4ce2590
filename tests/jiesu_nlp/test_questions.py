from __future__ import annotations

import pytest

from jiesu_nlp.classify.predictor import Prediction
from jiesu_nlp.questions import open_points, questions_for
from jiesu_nlp.suggestion import Place, PlaceCandidate, Unit

HERE = Place(name="望京街道", district="朝阳区", town="望京街道", status="resolved", confidence=0.9)
NOWHERE = Place()
STREET = Unit("T1", "朝阳区望京街道办事处", "街道乡镇")
UNKNOWN = Unit(None, "属地街道（乡镇）（待核实地点）", "街道乡镇")


@pytest.fixture
def ask(knowledge):
    def questions(place, lead, first, second, p=(0.9, 0.01)):
        index = knowledge.catalogue.index
        leaves = (index[first], index[second])
        prediction = Prediction(leaves, p, 0, 0.9, leaves)
        return questions_for(knowledge.catalogue, prediction, place, lead, confidence=0.8)

    return questions


@pytest.fixture
def pair(knowledge) -> tuple[str, str, str]:
    """A leaf, the leaf one of its ``not`` lines names, and the case."""
    catalogue = knowledge.catalogue
    leaf, n = next(
        (leaf, n) for leaf in catalogue.leaves for n in leaf.neighbours if n.code in catalogue.index
    )
    return leaf.code, n.code, n.when


def test_a_sure_answer_asks_nothing(ask, pair):
    assert ask(HERE, STREET, pair[0], pair[1]) == ()


def test_the_missing_place_is_asked_first(ask, pair):
    questions = ask(NOWHERE, UNKNOWN, pair[0], pair[1], p=(0.5, 0.45))
    assert "哪个区" in questions[0]
    assert len(questions) == 2


def test_a_district_alone_asks_for_the_street(ask, pair):
    place = Place(district="朝阳区", status="district_only", confidence=0.9)
    (question,) = ask(place, Unit("D1", "朝阳区人民政府", "区政府"), pair[0], pair[1])
    assert "朝阳区" in question


def test_namesakes_are_named(ask, pair):
    candidates = tuple(
        PlaceCandidate("八里庄", district, "八里庄街道", None, 0.5)
        for district in ("朝阳区", "海淀区")
    )
    place = Place(name="八里庄", status="ambiguous", confidence=0.5, candidates=candidates)
    (question,) = ask(place, UNKNOWN, pair[0], pair[1])
    assert "朝阳区" in question
    assert "海淀区" in question


def test_doubt_between_neighbours_asks_in_the_words_of_the_catalogue(ask, pair):
    first, second, when = pair
    assert any(when in q for q in ask(HERE, STREET, first, second, p=(0.5, 0.4)))
    assert any(when in q for q in ask(HERE, STREET, second, first, p=(0.5, 0.4)))


def test_doubt_between_strangers_names_both(ask, knowledge):
    (question,) = ask(HERE, STREET, "01-01-001", "20-01-001", p=(0.4, 0.35))
    names = knowledge.catalogue.by_code
    assert names["01-01-001"].name in question
    assert names["20-01-001"].name in question


HEAT = Unit(
    "E1",
    "北京市热力集团有限责任公司",
    "供热企业",
    reason="目录规定；文中未写明具体企业，派前请核实",
)


def test_a_firm_that_comes_to_the_house_needs_an_address_and_a_name(ask, pair):
    points = open_points(NOWHERE, HEAT, "求助")
    assert "几号楼" in points[0]
    assert "供热单位" in points[1]
    (point,) = open_points(HERE, HEAT, "求助")
    assert "供热单位" in point
    assert open_points(HERE, Unit("E1", "北京市热力集团有限责任公司", "供热企业"), "求助") == ()


def test_other_units_and_policy_questions_need_neither():
    assert open_points(NOWHERE, STREET, "求助") == ()
    assert open_points(NOWHERE, HEAT, "咨询") == ()


@pytest.mark.parametrize(
    "text",
    ["停电了", "宽带断了三天没人修", "水龙头没水了", "暖气一点都不热", "网速慢得要命,联通的"],
)
def test_a_report_to_a_firm_without_an_address_is_never_sent_straight(dispatcher, text):
    for demand in dispatcher.suggest(text).demands:
        assert demand.decision != "auto"
        assert any("地址" in q or "哪个区" in q for q in demand.questions)
