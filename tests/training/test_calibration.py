"""Calibration on invented scores: what is fitted, and on which texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from jiesu_nlp.classify.conformal import SetRule
from jiesu_nlp.classify.features import Ints
from jiesu_nlp.classify.predictor import LeafPredictor
from training.calibration import (
    Unseen,
    UnseenByLength,
    calibrate,
    fit_set_rule,
    threshold_for,
    unseen_tickets,
)
from training.texts import class_rows
from training.tickets import LabelledTicket

CLASS_OF = np.array([0, 0, 1, 1])


@dataclass(frozen=True)
class Fitted(LeafPredictor):
    """Only what calibration asks of a classifier."""

    class_of: Ints
    set_rule: SetRule = SetRule()


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


def test_texts_of_the_same_confidence_stand_or_fall_together():
    scores = np.array([0.99] * 200 + [0.9] * 400)
    right = np.concatenate([np.ones(200), np.ones(200), np.zeros(200)])
    weights = np.full(600, 1 / 600)
    # Half of the texts at 0.9 are wrong, however they are ordered.
    for order in (slice(None), slice(None, None, -1)):
        at = threshold_for(scores[order], right[order], weights, 0.95)
        assert at == pytest.approx(0.99)
    assert threshold_for(scores, right, weights, 0.999) == 1.01


def test_a_label_may_give_the_name_of_a_unit_instead_of_its_class(knowledge):
    class Indifferent(Fitted):
        def logits(self, texts):
            return np.zeros((len(texts), len(knowledge.catalogue) + 1), np.float32)

    code = knowledge.catalogue.codes[0]
    tickets = [
        LabelledTicket("路灯不亮", (code,), ("朝阳区望京街道办事处", "望京街道", "城市管理")),
        LabelledTicket("路灯不亮", (code,)),
    ]
    classifier = Indifferent(class_rows(knowledge.catalogue))
    unseen = unseen_tickets(classifier, knowledge, tickets).usual
    assert unseen.units == [
        ("街道乡镇", "街道乡镇", "城市管理"),
        (knowledge.catalogue.leaves[0].unit,),
    ]


def drawn(rng, n, *, spread):
    """Texts whose probabilities are true; the smaller ``spread``, the clearer the texts."""
    p = rng.dirichlet(np.full(30, spread), n).astype(np.float32)
    truth = (p.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).clip(max=29)
    return Unseen(p, [np.array([t]) for t in truth], [()] * n, np.full(n, 1 / n))


def covered(rule, unseen):
    """Whether the set of each text holds its right leaf."""
    best = np.sort(unseen.probabilities, axis=1)[:, ::-1]
    ranks = [
        int((p > p[r[0]]).sum()) for p, r in zip(unseen.probabilities, unseen.right, strict=True)
    ]
    return np.array(ranks) < rule.sizes(best)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_right_leaf_as_often_as_stated(coverage):
    rng = np.random.default_rng(2)
    rule = fit_set_rule(drawn(rng, 4000, spread=0.1), coverage)
    assert rule.coverage == coverage
    found = covered(rule, drawn(rng, 4000, spread=0.1))
    assert found.mean() == pytest.approx(coverage, abs=0.02)


def test_the_promise_holds_for_confused_texts_alone():
    rng = np.random.default_rng(3)

    def texts(n, confused):
        p = np.where(confused[:, None], [[0.28, 0.24, 0.2, 0.16, 0.12]], [[0.8, 0.1, 0, 0, 0]])
        ranks = np.where(confused, rng.integers(0, 5, n), 0)
        return Unseen(
            p.astype(np.float32), [np.array([r]) for r in ranks], [()] * n, np.full(n, 1 / n)
        )

    made_on = texts(4000, np.arange(4000) < 400)
    confused = texts(2000, np.ones(2000, bool))
    rule = fit_set_rule(made_on, 0.8)
    assert covered(rule, confused).mean() == pytest.approx(0.8, abs=0.03)
    # One ratio for all texts would keep its promise on the clear ones and break it here.
    first = made_on.probabilities.max(axis=1)
    right = np.array([p[r[0]] for p, r in zip(made_on.probabilities, made_on.right, strict=True)])
    one = SetRule(ratios=(float(np.quantile(right / first, 0.2)),))
    assert covered(one, made_on).mean() > 0.8
    assert covered(one, confused).mean() < 0.3


def test_few_texts_make_one_band_and_none_of_the_unreachable_is_promised():
    rng = np.random.default_rng(4)
    assert fit_set_rule(drawn(rng, 99, spread=0.1), 0.9).bounds == ()
    # Always the worst leaf of thirty: no set of twenty can hold it.
    p = np.sort(rng.dirichlet(np.full(30, 1.0), 50), axis=1)[:, ::-1].astype(np.float32)
    hopeless = Unseen(p, [np.array([29])] * 50, [()] * 50, np.full(50, 0.02))
    assert fit_set_rule(hopeless, 0.9).ratios == (0.0,)


def test_no_band_holds_a_handful_of_heavy_texts():
    rng = np.random.default_rng(5)
    few, many = drawn(rng, 60, spread=0.05), drawn(rng, 3000, spread=0.2)
    mixed = Unseen(
        np.concatenate([few.probabilities, many.probabilities]),
        [*few.right, *many.right],
        [()] * 3060,
        np.concatenate([np.full(60, 0.5 / 60), np.full(3000, 0.5 / 3000)]),
    )
    rule = fit_set_rule(mixed, 0.95)
    bands = np.searchsorted(rule.bounds, mixed.probabilities.max(axis=1), "right")
    assert np.bincount(bands).min() >= 100
    assert 0 < len(rule.bounds) < 7
