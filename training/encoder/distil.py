"""Teach the fast classifier what an encoder knows, on texts nobody labelled.

The teacher's whole distribution is learned, not its best guess: that two leaves are close is what
the student cannot see in a label (Hinton et al. 2015). Labelled texts keep their labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from jiesu_nlp.classify.classifier import Classifier
from jiesu_nlp.classify.features import Csr, Floats, Ints
from jiesu_nlp.classify.predictor import LeafPredictor
from jiesu_nlp.errors import DataError
from training.low_rank import Recipe, fit

_PORTION = 512


def teacher_targets(
    teacher: LeafPredictor,
    texts: Sequence[str],
    *,
    most: int = 20,
    report: Callable[[float], None] = lambda done: None,
) -> Csr:
    """Return the teacher's distribution per text, its ``most`` best rows scaled to sum to one.

    The shape is ``(len(texts), leaves + 1)``; the last column is *no matter*.
    """
    leaves = len(teacher.class_of)
    width = min(most, leaves + 1)
    columns, values = [], []
    for start in range(0, len(texts), _PORTION):
        p = teacher.probabilities(texts[start : start + _PORTION])
        whole = np.column_stack([p, np.maximum(1 - p.sum(axis=1), 0)])
        best = np.sort(np.argpartition(-whole, width - 1, axis=1)[:, :width], axis=1)
        top = np.take_along_axis(whole, best, axis=1)
        columns.append(best)
        values.append(top / top.sum(axis=1, keepdims=True))
        report(min(start + _PORTION, len(texts)) / len(texts))
    starts = np.arange(0, (len(texts) + 1) * width, width)
    return sparse.csr_matrix(
        (
            np.concatenate(values).ravel().astype(np.float32),
            np.concatenate(columns).ravel(),
            starts,
        ),
        shape=(len(texts), leaves + 1),
    )


def distil(
    teacher: LeafPredictor,
    labelled: tuple[Sequence[str], Ints],
    unlabelled: Sequence[str],
    *,
    weights: Floats | None = None,
    unlabelled_weight: float = 1.0,
    recipe: Recipe = Recipe(),
    report: Callable[[float], None] = lambda done: None,
) -> Classifier:
    """Fit the fast classifier on labelled texts and on what the teacher says of unlabelled ones.

    Parameters
    ----------
    teacher
        A calibrated classifier of the same leaves; its temperature is that of the targets.
    labelled
        Texts and leaf rows, normalised as tickets are.
    unlabelled
        Normalised texts; near-duplicates of test tickets must not be among them.
    weights
        How much each labelled text counts; one if ``None``.
    unlabelled_weight
        How much an unlabelled text counts beside a labelled one of weight one.

    Raises
    ------
    DataError
        If there is no unlabelled text.
    """
    texts, rows = labelled
    if not unlabelled:
        raise DataError("蒸馏需要未标注的诉求文本", remedy="给出一批历史诉求（只要文本）")
    soft = teacher_targets(teacher, unlabelled, report=lambda done: report(0.5 * done))
    outputs = len(teacher.class_of) + 1
    hard = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (np.arange(len(rows)), rows)),
        shape=(len(rows), outputs),
    )
    guess: NDArray[Any] = np.asarray(soft.argmax(axis=1)).ravel().astype(np.int64)
    own: Floats = np.ones(len(rows), np.float32) if weights is None else weights
    theirs: Floats = np.full(len(guess), unlabelled_weight, np.float32)
    return fit(
        [*texts, *unlabelled],
        np.concatenate([rows, guess]),
        teacher.class_of,
        weights=np.concatenate([own, theirs]),
        soft=sparse.csr_matrix(sparse.vstack([hard, soft], format="csr")),
        recipe=recipe,
        report=lambda done: report(0.5 + 0.5 * done),
    )
