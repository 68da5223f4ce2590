"""Calibrated probabilities over the leaves, and the words that decided.

Two views of the same n-grams are added up:

* *matter*: a learned low-rank embedding, cosine to a learned vector per leaf; it knows which
  n-grams mean the same and which do not matter;
* *wording*: cosine to the plain centroid of the leaf's texts; it keeps the rare telling words
  that a low rank blurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from jiesu_nlp.bundle import Bundle, json_bytes, tensor_bytes
from jiesu_nlp.classify.conformal import SetRule
from jiesu_nlp.classify.features import LONGEST, Csr, Floats, Ints, Vocabulary, ngrams_of
from jiesu_nlp.classify.predictor import LeafPredictor, Prediction, softmax, strongest_spans
from jiesu_nlp.suggestion import Span

TENSORS = "classifier.safetensors"
SETTINGS = "classifier.json"
KIND = "matter+wording"

__all__ = ["Classifier", "Prediction", "softmax"]


@dataclass(frozen=True)
class Classifier(LeafPredictor):
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
        Wording: unit centroid of each of them, shape ``(V, leaves + 1)``; empty where the leaves
        have texts enough without it.
    class_of
        Row of the level-1 class of each leaf, shape ``(leaves,)``.
    matter_scale, wording_scale
        Weights of the two cosines in the logit; they include the temperature.
    set_rule
        Which leaves are in the conformal set.
    """

    vocabulary: Vocabulary
    embedding: Floats
    leaf_vectors: Floats
    bias: Floats
    centroids: Csr
    class_of: Ints
    matter_scale: float
    wording_scale: float
    set_rule: SetRule = SetRule()

    @cached_property
    def _by_leaf(self) -> Any:
        """Hold the centroids leaf by leaf, columns sorted, for :meth:`evidence`."""
        by_leaf = self.centroids.tocsc()
        by_leaf.sort_indices()
        return by_leaf

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return logits, shape ``(len(texts), leaves + 1)``; the last column is *no matter*."""
        wording: Floats | None = None
        if len(texts) == 1:
            # Building sparse matrices of one row costs more than the products do.
            columns, values = self.vocabulary.row(texts[0])
            hidden = (values @ self.embedding[columns])[None]
            if self.centroids.nnz:
                wording = self._wording_of_one(columns, values)
        else:
            rows = self.vocabulary.rows(texts)
            hidden = rows @ self.embedding
            if self.centroids.nnz:
                wording = (rows @ self.centroids).toarray()
        hidden /= np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-9)
        logits = hidden @ self.leaf_vectors.T
        logits *= np.float32(self.matter_scale)
        logits += self.bias
        if wording is not None:
            wording *= np.float32(self.wording_scale)
            logits += wording
        return np.asarray(logits, dtype=np.float32)

    def _wording_of_one(self, columns: NDArray[np.int32], values: Floats) -> Floats:
        starts = self.centroids.indptr[columns]
        sizes = self.centroids.indptr[columns + 1] - starts
        ends = np.cumsum(sizes)
        # The places of all entries of these columns, one stretch behind the other.
        at = np.arange(sizes.sum()) + np.repeat(starts - ends + sizes, sizes)
        wording = np.bincount(
            self.centroids.indices[at],
            weights=self.centroids.data[at] * np.repeat(values, sizes),
            minlength=len(self.bias),
        )
        return wording.astype(np.float32)[None]

    def tempered(self, temperature: float) -> Classifier:
        """Return the same classifier with its logits divided by ``temperature``."""
        return replace(
            self,
            matter_scale=self.matter_scale / temperature,
            wording_scale=self.wording_scale / temperature,
            bias=self.bias / np.float32(temperature),
        )

    def evidence(
        self, texts: Sequence[str], leaves: Sequence[int], *, most: int = 5
    ) -> list[tuple[Span, ...]]:
        """Return the spans of each text that spoke most for its leaf; see the base class."""
        ngrams = ngrams_of(texts)
        columns, known = self.vocabulary.known(ngrams)
        weights = self.vocabulary.weights[columns]
        text_of = ngrams.text_of[known]
        gain = np.zeros(len(columns), dtype=np.float32)
        order = np.argsort(text_of, kind="stable")
        bounds = np.searchsorted(text_of[order], np.arange(len(texts) + 1))
        for leaf, start, end in zip(leaves, bounds[:-1], bounds[1:], strict=True):
            own = order[start:end]
            gain[own] = self._gain(columns[own], weights[own], leaf)
        starts, lengths = ngrams.starts[known], ngrams.lengths[known]
        gain *= weights / lengths
        pairs = lengths == LONGEST
        size = int(ngrams.offsets[-1])
        per_char = np.bincount(starts, weights=gain, minlength=size)
        per_char += np.bincount(starts[pairs] + 1, weights=gain[pairs], minlength=size)
        return strongest_spans(per_char, ngrams.offsets, most=most)

    def _gain(self, columns: NDArray[np.int32], weights: Floats, leaf: int) -> Floats:
        """Return what each n-gram of one text adds to the logit of a leaf, per unit of weight."""
        vectors = self.embedding[columns]
        scale = float(np.linalg.norm(weights @ vectors)) or 1.0
        gain: Floats = (vectors @ self.leaf_vectors[leaf]) * np.float32(self.matter_scale / scale)
        by_leaf = self._by_leaf
        of_leaf = slice(by_leaf.indptr[leaf], by_leaf.indptr[leaf + 1])
        terms, values = by_leaf.indices[of_leaf], by_leaf.data[of_leaf]
        if len(terms):
            at = np.minimum(terms.searchsorted(columns), len(terms) - 1)
            norm = float(np.linalg.norm(weights)) or 1.0
            gain += np.where(terms[at] == columns, values[at], 0) * (self.wording_scale / norm)
        return gain

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle; the embedding is stored as 8-bit rows with a scale."""
        scale = np.abs(self.embedding).max(axis=1) / 127
        settings = {
            "kind": KIND,
            "matter_scale": self.matter_scale,
            "wording_scale": self.wording_scale,
            "set_rule": self.set_rule.to_json(),
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
            set_rule=SetRule.from_json(s["set_rule"]),
        )
