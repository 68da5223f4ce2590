"""From logits to predictions: what every classifier shares, whatever makes its logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.classify.conformal import SetRule
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.suggestion import Span


# Not frozen: each ticket makes one, and frozen it would cost six times as much.
@dataclass(slots=True)
class Prediction:
    """What the classifier says of one text.

    ``leaves`` and ``probabilities`` are the best rows of the catalogue, best first;
    ``leaf_set`` is the conformal set. A class's probability is the sum over its leaves.
    """

    leaves: tuple[int, ...]
    probabilities: tuple[float, ...]
    class_row: int
    class_probability: float
    leaf_set: tuple[int, ...]


class LeafPredictor:
    """A classifier over the leaves and *no matter*.

    Subclasses are frozen dataclasses with the fields below and give :meth:`logits`,
    :meth:`evidence`, :meth:`tempered` and :meth:`to_files`.

    Attributes
    ----------
    class_of
        Row of the level-1 class of each leaf, non-decreasing, shape ``(leaves,)``.
    set_rule
        Which leaves are in the conformal set.
    """

    class_of: Ints
    set_rule: SetRule

    @cached_property
    def _class_starts(self) -> Ints:
        """First leaf row of each class; leaves of a class stand together."""
        return np.searchsorted(self.class_of, np.arange(int(self.class_of.max()) + 1))

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return logits, shape ``(len(texts), leaves + 1)``; the last column is *no matter*."""
        raise NotImplementedError

    def evidence(
        self, texts: Sequence[str], leaves: Sequence[int], *, most: int = 5
    ) -> list[tuple[Span, ...]]:
        """Return the spans of each text that spoke most for its leaf.

        Spans are half-open, in order and do not touch; at most ``most`` of each text.
        """
        raise NotImplementedError

    def tempered(self, temperature: float) -> LeafPredictor:
        """Return the same classifier with its logits divided by ``temperature``."""
        raise NotImplementedError

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle."""
        raise NotImplementedError

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return leaf probabilities, shape ``(len(texts), leaves)``.

        Each row sums to at most one; the rest is the probability of *no matter*.
        """
        return self.leaf_probabilities(self.logits(texts))

    def leaf_probabilities(self, logits: Floats) -> Floats:
        """Turn logits (overwritten) into leaf probabilities."""
        return softmax(logits)[:, : len(self.class_of)]

    def predict(self, texts: Sequence[str], *, k: int = 5) -> list[Prediction]:
        """Return the ``k`` best leaves, the best class and the conformal set of each text."""
        p = self.probabilities(texts)
        width = min(max(k, self.set_rule.largest), p.shape[1])
        best = np.argpartition(-p, width - 1, axis=1)[:, :width]
        order = np.argsort(-np.take_along_axis(p, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        top = np.take_along_axis(p, best, axis=1)
        in_set = self.set_rule.sizes(top)
        class_p = self.class_probabilities(p)
        class_row = class_p.argmax(axis=1)
        return [
            Prediction(
                leaves=tuple(best[i, :k].tolist()),
                probabilities=tuple(top[i, :k].tolist()),
                class_row=int(class_row[i]),
                class_probability=float(class_p[i, class_row[i]]),
                leaf_set=tuple(best[i, : in_set[i]].tolist()),
            )
            for i in range(len(texts))
        ]

    def class_probabilities(self, leaf_probabilities: Floats) -> Floats:
        """Sum leaf probabilities per level-1 class, shape ``(n, classes)``."""
        return np.add.reduceat(leaf_probabilities, self._class_starts, axis=1)


def softmax(logits: Floats) -> Floats:
    """Return row-wise softmax; ``logits`` is overwritten."""
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def strongest_spans(
    per_char: NDArray[Any], offsets: Ints, *, most: int, shortest: int = 2
) -> list[tuple[Span, ...]]:
    """Return the runs of characters with the greatest gain of each of several joined texts.

    A character belongs to a run if its gain is above the mean of the positive ones of its text.

    Parameters
    ----------
    per_char
        Gain of each character of the texts joined by one character without gain.
    offsets
        Where each text begins in it, and the end, shape ``(texts + 1,)``.
    most, shortest
        At most so many runs of a text, of at least so many characters.
    """
    gains = np.maximum(per_char, 0)
    texts = len(offsets) - 1
    positive = np.add.reduceat(gains > 0, offsets[:-1], dtype=np.int64)
    means = np.add.reduceat(gains, offsets[:-1]) / np.maximum(positive, 1)
    marked = np.zeros(len(gains) + 1, dtype=np.int8)
    marked[1:] = gains > np.repeat(means, np.diff(offsets))
    edges = np.flatnonzero(np.diff(marked)).reshape(-1, 2)
    edges = edges[edges[:, 1] - edges[:, 0] >= shortest]
    sums = np.append(0, np.cumsum(gains))
    strength = (sums[edges[:, 1]] - sums[edges[:, 0]]).tolist()
    bounds = np.searchsorted(edges[:, 0], offsets).tolist()
    runs = edges.tolist()
    found: list[tuple[Span, ...]] = []
    for i, offset in zip(range(texts), offsets.tolist(), strict=False):
        own = list(range(bounds[i], bounds[i + 1]))
        if len(own) > most:
            own = sorted(sorted(own, key=strength.__getitem__, reverse=True)[:most])
        found.append(tuple((runs[j][0] - offset, runs[j][1] - offset) for j in own))
    return found
