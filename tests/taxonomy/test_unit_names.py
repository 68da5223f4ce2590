"""Which unit of a class serves a place: districts differ, and some duties are the city's."""

from __future__ import annotations

import pytest

from jiesu_nlp.locate.locator import Locator
from jiesu_nlp.route.router import Router
from tests.conftest import TAXONOMY
from tests.taxonomy.rule_cases import case_of, read_rows

ROWS = read_rows("unit_names.tsv")


@pytest.fixture(scope="module")
def locator(knowledge):
    return Locator(knowledge.places)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['what']}-{r['leaf']}")
def test_the_unit_is_the_one_that_has_the_duty_there(row, knowledge, locator):
    router = Router(knowledge.catalogue, knowledge.rules, knowledge.units)
    assert row["name"] in router.lead(case_of(row["leaf"], row["text"], locator)).name


def test_rules_that_only_name_the_citys_unit_keep_the_direction_of_the_catalogue(knowledge):
    for rule in knowledge.rules.rules:
        if rule.id.startswith("R-40-"):
            unit = knowledge.units.by_code[rule.unit_code]
            for leaf in knowledge.catalogue.leaves:
                if rule.when.covers_leaf(leaf.code):
                    assert unit.unit_class == leaf.unit, (rule.id, leaf.code)


def test_the_copy_of_a_street_run_by_the_development_zone_goes_to_the_zone(knowledge, locator):
    router = Router(knowledge.catalogue, knowledge.rules, knowledge.units)
    case = case_of("09-04-001", "荣华街道路边垃圾堆成山没人清", locator)
    routing = router.route(case)
    assert routing.lead.unit_class == "街道乡镇"
    assert [c.name for c in routing.cc] == ["北京经济技术开发区管理委员会"]


def test_every_unit_of_uncertain_name_says_so():
    """A doubt stands in the note, so that a city can list what it must check."""
    rows = [
        line.split("\t")
        for path in sorted((TAXONOMY / "units").glob("*.tsv"))
        for line in path.read_text(encoding="utf-8").splitlines()[1:]
        if line and not line.startswith("#")
    ]
    for row in rows:
        note = row[-1]
        for doubt in ("未核实", "有变化", "未逐一核对"):
            assert doubt not in note or "置信度：" in note, row[0]
