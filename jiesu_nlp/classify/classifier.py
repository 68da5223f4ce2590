"""Calibrated probabilities over the leaves, and the words that decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from jiesu_nlp.bundle import Bundle, json_bytes, tensor_bytes
from jiesu_nlp.classify.features import CharNgrams

TENSORS = "classifier.safetensors"
SETTINGS = "classifier.json"
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True)
class Classifier:
    """Cosine to leaf centroids over weighted n-grams, softmax with a temperature.

    Attributes
    ----------
    features
        The n-gram hashing.
    weights
        Weight of each feature, shape ``(size,)``.
    centroids
        Unit leaf vectors, shape ``(size, leaves)``.
    class_of
        Row of the level-1 class of each leaf, shape ``(leaves,)``.
    scale
        Inverse temperature of the softmax.
    set_threshold
        A leaf is in the conformal set if its probability is at least this.
    coverage
        Stated coverage of the set.
    """

    features: CharNgrams
    weights: Floats
    centroids: sparse.csr_matrix[Any]
    class_of: Ints
    scale: float
    set_threshold: float
    coverage: float
    max_set: int = 20

    def scores(self, texts: Sequence[str]) -> Floats:
        """Return cosine scores, shape ``(len(texts), leaves)``."""
        rows = self.features.matrix(texts)
        rows.data = (np.log(rows.data) + 1.0) * self.weights[rows.indices]
        norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
        scores = np.asarray((rows @ self.centroids).todense(), dtype=np.float32)
        scores /= np.maximum(norms, 1e-9)[:, None]
        return scores

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return leaf probabilities, shape ``(len(texts), leaves)``; each row sums to one."""
        logits = self.scores(texts) * np.float32(self.scale)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits

    def predict(self, texts: Sequence[str], *, k: int = 5) -> list[Prediction]:
        """Return the ``k`` best leaves, the best class and the conformal set of each text."""
        p = self.probabilities(texts)
        width = min(max(k, self.max_set), p.shape[1])
        best = np.argpartition(-p, width - 1, axis=1)[:, :width]
        order = np.argsort(-np.take_along_axis(p, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        top = np.take_along_axis(p, best, axis=1)
        class_p = np.zeros((len(texts), int(self.class_of.max()) + 1), dtype=np.float32)
        np.add.at(class_p.T, self.class_of, p.T)
        found = []
        for i in range(len(texts)):
            inside = int(np.count_nonzero(top[i] >= self.set_threshold))
            row = int(class_p[i].argmax())
            found.append(
                Prediction(
                    leaves=tuple(best[i, :k].tolist()),
                    probabilities=tuple(top[i, :k].tolist()),
                    class_row=row,
                    class_probability=float(class_p[i, row]),
                    leaf_set=tuple(best[i, : max(inside, 1)].tolist()),
                )
            )
        return found

    def evidence(self, text: str, leaf: int, *, most: int = 5) -> tuple[tuple[int, int], ...]:
        """Return spans of ``text`` that spoke most for a leaf against the average leaf.

        Spans are half-open, in order and do not touch.
        """
        ids, starts, lengths = self.features.ids(text)
        if not len(ids):
            return ()
        column = np.asarray(self.centroids[ids, leaf].todense()).ravel()
        gain = column * self.weights[ids]
        per_char = np.zeros(len(text) + 1, dtype=np.float32)
        for n in range(1, self.features.longest + 1):
            of_size = lengths == n
            for offset in range(n):
                np.add.at(per_char, starts[of_size] + offset, gain[of_size] / n)
        return strongest_spans(per_char[:-1], most=most)

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle."""
        settings = {
            "kind": "centroid",
            "longest": self.features.longest,
            "bits": self.features.bits,
            "scale": self.scale,
            "set_threshold": self.set_threshold,
            "coverage": self.coverage,
        }
        tensors = {
            "weights": self.weights,
            "indptr": self.centroids.indptr.astype(np.int64),
            "indices": self.centroids.indices.astype(np.int32),
            "data": self.centroids.data.astype(np.float16),
            "class_of": self.class_of,
        }
        return {SETTINGS: json_bytes(settings), TENSORS: tensor_bytes(tensors)}

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Classifier:
        """Load from a bundle."""
        settings = bundle.read_json(SETTINGS)
        tensors = bundle.read_tensors(TENSORS)
        features = CharNgrams(settings["longest"], settings["bits"])
        leaves = len(tensors["class_of"])
        centroids = sparse.csr_matrix(
            (tensors["data"].astype(np.float32), tensors["indices"], tensors["indptr"]),
            shape=(features.size, leaves),
        )
        return cls(
            features=features,
            weights=tensors["weights"],
            centroids=centroids,
            class_of=tensors["class_of"],
            scale=settings["scale"],
            set_threshold=settings["set_threshold"],
            coverage=settings["coverage"],
        )


def strongest_spans(
    per_char: Floats, *, most: int, shortest: int = 2
) -> tuple[tuple[int, int], ...]:
    """Return the runs of characters with the greatest gain.

    A character belongs to a run if its gain is above the mean of the positive ones.
    """
    positive = per_char[per_char > 0]
    if not len(positive):
        return ()
    marked = per_char > positive.mean()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], marked, [False])).astype(np.int8)))
    runs = [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= shortest]
    runs.sort(key=lambda run: -float(per_char[run[0] : run[1]].sum()))
    return tuple(sorted(runs[:most]))
