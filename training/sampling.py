"""Which unlabelled tickets are worth a person's time next.

A third of the choice are tickets the model is least sure of (smallest margin), a third lie far
from one another (farthest-first traversal, Gonzalez 1985), and a third seem to belong to leaves
with few labelled tickets. Near-duplicates are offered once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.classify.features import HASH_BITS, ngram_hashes
from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.text.near_duplicates import duplicate_groups
from jiesu_nlp.text.normalise import normalise

UNSURE, DIVERSE, RARE = "拿不准", "与众不同", "少见细项"
_DIMENSIONS = 128
_BATCH = 256
# Farthest-first looks at every candidate for every choice: bound the candidates.
_MOST_CANDIDATES = 20_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """A ticket to label: its number, why it was chosen, and the model's best guesses."""

    row: int
    why: str
    leaves: tuple[int, ...]
    probabilities: tuple[float, ...]


def choose(
    dispatcher: Dispatcher,
    texts: Sequence[str],
    count: int,
    *,
    leaf_counts: Sequence[int] | None = None,
    seed: int = 0,
) -> list[Chosen]:
    """Choose tickets to label.

    Parameters
    ----------
    leaf_counts
        Labelled tickets of each leaf so far; leaves of the fewest are looked for.
    """
    if not texts or count <= 0:
        return []
    groups = duplicate_groups(texts)
    _, first = np.unique(groups, return_index=True)
    rows = np.sort(first)
    if len(rows) > _MOST_CANDIDATES:
        picked = np.random.default_rng(seed).choice(len(rows), _MOST_CANDIDATES, replace=False)
        rows = rows[np.sort(picked)]
    clean = [normalise(texts[i]).text for i in rows]
    best, p = _best(dispatcher, clean)
    second = p[:, 1] if p.shape[1] > 1 else np.zeros(len(p))
    margin = p[:, 0] - second
    # Sure that there is no matter is not unsure: such tickets teach nothing about leaves.
    hopeless = p.sum(axis=1) < 0.2
    counts = np.asarray(
        leaf_counts if leaf_counts is not None else np.ones(len(dispatcher.catalogue))
    )
    expected = np.log1p(counts)[best]
    rarity = (p / np.maximum(p.sum(axis=1, keepdims=True), 1e-9) * expected).sum(axis=1)
    taken: dict[int, str] = {}

    def take(order: NDArray[Any], why: str, quota: int) -> None:
        for i in order:
            if quota <= 0 or len(taken) >= count:
                return
            if int(i) not in taken:
                taken[int(i)] = why
                quota -= 1

    third = -(-count // 3)
    take(np.argsort(margin + hopeless * 10, kind="stable"), UNSURE, third)
    if leaf_counts is not None:
        take(np.argsort(rarity + hopeless * 1e6, kind="stable"), RARE, third)
    take(_farthest(_vectors(clean, seed), list(taken), count), DIVERSE, count)
    return [
        Chosen(int(rows[i]), why, tuple(best[i, :3].tolist()), tuple(p[i, :3].tolist()))
        for i, why in taken.items()
    ]


def _best(dispatcher: Dispatcher, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    leaves, probabilities = [], []
    width = min(5, len(dispatcher.catalogue))
    for start in range(0, len(texts), _BATCH):
        p = dispatcher.classifier.probabilities(texts[start : start + _BATCH])
        best = np.argsort(-p, axis=1, kind="stable")[:, :width]
        leaves.append(best)
        probabilities.append(np.take_along_axis(p, best, axis=1))
    return np.concatenate(leaves), np.concatenate(probabilities)


def _vectors(texts: Sequence[str], seed: int) -> NDArray[np.float32]:
    """Return unit random projections of the n-grams: independent of any model."""
    rng = np.random.default_rng(seed)
    projection = rng.standard_normal((1 << (HASH_BITS - 6), _DIMENSIONS)).astype(np.float32)
    found = np.zeros((len(texts), _DIMENSIONS), np.float32)
    for i, text in enumerate(texts):
        hashes = np.unique(ngram_hashes(text)[0]) >> 6
        if len(hashes):
            found[i] = projection[hashes].sum(axis=0)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    return found


def _farthest(vectors: NDArray[np.float32], taken: list[int], count: int) -> NDArray[np.int64]:
    """Return rows in farthest-first order from those taken."""
    start = taken or [0]
    nearest = np.max([vectors @ vectors[i] for i in start], axis=0)
    order = [] if taken else [0]
    for _ in range(min(count, len(vectors)) - len(order)):
        i = int(nearest.argmin())
        order.append(i)
        nearest = np.maximum(nearest, vectors @ vectors[i])
        nearest[i] = 2.0
    return np.array(order, dtype=np.int64)
