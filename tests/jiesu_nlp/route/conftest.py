"""Small rules over the real catalogue, written on the spot."""

from __future__ import annotations

import pytest

from jiesu_nlp.route.rule_files import read_rules
from jiesu_nlp.route.rules import RuleSet


@pytest.fixture
def write_rules(tmp_path):
    """Write one rule file and return its folder."""

    def write(text: str, name: str = "30-试.yaml"):
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path

    return write


@pytest.fixture
def rules_of(write_rules, knowledge):
    """Compile rules given as YAML."""

    def build(text: str, **kwargs) -> RuleSet:
        return RuleSet(read_rules(write_rules(text)), knowledge.catalogue, **kwargs)

    return build
