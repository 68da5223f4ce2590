from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jiesu_nlp.confidence import Calibration, MonotoneMap

MAP = MonotoneMap((0.1, 0.5, 0.9), (0.0, 0.4, 1.0))


@pytest.mark.parametrize(
    ("raw", "calibrated"),
    [(0.0, 0.0), (0.1, 0.0), (0.3, 0.2), (0.5, 0.4), (0.7, 0.7), (0.9, 1.0), (1.0, 1.0)],
)
def test_between_the_points_the_map_is_straight_and_beyond_them_flat(raw, calibrated):
    assert MAP(raw) == pytest.approx(calibrated)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_is_never_less_sure(a, b):
    low, high = sorted((a, b))
    assert MAP(low) <= MAP(high)


def test_a_step_in_the_table_does_not_divide_by_zero():
    step = MonotoneMap((0.0, 0.5, 0.5, 1.0), (0.0, 0.2, 0.8, 1.0))
    assert step(0.49) < 0.21
    assert step(0.5) >= 0.2


@pytest.mark.parametrize(
    ("confidence", "complete", "decision"),
    [
        (0.95, True, "auto"),
        (0.9, True, "auto"),
        (0.89, True, "suggest"),
        (0.6, True, "suggest"),
        (0.59, True, "review"),
        (0.99, False, "review"),
    ],
)
def test_decision_by_thresholds_and_never_without_a_unit(confidence, complete, decision):
    calibration = Calibration(auto_at=0.9, suggest_at=0.6)
    assert calibration.decide(confidence, complete=complete) == decision


def test_the_default_never_decides_alone():
    assert Calibration().decide(1.0, complete=True) == "suggest"


def test_a_bundle_brings_every_field_back():
    calibration = Calibration(
        leaf=MAP,
        level1=MAP,
        unit=MAP,
        runners_up=0.7,
        auto_at=0.8,
        suggest_at=0.3,
        fitted_on="校准工单 10 件",
        brief=Calibration(leaf=MAP, auto_at=0.8),
    )
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration


@pytest.mark.parametrize(
    ("text", "brief"), [("停水了", True), ("停" * 15, True), ("停" * 16, False)]
)
def test_a_call_of_a_few_words_has_tables_of_its_own(text, brief):
    calibration = Calibration(brief=Calibration(leaf=MAP))
    assert (calibration.of(text) is calibration.brief) is brief


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=5), st.floats(0, 1))
def test_confidences_of_the_leaves_are_at_most_one_together_and_in_order(weights, mass):
    weights.sort(reverse=True)
    probabilities = [mass * w / sum(weights) for w in weights]
    confidences = Calibration(leaf=MAP, runners_up=0.8).leaves(probabilities)
    assert confidences[0] == MAP(probabilities[0])
    assert sum(confidences) <= 1 + 1e-9
    assert list(confidences) == sorted(confidences, reverse=True)
