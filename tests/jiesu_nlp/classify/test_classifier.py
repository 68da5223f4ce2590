from __future__ import annotations

import numpy as np
import pytest

from jiesu_nlp.bundle import open_bundle, write_bundle
from jiesu_nlp.classify.classifier import Classifier

TEXTS = [
    "小区门口的路灯坏了半个月没人修",
    "楼上装修半夜砸墙,吵得老人睡不着",
    "公司拖欠三个月工资,老板电话不接",
    "",
]


@pytest.fixture(scope="module")
def classifier(dispatcher) -> Classifier:
    return dispatcher.classifier


def test_logits_do_not_depend_on_the_batch(classifier):
    alone = np.vstack([classifier.logits([text]) for text in TEXTS])
    np.testing.assert_allclose(classifier.logits(TEXTS), alone, atol=1e-3)


def test_evidence_does_not_depend_on_the_batch(classifier):
    leaves = [p.leaves[0] for p in classifier.predict(TEXTS)]
    together = classifier.evidence(TEXTS, leaves)
    assert together == [
        classifier.evidence([text], [leaf])[0] for text, leaf in zip(TEXTS, leaves, strict=True)
    ]


def test_evidence_is_where_the_matter_is(classifier):
    text = "您好,我想说一个事情麻烦您,小区门口的路灯坏了半个月没人修"
    (prediction,) = classifier.predict([text])
    (spans,) = classifier.evidence([text], [prediction.leaves[0]])
    assert any("路灯" in text[a:b] for a, b in spans)
    assert not any("麻烦" in text[a:b] for a, b in spans)


def test_evidence_depends_on_the_leaf(classifier):
    text = "路灯坏了半个月,公司还拖欠三个月工资"
    lamp = classifier.predict(["路灯坏了不亮"])[0].leaves[0]
    wages = classifier.predict(["公司拖欠工资"])[0].leaves[0]
    assert lamp != wages
    of_lamp, of_wages = classifier.evidence([text, text], [lamp, wages])
    comma = text.index(",")
    assert of_lamp[0][0] < comma < of_wages[-1][1]
    assert of_lamp != of_wages


def test_empty_text_has_no_evidence(classifier):
    assert classifier.evidence([""], [3]) == [()]


def test_a_higher_temperature_is_less_sure(classifier):
    plain, cooled = classifier.predict(TEXTS[:1])[0], classifier.tempered(3).predict(TEXTS[:1])[0]
    assert cooled.probabilities[0] < plain.probabilities[0]
    assert cooled.leaves[0] == plain.leaves[0]


def test_a_bundle_brings_the_classifier_back(classifier, dispatcher, tmp_path):
    write_bundle(
        tmp_path / "b",
        classifier.to_files(),
        versions={"model": "b", "catalogue": "c", "rules": "r", "places": "p"},
        parameters={},
        created_at="2026-01-01T00:00:00+00:00",
    )
    again = Classifier.from_bundle(open_bundle(tmp_path / "b"))
    np.testing.assert_allclose(again.logits(TEXTS), classifier.logits(TEXTS), atol=0.05)
