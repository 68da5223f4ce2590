from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jiesu_nlp.classify.features import build_vocabulary, ngram_hashes, ngrams_of

TEXTS = ["小区停水两天了", "路灯不亮，晚上看不见", "停水了，没人管", "楼上漏水把墙泡了"]


@pytest.fixture(scope="module")
def vocabulary():
    return build_vocabulary(TEXTS, np.array([0, 1, 0, 1]), 2, min_texts=1)


def hashes(text: str) -> set[int]:
    return set(ngram_hashes(text)[0].tolist())


def test_ngrams_do_not_cross_punctuation():
    joined = hashes("停水")
    apart = hashes("停，水")
    assert apart < joined
    assert len(joined - apart) == 1


def test_all_digits_are_one_symbol_and_latin_has_no_case():
    assert hashes("3号楼") == hashes("7号楼")
    assert hashes("KTV") == hashes("ktv")


def test_starts_and_lengths_point_at_the_ngram():
    text = "停水, 两天"
    found, starts, lengths = ngram_hashes(text)
    for h, start, length in zip(found, starts, lengths, strict=True):
        assert hashes(text[start : start + length]) >= {int(h)}


@given(st.lists(st.text(max_size=20), min_size=1, max_size=6))
def test_many_texts_at_once_hash_as_each_alone(texts):
    ngrams = ngrams_of(texts)
    for i, text in enumerate(texts):
        own = ngrams.text_of == i
        together = zip(
            ngrams.hashes[own].tolist(),
            (ngrams.starts[own] - ngrams.offsets[i]).tolist(),
            ngrams.lengths[own].tolist(),
            strict=True,
        )
        alone = zip(*(part.tolist() for part in ngram_hashes(text)), strict=True)
        assert sorted(together) == sorted(alone)


def test_a_row_does_not_depend_on_its_neighbours(vocabulary):
    together = vocabulary.rows(TEXTS).toarray()
    alone = np.vstack([vocabulary.rows([text]).toarray() for text in TEXTS])
    np.testing.assert_allclose(together, alone, rtol=1e-6)


@pytest.mark.parametrize("text", [*TEXTS, "停水停水停水", "", "⻆⻆"])
def test_the_row_of_one_text_is_that_of_many(vocabulary, text):
    columns, values = vocabulary.row(text)
    dense = np.zeros(len(vocabulary))
    dense[columns] = values
    np.testing.assert_allclose(dense, vocabulary.rows([text]).toarray()[0], rtol=1e-6)


def test_rows_have_unit_length_and_unknown_text_an_empty_one(vocabulary):
    norms = np.linalg.norm(vocabulary.rows([*TEXTS, "", "⻆⻆"]).toarray(), axis=1)
    np.testing.assert_allclose(norms, [1, 1, 1, 1, 0, 0], atol=1e-6)


def test_rarer_ngrams_weigh_more(vocabulary):
    column = dict(zip(vocabulary.hashes.tolist(), vocabulary.weights.tolist(), strict=True))
    (in_both_leaves,) = hashes("水")
    (in_one,) = hashes("灯")
    assert column[in_both_leaves] < column[in_one]


def test_rare_ngrams_are_no_vocabulary():
    vocabulary = build_vocabulary(TEXTS, np.array([0, 1, 0, 1]), 2, min_texts=2)
    known = set(vocabulary.hashes.tolist())
    assert hashes("停水") <= known
    assert not hashes("灯") & known
