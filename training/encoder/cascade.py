"""From which confidence the fast classifier may answer alone: read off held-out texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from jiesu_nlp.classify.cascade import Cascade
from jiesu_nlp.classify.features import Ints
from jiesu_nlp.classify.predictor import LeafPredictor
from jiesu_nlp.errors import DataError

_POINTS = 101


@dataclass(frozen=True, slots=True)
class CascadePoint:
    """What a threshold gives: the share of texts the encoder is asked about, and leaf top-1."""

    threshold: float
    asked: float
    top1: float

    def to_json(self) -> dict[str, float]:
        """Return plain values."""
        return asdict(self)


def cascade_curve(
    fast: LeafPredictor, strong: LeafPredictor, texts: Sequence[str], leaf_of: Ints
) -> list[CascadePoint]:
    """Return the accuracy for every share of texts given to the encoder, from none to all."""
    p = fast.probabilities(texts)
    sure = p.max(axis=1)
    fast_right = p.argmax(axis=1) == leaf_of
    strong_right = strong.probabilities(texts).argmax(axis=1) == leaf_of
    curve = []
    for threshold in [*np.unique(np.quantile(sure, np.linspace(0, 1, _POINTS))).tolist(), 1.01]:
        asked = sure < threshold
        right = np.where(asked, strong_right, fast_right)
        curve.append(CascadePoint(float(threshold), float(asked.mean()), float(right.mean())))
    return curve


def fit_cascade(
    fast: LeafPredictor,
    strong: LeafPredictor,
    texts: Sequence[str],
    leaf_of: Ints,
    *,
    most_asked: float = 0.3,
    tolerance: float = 0.002,
) -> tuple[Cascade, CascadePoint, list[CascadePoint]]:
    """Join two classifiers; return the cascade, its point on the curve, and the curve.

    The least share is taken whose top-1 is within ``tolerance`` of the best that ``most_asked``
    allows: the encoder costs many times what the fast one does.

    Parameters
    ----------
    texts, leaf_of
        Held-out texts with a leaf, normalised, that neither classifier was trained on.
    most_asked
        Greatest share of texts the encoder may be asked about.
    """
    if not len(texts):
        raise DataError("确定级联阈值需要留出的标注工单")
    curve = cascade_curve(fast, strong, texts, leaf_of)
    allowed = [point for point in curve if point.asked <= most_asked]
    best = max(point.top1 for point in allowed)
    chosen = next(point for point in allowed if point.top1 >= best - tolerance)
    return Cascade(fast, strong, chosen.threshold), chosen, curve
