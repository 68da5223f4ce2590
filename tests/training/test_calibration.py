"""Calibration on invented scores: what is fitted, and on which texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from jiesu_nlp.classify.features import Ints
from jiesu_nlp.classify.predictor import LeafPredictor
from training.calibration import Unseen, UnseenByLength, calibrate, conformal_threshold

CLASS_OF = np.array([0, 0, 1, 1])


@dataclass(frozen=True)
class Fitted(LeafPredictor):
    """Only what calibration asks of a classifier."""

    class_of: Ints
    set_threshold: float = 0.5
    coverage: float = 0.5
    largest_set: int = 4


def scored(rng, n, *, right):
    """Texts whose best leaf has the probability 0.7 and is right in a share ``right`` of them."""
    best = rng.integers(0, 4, n)
    p = np.full((n, 4), 0.1, np.float32)
    p[np.arange(n), best] = 0.7
    truth = np.where(rng.random(n) < right, best, (best + 1) % 4)
    units = [("物业",) if t < 2 else ("街道",) for t in truth]
    return Unseen(p, [np.array([t]) for t in truth], units, np.full(n, 1 / n, np.float32))


def unit_mass(p):
    best = p.argmax(axis=1)
    return p.max(axis=1), ["物业" if b < 2 else "街道" for b in best]


def test_calls_of_a_few_words_have_tables_of_their_own_and_the_same_thresholds():
    rng = np.random.default_rng(0)
    unseen = UnseenByLength(scored(rng, 2000, right=0.9), scored(rng, 2000, right=0.6))
    _, calibration = calibrate(Fitted(CLASS_OF), unseen, unit_mass)
    assert calibration.of("早上又停水了，物业没人接电话，盼尽快来人").leaf(0.7) == pytest.approx(
        0.9, abs=0.06
    )
    brief = calibration.of("停水了")
    assert brief.leaf(0.7) == pytest.approx(0.6, abs=0.06)
    assert brief.unit(0.7) < calibration.unit(0.7)
    assert (brief.auto_at, brief.suggest_at) == (calibration.auto_at, calibration.suggest_at)


def test_without_enough_of_them_one_table_serves_all_lengths():
    rng = np.random.default_rng(1)
    unseen = UnseenByLength(scored(rng, 500, right=0.8), None)
    _, calibration = calibrate(Fitted(CLASS_OF), unseen, unit_mass)
    assert calibration.of("停水了") is calibration


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_right_leaf_as_often_as_stated(coverage):
    rng = np.random.default_rng(2)

    def draw(n):
        p = rng.dirichlet(np.full(30, 0.1), n).astype(np.float32)
        truth = (p.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).clip(max=29)
        return Unseen(p, [np.array([t]) for t in truth], [()] * n, np.full(n, 1 / n))

    classifier = Fitted(
        np.zeros(30, int), conformal_threshold(draw(4000), coverage), coverage, largest_set=30
    )
    fresh = draw(4000)
    best = np.sort(fresh.probabilities, axis=1)[:, ::-1]
    ranks = [
        int((p > p[r[0]]).sum()) for p, r in zip(fresh.probabilities, fresh.right, strict=True)
    ]
    assert np.mean(ranks < classifier.set_sizes(best)) == pytest.approx(coverage, abs=0.02)


def test_the_same_probability_is_worth_more_where_nothing_is_likely():
    classifier = Fitted(CLASS_OF, set_threshold=0.2)
    sizes = classifier.set_sizes(np.array([[0.8, 0.15, 0.0, 0.0], [0.25, 0.15, 0.1, 0.01]]))
    assert sizes.tolist() == [1, 3]
