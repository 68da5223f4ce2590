import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from training.metrics import (
    calibration_error,
    chance_calibration_error,
    coverage_at,
    macro_f1,
    mean_of,
    paired_means,
    paired_statistics,
    risk_coverage,
    statistic_of,
)


def test_the_interval_holds_the_value_and_shrinks_with_more_tickets():
    few = mean_of(np.array([1.0, 0.0] * 20))
    many = mean_of(np.array([1.0, 0.0] * 2000))
    assert few.low < few.value == 0.5 < few.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for i in range(200):
        m = mean_of((rng.random(150) < 0.8).astype(float), seed=i)
        inside += m.low <= 0.8 <= m.high
    assert 180 <= inside <= 200


def test_the_interval_of_a_calibration_error_holds_it():
    """Resampled tickets look worse calibrated than the tickets are; the interval must not."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        confidence = rng.random(60)
        correct = (rng.random(60) < confidence).astype(float)
        found = statistic_of(lambda i, c=confidence, r=correct: calibration_error(c[i], r[i]), 60)
        assert 0 <= found.low <= found.value <= found.high


def test_unknown_answers_do_not_count():
    m = mean_of(np.array([1.0, np.nan, 0.0, np.nan]))
    assert (m.value, m.n) == (0.5, 2)
    assert mean_of(np.array([np.nan])).n == 0
    assert mean_of(np.array([np.nan])).to_json()["value"] is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=60))
def test_macro_f1_is_that_of_scikit_learn_over_true_leaves(pairs):
    truth, guess = (np.array(column) for column in zip(*pairs, strict=True))
    expected = f1_score(truth, guess, labels=np.unique(truth), average="macro", zero_division=0)
    assert macro_f1(truth, guess) == pytest.approx(expected)


def test_calibration_error_of_honest_and_boastful_models():
    rng = np.random.default_rng(0)
    confidence = rng.random(5000)
    correct = (rng.random(5000) < confidence).astype(float)
    assert calibration_error(confidence, correct) < 0.03
    assert calibration_error(np.ones(100), np.tile([0.0, 1.0], 50)) == pytest.approx(0.5)


def test_the_error_that_chance_alone_makes_falls_with_the_number_of_tickets():
    rng = np.random.default_rng(0)
    confidence = rng.random(4000)
    few, many = chance_calibration_error(confidence[:100]), chance_calibration_error(confidence)
    assert few.low < few.value < few.high
    assert few.value > 3 * many.value > 0
    honest = (rng.random(4000) < confidence).astype(float)
    assert many.low <= calibration_error(confidence, honest) <= many.high
    assert calibration_error(confidence, (confidence > 0.5).astype(float)) > many.high
    assert np.isnan(chance_calibration_error(np.array([])).value)


def test_coverage_counts_ties_together():
    confidence = np.array([0.9, 0.9, 0.5, 0.4])
    assert coverage_at(confidence, np.array([1.0, 0.0, 1.0, 1.0]), 1.0) == 0
    assert coverage_at(confidence, np.array([1.0, 1.0, 1.0, 0.0]), 0.95) == 0.75
    assert coverage_at(confidence, np.array([1.0, 1.0, 0.0, 1.0]), 0.75) == 1.0


def test_risk_coverage_ends_at_the_overall_error():
    correct = np.array([1.0, 1.0, 0.0, 1.0])
    points = risk_coverage(np.array([0.9, 0.8, 0.7, 0.6]), correct)
    assert points[-1] == (1.0, 0.25)
    assert points[0][1] == 0


def test_risk_coverage_does_not_depend_on_the_order_of_ties():
    confidence = np.array([0.9] * 50 + [0.3] * 50)
    correct = np.array([1.0] * 25 + [0.0] * 75)
    curve = risk_coverage(confidence, correct)
    assert curve == risk_coverage(confidence[::-1], correct[::-1])
    assert all(error == pytest.approx(0.5) for share, error in curve if share <= 0.5)


def test_mcnemar_sees_a_difference_and_none():
    a = np.array([1.0] * 80 + [0.0] * 20)
    same = paired_means(a, a)
    assert (same.difference, same.p_value) == (0, 1.0)
    b = a.copy()
    b[80:95] = 1
    better = paired_means(a, b)
    assert better.difference == pytest.approx(0.15)
    assert better.low > 0
    assert better.p_value < 0.001
    few = paired_means(np.array([1.0, 0, 1, 0]), np.array([0.0, 1, 1, 0]))
    assert few.p_value == 1.0


def test_any_statistic_is_paired_on_the_same_resamples():
    rng = np.random.default_rng(1)
    x = rng.random(300)
    paired = paired_statistics(
        lambda i: float(x[i].mean()), lambda i: float(x[i].mean()) + 0.1, 300
    )
    assert paired.low == pytest.approx(0.1)
    assert paired.high == pytest.approx(0.1)
    assert statistic_of(lambda i: float(x[i].mean()), 300).n == 300
