"""Groups of near-duplicate texts: MinHash signatures, banded (Broder 1997; Leskovec et al. ch. 3).

Texts are sets of hashed character 3-grams without punctuation and digits, so that the same
complaint with another date or order number is still the same. All steps are numpy over all texts:
200,000 of them take well under a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from jiesu_nlp.text.normalise import normalise

Array = NDArray[Any]
Report = Callable[[float], None]

THRESHOLD = 0.7
_HASHES = 64
_BANDS = 16
_PORTION = 2000
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_GRAM = 3


def _shingles(text: str) -> Array:
    """Return the hashed 3-grams of a text's letters and characters (``uint32``, distinct)."""
    plain = "".join(ch for ch in normalise(text).text.lower() if ch.isalpha())
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    if len(codes) < _GRAM:
        # Too short to have 3-grams: alike only if identical.
        codes = np.concatenate([codes, np.zeros(_GRAM - len(codes), np.uint64)])
    mixed = (codes[:-2] * _MULTIPLIER) ^ codes[1:-1]
    mixed = (mixed * _MULTIPLIER) ^ codes[2:]
    return np.unique((mixed * _MULTIPLIER >> np.uint64(32)).astype(np.uint32))


def signatures(
    texts: Sequence[str], *, report: Report = lambda done: None, seed: int = 0
) -> NDArray[np.uint32]:
    """Return MinHash signatures, shape ``(len(texts), 64)``.

    The share of equal entries of two of them estimates the Jaccard similarity of the texts.
    """
    rng = np.random.default_rng(seed)
    factors = rng.integers(0, 2**32, _HASHES, dtype=np.uint32) | np.uint32(1)
    shifts = rng.integers(0, 2**32, _HASHES, dtype=np.uint32)
    found = np.empty((len(texts), _HASHES), np.uint32)
    for start in range(0, len(texts), _PORTION):
        sets = [_shingles(text) for text in texts[start : start + _PORTION]]
        flat = np.concatenate(sets)
        starts = np.concatenate([[0], np.cumsum([len(s) for s in sets])[:-1]])
        for k in range(_HASHES):
            hashed = flat * factors[k] + shifts[k]
            # A product modulo 2^32 orders by its high bits; mix them down once more.
            hashed ^= hashed >> np.uint32(15)
            hashed *= np.uint32(0x2C1B3C6D)
            hashed ^= hashed >> np.uint32(13)
            found[start : start + len(sets), k] = np.minimum.reduceat(hashed, starts)
        report(min((start + _PORTION) / len(texts), 1.0))
    return found


def similar_pairs(found: NDArray[np.uint32], *, threshold: float = THRESHOLD) -> Array:
    """Return pairs of rows whose signatures agree in at least ``threshold``, shape ``(m, 2)``.

    Within a band equal rows are only compared with the first of them and with their neighbour, so
    that a form letter sent ten thousand times costs ten thousand comparisons, not their square.
    """
    n = len(found)
    pairs = [np.zeros((0, 2), np.int64)]
    width = _HASHES // _BANDS
    for band in range(_BANDS):
        part = np.ascontiguousarray(found[:, band * width : (band + 1) * width])
        keys = part.view(f"V{4 * width}").ravel()
        _, group = np.unique(keys, return_inverse=True)
        order = np.argsort(group, kind="stable")
        same = group[order][1:] == group[order][:-1]
        pairs.append(np.stack([order[:-1][same], order[1:][same]], axis=1))
        first = np.full(int(group.max()) + 1 if n else 0, n, np.int64)
        np.minimum.at(first, group, np.arange(n))
        leader = first[group]
        other = np.flatnonzero(leader != np.arange(n))
        pairs.append(np.stack([leader[other], other], axis=1))
    candidates = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
    alike = np.empty(len(candidates))
    for start in range(0, len(candidates), 100_000):
        a, b = candidates[start : start + 100_000].T
        alike[start : start + len(a)] = (found[a] == found[b]).mean(axis=1)
    return candidates[alike >= threshold]


def duplicate_groups(
    texts: Sequence[str],
    *,
    threshold: float = THRESHOLD,
    report: Report = lambda done: None,
) -> NDArray[np.int64]:
    """Return a group number for each text; near-duplicates, also by way of a third, share one."""
    if not texts:
        return np.zeros(0, np.int64)
    pairs = similar_pairs(signatures(texts, report=report), threshold=threshold)
    graph = sparse.coo_matrix(
        (np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(texts),) * 2
    )
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
