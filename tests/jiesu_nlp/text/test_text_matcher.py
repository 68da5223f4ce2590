"""Headed patterns find what the plain patterns find, only sooner."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jiesu_nlp.locate import mentions
from jiesu_nlp.text import elements, normalise, redact, split
from jiesu_nlp.text.matcher import HeadedPattern
from tests.conftest import ROOT

PATTERNS = {
    "time": elements._TIME,
    "cue": split._CUE,
    "counted": split._COUNTED,
    "filler": normalise._FILLER,
    "repeated mark": normalise._REPEATED_MARK,
    "plate": redact._PLATE_CUE,
    "name": redact._NAME_CUE,
    "anonymised": mentions._ANONYMISED,
}


def gold_texts():
    path = ROOT / "tests" / "gold" / "tickets.jsonl"
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def assert_same(pattern, text):
    plain = [match.span() for match in pattern.plain.finditer(text)]
    found = pattern.find(text)
    assert [match.span(1) for match in found] == plain
    assert [match.start() for match in found] == [start for start, _ in plain]
    assert pattern.occurs(text) == bool(plain)


def test_every_match_may_begin_only_with_a_head():
    pattern = HeadedPattern("ab", "ax+|b(?P<tail>y)", seconds="xy")
    assert [m[1] for m in pattern.find("x axx b by axbyy")] == ["axx", "by", "ax", "by"]
    assert pattern.find("by")[0]["tail"] == "y"
    assert not pattern.occurs("a b x y")


def test_matches_do_not_overlap():
    assert [m.span(1) for m in HeadedPattern("a", "aa").find("aaaaa")] == [(0, 2), (2, 4)]


@pytest.mark.parametrize("name", PATTERNS)
def test_gold_tickets(name):
    for text in gold_texts():
        for form in (text, normalise.normalise(text).text):
            assert_same(PATTERNS[name], form)


@pytest.mark.parametrize("name", PATTERNS)
def test_any_text_of_its_own_characters(name):
    pattern = PATTERNS[name]
    # The words of the pattern in any order, so that what it looks for comes up all the time.
    words = [
        w for w in re.split(r"[\[\](){}|?:<=!^$\\+*]+|[0-9]-[0-9]", pattern.plain.pattern) if w
    ]
    pieces = st.sampled_from([*words, *{c for w in words for c in w}, *"05，。、. \nA区"])

    @settings(max_examples=400, deadline=None)
    @given(st.lists(pieces, max_size=12).map("".join))
    def check(text):
        assert_same(pattern, text)

    check()


@pytest.mark.parametrize("name", PATTERNS)
def test_whatever_the_plain_pattern_matches_is_found(name):
    pattern = PATTERNS[name]

    @settings(max_examples=200, deadline=None)
    @given(st.from_regex(pattern.plain), st.text(max_size=3))
    def check(text, more):
        assert_same(pattern, text + more)

    check()
