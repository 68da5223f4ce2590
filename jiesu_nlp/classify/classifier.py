"""Calibrated probabilities over the leaves, and the words that decided.

Two views of the same n-grams are added up:

* *matter*: a learned low-rank embedding, cosine to a learned vector per leaf; it knows which
  n-grams mean the same and which do not matter;
* *wording*: cosine to the plain centroid of the leaf's texts; it keeps the rare telling words
  that a low rank blurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from jiesu_nlp.bundle import Bundle, json_bytes, tensor_bytes
from jiesu_nlp.classify.features import Csr, Floats, Ints, Vocabulary

TENSORS = "classifier.safetensors"
SETTINGS = "classifier.json"
KIND = "matter+wording"


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
    """Leaf probabilities from n-grams.

    One row more than there are leaves stands for *no matter*: greetings, small talk, gibberish.
    Its probability is what the leaves' probabilities lack to one: an honest "I don't know".

    Attributes
    ----------
    vocabulary
        Known n-grams, ``V`` columns.
    embedding
        Matter vector of each n-gram, shape ``(V, rank)``.
    leaf_vectors
        Unit matter vector of each leaf and of *no matter*, shape ``(leaves + 1, rank)``.
    bias
        Bias of each of them, shape ``(leaves + 1,)``.
    centroids
        Wording: unit centroid of each of them, shape ``(V, leaves + 1)``.
    class_of
        Row of the level-1 class of each leaf, shape ``(leaves,)``.
    matter_scale, wording_scale
        Weights of the two cosines in the logit; they include the temperature.
    set_threshold
        A leaf is in the conformal set if its probability is at least this.
    coverage
        Stated coverage of the set.
    largest_set
        No conformal set has more leaves than this.
    """

    vocabulary: Vocabulary
    embedding: Floats
    leaf_vectors: Floats
    bias: Floats
    centroids: Csr
    class_of: Ints
    matter_scale: float
    wording_scale: float
    set_threshold: float = 0.01
    coverage: float = 0.95
    largest_set: int = 20

    @cached_property
    def _class_starts(self) -> Ints:
        """First leaf row of each class; leaves of a class stand together."""
        return np.searchsorted(self.class_of, np.arange(int(self.class_of.max()) + 1))

    @cached_property
    def _by_leaf(self) -> Any:
        """Hold the centroids leaf by leaf, columns sorted, for :meth:`evidence`."""
        by_leaf = self.centroids.tocsc()
        by_leaf.sort_indices()
        return by_leaf

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return logits, shape ``(len(texts), leaves + 1)``; the last column is *no matter*."""
        rows = self.vocabulary.rows(texts)
        hidden = rows @ self.embedding
        hidden /= np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-9)
        logits = hidden @ self.leaf_vectors.T
        logits *= np.float32(self.matter_scale)
        logits += self.bias
        wording = (rows @ self.centroids).toarray()
        wording *= np.float32(self.wording_scale)
        logits += wording
        return np.asarray(logits, dtype=np.float32)

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
        width = min(max(k, self.largest_set), p.shape[1])
        best = np.argpartition(-p, width - 1, axis=1)[:, :width]
        order = np.argsort(-np.take_along_axis(p, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        top = np.take_along_axis(p, best, axis=1)
        in_set = np.maximum((top >= self.set_threshold).sum(axis=1), 1)
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

    def evidence(self, text: str, leaf: int, *, most: int = 5) -> tuple[tuple[int, int], ...]:
        """Return spans of ``text`` that spoke most for a leaf.

        Spans are half-open, in order and do not touch.
        """
        columns, starts, lengths = self.vocabulary.columns(text)
        if not len(columns):
            return ()
        weights = self.vocabulary.weights[columns]
        vectors = self.embedding[columns]
        scale = float(np.linalg.norm(weights @ vectors)) or 1.0
        gain = (vectors @ self.leaf_vectors[leaf]) * (self.matter_scale / scale)
        by_leaf = self._by_leaf
        of_leaf = slice(by_leaf.indptr[leaf], by_leaf.indptr[leaf + 1])
        terms, values = by_leaf.indices[of_leaf], by_leaf.data[of_leaf]
        if len(terms):
            at = np.minimum(np.searchsorted(terms, columns), len(terms) - 1)
            norm = float(np.linalg.norm(weights)) or 1.0
            gain += np.where(terms[at] == columns, values[at], 0) * (self.wording_scale / norm)
        gain *= weights / lengths
        pairs = lengths == 2
        per_char = np.bincount(starts, weights=gain, minlength=len(text))
        per_char += np.bincount(starts[pairs] + 1, weights=gain[pairs], minlength=len(text))
        return strongest_spans(per_char.astype(np.float32), most=most)

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle; the embedding is stored as 8-bit rows with a scale."""
        scale = np.abs(self.embedding).max(axis=1) / 127
        settings = {
            "kind": KIND,
            "matter_scale": self.matter_scale,
            "wording_scale": self.wording_scale,
            "set_threshold": self.set_threshold,
            "coverage": self.coverage,
            "largest_set": self.largest_set,
        }
        tensors: dict[str, NDArray[Any]] = {
            "hashes": self.vocabulary.hashes,
            "weights": self.vocabulary.weights,
            "embedding": np.rint(self.embedding / np.maximum(scale, 1e-12)[:, None]).astype(
                np.int8
            ),
            "embedding_scale": scale.astype(np.float32),
            "leaf_vectors": self.leaf_vectors.astype(np.float16),
            "bias": self.bias.astype(np.float32),
            "centroid_starts": self.centroids.indptr.astype(np.int32),
            "centroid_leaves": self.centroids.indices.astype(np.int16),
            "centroid_values": self.centroids.data.astype(np.float16),
            "class_of": self.class_of.astype(np.int16),
        }
        return {SETTINGS: json_bytes(settings), TENSORS: tensor_bytes(tensors)}

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Classifier:
        """Load from a bundle."""
        s = bundle.read_json(SETTINGS)
        t = bundle.read_tensors(TENSORS)
        vocabulary = Vocabulary(t["hashes"], t["weights"])
        return cls(
            vocabulary=vocabulary,
            embedding=t["embedding"].astype(np.float32) * t["embedding_scale"][:, None],
            leaf_vectors=t["leaf_vectors"].astype(np.float32),
            bias=t["bias"],
            centroids=sparse.csr_matrix(
                (
                    t["centroid_values"].astype(np.float32),
                    t["centroid_leaves"].astype(np.int32),
                    t["centroid_starts"],
                ),
                shape=(len(vocabulary), len(t["bias"])),
            ),
            class_of=t["class_of"].astype(np.int64),
            matter_scale=s["matter_scale"],
            wording_scale=s["wording_scale"],
            set_threshold=s["set_threshold"],
            coverage=s["coverage"],
            largest_set=s["largest_set"],
        )


def softmax(logits: Floats) -> Floats:
    """Return row-wise softmax; ``logits`` is overwritten."""
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def strongest_spans(
    per_char: Floats, *, most: int, shortest: int = 2
) -> tuple[tuple[int, int], ...]:
    """Return the runs of characters with the greatest gain.

    A character belongs to a run if its gain is above the mean of the positive ones.
    """
    positive = per_char[per_char > 0]
    if not len(positive):
        return ()
    marked = np.zeros(len(per_char) + 2, dtype=np.int8)
    marked[1:-1] = per_char > positive.mean()
    edges = np.flatnonzero(np.diff(marked))
    runs = [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= shortest]
    runs.sort(key=lambda run: -float(per_char[run[0] : run[1]].sum()))
    return tuple(sorted(runs[:most]))
