"""Out-of-fold predictions on the catalogue's own ``says``.

Folds are blocks of neighbouring lines of each leaf. Lines of one author stand together, so a fold
is mostly judged by a model that never saw that author's hand: harder, and more honest, than
random folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.errors import DataError
from jiesu_nlp.text.normalise import normalise
from training.low_rank import Recipe, fit
from training.texts import beside_says, class_rows, no_matter_texts

Report = Callable[[float], None]


@dataclass(frozen=True)
class HeldOut:
    """Held-out texts of one fold with their true leaf and the leaf probabilities they got."""

    texts: list[str]
    leaf_of: Ints
    probabilities: Floats


def held_out_fold(
    catalogue: Catalogue, fold: int, *, folds: int = 4, recipe: Recipe = Recipe()
) -> HeldOut:
    """Train without one fold of the ``says`` and score that fold.

    Parameters
    ----------
    catalogue
        With ``says``.
    fold, folds
        Which of how many folds; fold ``f`` of a leaf is its ``(f + row) % folds``-th block of
        lines, so that every fold holds all authors.
    recipe
        Hyper-parameters.

    Raises
    ------
    DataError
        If no leaf has ``says``.
    """
    if not any(leaf.says for leaf in catalogue.leaves):
        raise DataError(
            f"目录“{catalogue.title}”没有一条例句，无法交叉验证",
            remedy="先给细项写例句（says），见 taxonomy/README.md",
        )
    train: list[tuple[str, int]] = []
    test: list[tuple[str, int]] = []
    for row, (leaf, others) in enumerate(
        zip(catalogue.leaves, beside_says(catalogue), strict=True)
    ):
        train += [(normalise(t).text, row) for t in others]
        out = (fold + row) % folds
        for i, say in enumerate(leaf.says):
            block = i * folds // len(leaf.says)
            (test if block == out else train).append((normalise(say).text, row))
    if not test:
        # Of few says a fold may hold none.
        return HeldOut([], np.zeros(0, np.int64), np.zeros((0, len(catalogue)), np.float32))
    train += [(text, len(catalogue)) for text in no_matter_texts()]
    classifier = fit(
        [t for t, _ in train],
        np.array([row for _, row in train], dtype=np.int64),
        class_rows(catalogue),
        recipe=recipe,
    )
    texts = [t for t, _ in test]
    probabilities = np.concatenate(
        [classifier.probabilities(texts[i : i + 512]) for i in range(0, len(texts), 512)]
    )
    return HeldOut(texts, np.array([row for _, row in test], dtype=np.int64), probabilities)


def held_out_folds(
    catalogue: Catalogue,
    *,
    folds: int = 4,
    recipe: Recipe = Recipe(),
    report: Report = lambda done: None,
) -> Iterator[HeldOut]:
    """Yield every fold in turn; ``report`` is called with the share done."""
    for fold in range(folds):
        yield held_out_fold(catalogue, fold, folds=folds, recipe=recipe)
        report((fold + 1) / folds)
