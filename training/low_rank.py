"""Fit the classifier: leaf centroids, their best low rank, and a short supervised polish.

1. Unit rows of weighted n-grams; the *wording* centroid of a leaf is the unit mean of its rows.
2. The best rank-``r`` factors of the centroid matrix (eigenvectors of its Gram matrix, exact and
   deterministic) give every n-gram and every leaf a *matter* vector.
3. A few epochs of Adam on the cross-entropy of scaled cosines (NormFace, Wang et al. 2017) with
   label smoothing and n-gram dropout. The small scale keeps the solution near the centroids:
   with two dozen texts per leaf, a freely trained embedding memorises them.
4. That is done several times, each in its own order of texts and dropout, and averaged (model
   soup, Wortsman et al. 2022): from one beginning they end close enough to each other, and builds
   on nearly the same data differ less.

No torch: the gradient of one bag-of-n-grams layer is a few lines of numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from jiesu_nlp.classify.classifier import Classifier, softmax
from jiesu_nlp.classify.features import Csr, Floats, Ints, Vocabulary, build_vocabulary

Report = Callable[[float], None]
_PORTION = 20_000
# Rows of a step of Adam whose intermediate results stay in the cache: twice as fast.
_IN_CACHE = 256


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyper-parameters of the default model; see ``docs/experiments.md`` for how they were found.

    ``runs``: so many polishes are averaged. ``wording_below``: the wording counts only while one leaf in ten has fewer texts (``None``:
    always). With some thirty texts for each the matter vectors know all it knows, at half the time.
    """

    min_texts: int = 3
    rank: int = 256
    runs: int = 4
    epochs: int = 2
    batch: int = 512
    learning_rate: float = 1e-3
    smoothing: float = 0.1
    dropout: float = 0.3
    train_scale: float = 15.0
    matter_scale: float = 15.0
    wording_scale: float = 15.0
    wording_below: int | None = 20
    centroid_terms: int = 800
    centroid_leaves: int = 300
    weigh_by_text: bool = False
    seed: int = 0


# With so few leaves a classifier has many texts for each and may be trained freely.
_FEW_LEAVES = 100
_FREE_STEPS = 6000


