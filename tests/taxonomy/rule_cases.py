"""Tickets with their right leaf, as the rules see them after text and place analysis."""

from __future__ import annotations

import csv
from pathlib import Path

from jiesu_nlp.knowledge import Knowledge
from jiesu_nlp.locate.locator import Locator
from jiesu_nlp.route.rules import Case
from jiesu_nlp.text.elements import find_elements
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.text.request_type import classify_request_type

HERE = Path(__file__).parent


def read_rows(name: str) -> list[dict[str, str]]:
    """Rows of a table beside this file."""
    with (HERE / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def case_of(leaf: str, text: str, locator: Locator) -> Case:
    """Analyse a text as the dispatcher does, with the leaf given."""
    normal = normalise(text).text
    elements = find_elements(normal)
    place = locator.locate(normal).place()
    return Case(
        leaf=leaf,
        text=normal,
        kind=place.kind,
        owners=frozenset(e.value for e in elements.owner),
        actors=frozenset(e.value for e in elements.actor),
        request_type=classify_request_type(normal).value,
        district=place.district,
        town=place.town,
    )


def unit_class(case: Case, knowledge: Knowledge) -> str:
    """Class of unit that the winning rule orders, before Art. 12 sends it to a district."""
    rule = knowledge.rules.first(case)
    return knowledge.units.by_code[rule.unit_code].unit_class if rule.unit_code else rule.unit
