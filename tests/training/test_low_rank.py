"""The fitted classifier: what its two views are worth, and when one is left out."""

from __future__ import annotations

import random

import numpy as np
import pytest

from training.low_rank import Recipe, fit

WORDS = ("烧烤油烟", "垃圾清运", "暖气不热", "屋顶漏雨", "违法停车", "路灯不亮")
CLASS_OF = np.array([0, 0, 1, 1, 2, 2])


def fitted(per_leaf, **recipe):
    rng = random.Random(0)
    texts = [
        rng.choice(("楼下", "小区里", "昨天起")) + "".join(rng.sample(word, 3)) + word
        for word in WORDS
        for _ in range(per_leaf)
    ] + ["你好在吗", "谢谢再见"]
    leaf_of = np.repeat(np.arange(len(WORDS) + 1), [*[per_leaf] * len(WORDS), 2])
    return fit(texts, leaf_of, CLASS_OF, recipe=Recipe(min_texts=1, rank=8, **recipe))


@pytest.mark.parametrize(("per_leaf", "kept"), [(8, True), (19, True), (20, False), (40, False)])
def test_the_wording_is_kept_while_leaves_have_few_texts(per_leaf, kept):
    assert (fitted(per_leaf).centroids.nnz > 0) is kept


def test_the_wording_may_be_kept_always():
    assert fitted(40, wording_below=None).centroids.nnz > 0


@pytest.mark.parametrize("per_leaf", [8, 40])
def test_one_text_gets_what_it_gets_among_others_with_and_without_wording(per_leaf):
    classifier = fitted(per_leaf)
    texts = ["楼下烧烤油烟呛人", "路灯不亮三天了", "x", ""]
    together = classifier.logits(texts)
    for text, logits in zip(texts, together, strict=True):
        np.testing.assert_allclose(classifier.logits([text])[0], logits, atol=1e-4)


@pytest.mark.parametrize("per_leaf", [8, 40])
def test_evidence_is_found_with_and_without_wording(per_leaf):
    classifier = fitted(per_leaf)
    text = "您好，我家楼下烧烤油烟呛人"
    leaf = int(classifier.logits([text])[0][:-1].argmax())
    assert leaf == 0
    (spans,) = classifier.evidence([text], [leaf])
    assert any("烧烤" in text[a:b] or "油烟" in text[a:b] for a, b in spans)


def test_several_runs_are_averaged():
    """From one beginning, each in its own order: the mean, not the last."""
    singles = [fitted(8, runs=1, seed=seed) for seed in (5, 6, 7)]
    soup = fitted(8, runs=3, seed=5)
    np.testing.assert_allclose(
        soup.embedding, np.mean([c.embedding for c in singles], axis=0), atol=1e-5
    )
    np.testing.assert_allclose(soup.bias, np.mean([c.bias for c in singles], axis=0), atol=1e-5)
    assert not np.allclose(soup.embedding, singles[2].embedding, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(soup.leaf_vectors, axis=1), 1, atol=1e-5)