def recipe_for(leaves: int, texts: int, base: Recipe = Recipe()) -> Recipe:
    """Return the recipe for ``texts`` labelled tickets of a catalogue of ``leaves`` leaves.

    Found by measurement, see ``docs/训练与评测.md``: for thousands of leaves the cold-start recipe
    is as good with many tickets as longer training, if it keeps the wording: labels of tickets are
    not all right, and plain centroids forgive that. For a handful of leaves it is far too short.
    """
    if leaves >= _FEW_LEAVES:
        return replace(base, wording_below=None)
    batch = 64 if texts < 50_000 else 256
    epochs = int(np.clip(_FREE_STEPS * batch // max(texts, 1), 2, 20))
    return replace(
        base,
        min_texts=2,
        runs=1,
        epochs=epochs,
        batch=batch,
        train_scale=8.0,
        matter_scale=8.0,
        wording_scale=2.0,
        wording_below=None,
        centroid_terms=20_000,
        weigh_by_text=True,
    )


def leaf_centroids(rows: Csr, leaf_of: Ints, leaves: int, weights: Floats | None = None) -> Csr:
    """Return unit (weighted) sums of the rows of each leaf, shape ``(leaves, columns)``."""
    if weights is None:
        weights = np.ones(len(leaf_of), np.float32)
    member = sparse.csr_matrix(
        (weights, (leaf_of, np.arange(len(leaf_of)))), shape=(leaves, len(leaf_of))
    )
    sums = (member @ rows).tocsr()
    lengths = np.sqrt(np.asarray(sums.multiply(sums).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags_array(1 / np.maximum(lengths, 1e-9)) @ sums)


def keep_telling(centroids: Csr, terms: int, leaves: int) -> Csr:
    """Keep the ``terms`` greatest entries of each row, and no column of over ``leaves`` leaves.

    N-grams that most leaves share hardly tell them apart but cost most of the time.
    """
    common = np.bincount(centroids.indices, minlength=centroids.shape[1]) > leaves
    centroids = sparse.csr_matrix(centroids @ sparse.diags_array((~common).astype(np.float32)))
    centroids.eliminate_zeros()
    keep = np.zeros(centroids.nnz, dtype=bool)
    for i in range(centroids.shape[0]):
        a, b = centroids.indptr[i], centroids.indptr[i + 1]
        if b - a <= terms:
            keep[a:b] = True
        else:
            keep[a + np.argpartition(-centroids.data[a:b], terms)[:terms]] = True
    coo = centroids.tocoo()
    return sparse.csr_matrix(
        (coo.data[keep], (coo.row[keep], coo.col[keep])), shape=centroids.shape
    )


def _wording(centroids: Csr, leaf_of: Ints, recipe: Recipe) -> Csr:
    """Return what is kept of the centroids for predicting, shape ``(columns, leaves)``."""
    texts = np.bincount(leaf_of, minlength=centroids.shape[0])[:-1]
    if recipe.wording_below is not None and np.quantile(texts, 0.1) >= recipe.wording_below:
        nothing = np.zeros(0, np.int32)
        return sparse.csr_matrix(
            (np.zeros(0, np.float32), (nothing, nothing)), shape=centroids.shape[::-1]
        )
    return sparse.csr_matrix(
        keep_telling(centroids, recipe.centroid_terms, recipe.centroid_leaves).T
    )


def low_rank_factors(centroids: Csr, rank: int) -> tuple[Floats, Floats]:
    """Return n-gram vectors ``(columns, rank)`` and leaf vectors ``(leaves, rank)``.

    Their product is the best rank-``rank`` approximation of the centroids.
    """
    gram = np.asarray((centroids @ centroids.T).todense(), dtype=np.float64)
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    # The sign of an eigenvector is arbitrary; fix it so that builds are reproducible.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)])
    singular = np.sqrt(np.maximum(values, 1e-12))
    embedding = np.asarray(centroids.T @ (vectors / singular))
    return embedding.astype(np.float32), (vectors * singular).astype(np.float32)


class _Adam:
    """Adam (Kingma & Ba 2015) on a dense array, or lazily on some of its rows."""

    def __init__(self, values: Floats) -> None:
        self.values = values
        self._m = np.zeros_like(values)
        self._v = np.zeros_like(values)
        self._step = 0

    def update(self, gradient: Floats, rate: float, rows: NDArray[Any] | None = None) -> None:
        """Take one step with the gradient of ``rows``, each of them once (all if ``None``)."""
        self._step += 1
        rate *= float(np.sqrt(1 - 0.999**self._step) / (1 - 0.9**self._step))
        for start in range(0, len(gradient), _IN_CACHE):
            block = slice(start, start + _IN_CACHE)
            g = gradient[block]
            which = block if rows is None else rows[block]
            m = self._m[which] * 0.9 + g * 0.1
            v = self._v[which] * 0.999 + g * g * 0.001
            self._m[which], self._v[which] = m, v
            self.values[which] -= rate * m / (np.sqrt(v) + 1e-8)


def polish(
    rows: Csr,
    leaf_of: Ints,
    embedding: Floats,
    leaf_vectors: Floats,
    recipe: Recipe,
    report: Report,
    weights: Floats | None = None,
    soft: Csr | None = None,
) -> Floats:
    """Train ``embedding`` and ``leaf_vectors`` in place; return the bias, shape ``(leaves,)``.

    ``weights`` scale the loss of each row; they should average one. ``soft`` gives each row a
    distribution over the leaves to learn instead of its one leaf, shape ``(rows, leaves)``.
    """
    rng = np.random.default_rng(recipe.seed)
    bias = np.zeros(len(leaf_vectors), np.float32)
    adam_e, adam_w, adam_b = _Adam(embedding), _Adam(leaf_vectors), _Adam(bias)
    n = rows.shape[0]
    steps = recipe.epochs * -(-n // recipe.batch)
    step = 0
    for _ in range(recipe.epochs):
        order = rng.permutation(n)
        for start in range(0, n, recipe.batch):
            chosen = order[start : start + recipe.batch]
            batch, target = rows[chosen], leaf_of[chosen]
            batch.data = batch.data * (rng.random(batch.nnz) >= recipe.dropout)
            columns, local = np.unique(batch.indices, return_inverse=True)
            bag = sparse.csr_matrix(
                (batch.data, local, batch.indptr), shape=(len(chosen), len(columns))
            )
            hidden = bag @ embedding[columns]
            h_norm = np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-6)
            w_norm = np.maximum(np.linalg.norm(leaf_vectors, axis=1, keepdims=True), 1e-6)
            h, w = hidden / h_norm, leaf_vectors / w_norm
            delta = softmax(recipe.train_scale * (h @ w.T) + bias)
            delta -= recipe.smoothing / len(leaf_vectors)
            if soft is None:
                delta[np.arange(len(chosen)), target] -= 1 - recipe.smoothing
            else:
                own = soft[chosen].tocoo()
                delta[own.row, own.col] -= (1 - recipe.smoothing) * own.data
            delta /= len(chosen)
            if weights is not None:
                delta *= weights[chosen, None]
            rate = recipe.learning_rate * (1 - step / steps)
            grad_h = recipe.train_scale * (delta @ w)
            grad_w = recipe.train_scale * (delta.T @ h)
            # Through the normalisations: only the part across the vector moves its direction.
            grad_h = (grad_h - h * (grad_h * h).sum(axis=1, keepdims=True)) / h_norm
            grad_w = (grad_w - w * (grad_w * w).sum(axis=1, keepdims=True)) / w_norm
            adam_e.update(np.asarray(bag.T @ grad_h, dtype=np.float32), rate, columns)
            adam_w.update(grad_w.astype(np.float32), rate)
            adam_b.update(delta.sum(axis=0).astype(np.float32), rate)
            step += 1
            report(step / steps)
    return bias


def text_rows(vocabulary: Vocabulary, texts: Sequence[str]) -> Csr:
    """Return the rows of many texts, made in portions to bound the memory."""
    if len(texts) <= _PORTION:
        return vocabulary.rows(texts)
    parts = [vocabulary.rows(texts[i : i + _PORTION]) for i in range(0, len(texts), _PORTION)]
    return sparse.csr_matrix(sparse.vstack(parts, format="csr"))


def fit(
    texts: Sequence[str],
    leaf_of: Ints,
    class_of: Ints,
    *,
    weights: Floats | None = None,
    soft: Csr | None = None,
    recipe: Recipe = Recipe(),
    report: Report = lambda done: None,
) -> Classifier:
    """Fit a classifier.

    Parameters
    ----------
    texts
        Training texts, normalised as tickets are.
    leaf_of
        Leaf row of each text, shape ``(len(texts),)``; ``len(class_of)`` for *no matter*.
    class_of
        Level-1 row of each leaf, non-decreasing, shape ``(leaves,)``.
    weights
        How much each text counts, shape ``(len(texts),)``; all alike if ``None``.
    soft
        Distribution over the leaves that each text teaches, rows summing to one, shape
        ``(len(texts), leaves + 1)``; its one leaf if ``None``. See :mod:`training.encoder.distil`.
    report
        Called with the share done.
    """
    leaves = len(class_of) + 1
    vocabulary: Vocabulary = build_vocabulary(
        texts, leaf_of, leaves, min_texts=recipe.min_texts, by_text=recipe.weigh_by_text
    )
    rows = text_rows(vocabulary, texts)
    if weights is not None:
        weights = (weights / weights.mean()).astype(np.float32)
    centroids = leaf_centroids(rows, leaf_of, leaves, weights)
    rank = min(recipe.rank, leaves, len(vocabulary))
    begin = low_rank_factors(centroids, rank)
    report(0.1)
    embedding, leaf_vectors = (np.zeros_like(part) for part in begin)
    bias = np.zeros(leaves, np.float32)
    for run in range(recipe.runs):
        polished = (begin[0].copy(), begin[1].copy())
        bias += polish(
            rows,
            leaf_of,
            *polished,
            replace(recipe, seed=recipe.seed + run),
            lambda done, run=run: report(0.1 + 0.9 * (run + done) / recipe.runs),  # type: ignore[misc]
            weights,
            soft,
        )
        embedding += polished[0]
        leaf_vectors += polished[1]
    embedding /= recipe.runs
    bias /= recipe.runs
    leaf_vectors /= np.maximum(np.linalg.norm(leaf_vectors, axis=1, keepdims=True), 1e-9)
    return Classifier(
        vocabulary=vocabulary,
        embedding=embedding,
        leaf_vectors=leaf_vectors,
        bias=bias,
        centroids=_wording(centroids, leaf_of, recipe),
        class_of=class_of,
        matter_scale=recipe.matter_scale,
        wording_scale=recipe.wording_scale,
    )
