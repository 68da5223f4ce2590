from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jiesu_nlp.classify.conformal import SetRule
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.classify.predictor import LeafPredictor, softmax, strongest_spans


@dataclass(frozen=True)
class Given(LeafPredictor):
    """Says what it is told: one row of logits for every text."""

    rows: Floats
    class_of: Ints
    set_rule: SetRule = SetRule(ratios=(0.2,), largest=3)

    def logits(self, texts):
        return self.rows[: len(texts)].copy()


@pytest.fixture
def predictor():
    p = np.array([[0.1, 0.35, 0.3, 0.2, 0.05], [0.05, 0.05, 0.05, 0.05, 0.8]], dtype=np.float32)
    return Given(np.log(p), np.array([0, 0, 1, 1]))


def test_leaves_come_best_first_with_their_probabilities(predictor):
    prediction = predictor.predict(["a"], k=2)[0]
    assert prediction.leaves == (1, 2)
    assert prediction.probabilities == pytest.approx((0.35, 0.3))


def test_a_class_is_the_sum_of_its_leaves(predictor):
    prediction = predictor.predict(["a"])[0]
    assert prediction.class_row == 1  # 0.3 + 0.2 beats 0.1 + 0.35 though leaf 1 is the best
    assert prediction.class_probability == pytest.approx(0.5)


def test_the_set_holds_the_leaves_the_rule_lets_in(predictor):
    asked = replace(predictor, set_rule=SetRule(ratios=(0.8,)))
    assert asked.predict(["a"])[0].leaf_set == (1, 2)


def test_no_matter_takes_its_share(predictor):
    assert predictor.probabilities(["a", "b"]).sum(axis=1) == pytest.approx([0.95, 0.2])


@given(arrays(np.float32, (3, 5), elements=st.floats(-50, 50, width=32)))
def test_softmax_rows_are_distributions(logits):
    p = softmax(logits.copy())
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    best = np.take_along_axis(p, logits.argmax(axis=1, keepdims=True), axis=1)[:, 0]
    np.testing.assert_array_equal(best, p.max(axis=1))


def plainly(gains: list[float], most: int) -> tuple[tuple[int, int], ...]:
    """The runs of one text as the docstring has it, character by character."""
    positive = [g for g in gains if g > 0]
    mean = sum(positive) / len(positive) if positive else 0.0
    runs, start = [], None
    for i, gain in enumerate([*gains, -1.0]):
        if gain > mean:
            start = i if start is None else start
        elif start is not None:
            if i - start >= 2:
                runs.append((start, i))
            start = None
    runs.sort(key=lambda run: -sum(gains[run[0] : run[1]]))
    return tuple(sorted(runs[:most]))


gains = st.lists(st.integers(-3, 9).map(float), max_size=30)


@given(st.lists(gains, min_size=1, max_size=5))
def test_strongest_spans_of_joined_texts_are_those_of_each(texts):
    joined = np.array([g for text in texts for g in (*text, 0.0)])
    offsets = np.cumsum([0, *(len(text) + 1 for text in texts)])
    found = strongest_spans(joined, offsets, most=30)
    assert found == [plainly(text, 30) for text in texts]


def test_only_the_strongest_spans_are_kept_and_stand_in_order():
    gains = np.array([5, 5, 0, 9, 9, 0, 4, 4, 0, 8, 8, 0], dtype=float)
    assert strongest_spans(gains, np.array([0, len(gains)]), most=2) == [((3, 5), (9, 11))]
