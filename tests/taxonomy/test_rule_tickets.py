"""The 113 problem → unit rules of the sources, and pairs that differ only in owner or place.

The tables are written for these tests: ``rule_tickets.tsv`` (``row`` is the number in
``docs/规则来源对照.md``, ``unit`` every acceptable class) and ``rule_owner_pairs.tsv``.
"""

from __future__ import annotations

import re

import pytest

from jiesu_nlp.locate.locator import Locator
from jiesu_nlp.route.router import Router
from tests.conftest import ROOT
from tests.taxonomy.rule_cases import case_of, read_rows, unit_class

SOURCED = read_rows("rule_tickets.tsv")
PAIRS = read_rows("rule_owner_pairs.tsv")
GUIDE = ROOT / "docs" / "规则来源对照.md"
ROWS = 113
RULE = r"R-\d{2}-\d{3}"


@pytest.fixture(scope="module")
def locator(knowledge):
    return Locator(knowledge.places)


@pytest.mark.parametrize("row", SOURCED, ids=lambda r: f"{r['row']}-{r['leaf']}-{r['text'][:8]}")
def test_a_ticket_goes_where_the_source_sends_it(row, knowledge, locator):
    case = case_of(row["leaf"], row["text"], locator)
    assert unit_class(case, knowledge) in row["unit"].split("/")
    router = Router(knowledge.catalogue, knowledge.rules, knowledge.units)
    assert row["name"] in router.lead(case).name


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p['leaf']}-{p['what']}-{p['text_b'][:6]}")
def test_owner_and_place_decide_between_the_two_of_a_pair(pair, knowledge, locator):
    for side in "ab":
        case = case_of(pair["leaf"], pair[f"text_{side}"], locator)
        assert unit_class(case, knowledge) in pair[f"unit_{side}"].split("/"), side


def test_the_catalogue_alone_could_not_tell_the_pairs_apart(knowledge):
    turned = [p for p in PAIRS if p["unit_a"] != p["unit_b"]]
    assert len(turned) >= len(PAIRS) * 0.8
    for pair in turned:
        default = knowledge.catalogue.by_code[pair["leaf"]].unit
        sides = [pair["unit_a"].split("/"), pair["unit_b"].split("/")]
        assert not all(default in side for side in sides), pair


def guide_lines() -> dict[str, list[str]]:
    """Cells of each row of the guide's table, by row number."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in GUIDE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    return {cells[0]: cells for cells in rows if cells[0].isdigit()}


def test_every_row_of_the_sources_has_a_ticket_and_a_line_in_the_guide(knowledge, locator):
    lines = guide_lines()
    assert (
        {int(row["row"]) for row in SOURCED} == {int(n) for n in lines} == set(range(1, ROWS + 1))
    )
    for row in SOURCED:
        _, _, leaves, rules, *_ = lines[row["row"]]
        assert row["leaf"] in leaves, row
        rule = knowledge.rules.first(case_of(row["leaf"], row["text"], locator)).id
        assert (rule if rule.startswith("R-") else "叶默认") in rules, row


def test_every_rule_in_force_that_the_guide_names_exists(knowledge):
    named = {rule for cells in guide_lines().values() for rule in re.findall(RULE, cells[3])}
    assert named
    assert named <= set(knowledge.rules.by_id)
