from __future__ import annotations

import json

import numpy as np
import pytest

from jiesu_nlp.classify.conformal import SetRule

BEST = np.array([[0.5, 0.3, 0.1, 0.05], [0.1, 0.09, 0.05, 0.03]], dtype=np.float32)


def test_a_leaf_is_in_if_likely_enough_beside_the_best_one():
    assert SetRule(ratios=(0.2,)).sizes(BEST).tolist() == [3, 4]
    assert SetRule(ratios=(0.55,)).sizes(BEST).tolist() == [2, 2]


def test_no_set_is_empty_nor_larger_than_it_may_be():
    assert SetRule(ratios=(1.01,)).sizes(BEST).tolist() == [1, 1]
    assert SetRule(ratios=(0.0,), largest=3).sizes(BEST).tolist() == [3, 3]


def test_each_band_has_a_ratio_of_its_own():
    rule = SetRule(bounds=(0.2, 0.5), ratios=(0.4, 0.1, 1.0))
    # The second text is in the first band, the first one at the beginning of the last.
    assert rule.sizes(BEST).tolist() == [1, 3]


def test_it_comes_back_from_json():
    rule = SetRule((0.25,), (0.1, 0.9), 0.9, 7)
    assert SetRule.from_json(json.loads(json.dumps(rule.to_json()))) == rule


@pytest.mark.parametrize(
    ("bounds", "ratios"), [((0.5,), (0.1,)), ((), (0.1, 0.2)), ((0.5, 0.2), (0.1, 0.2, 0.3))]
)
def test_bands_that_do_not_fit_are_refused(bounds, ratios):
    with pytest.raises(ValueError, match="bands"):
        SetRule(bounds, ratios)
