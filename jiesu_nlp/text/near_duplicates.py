"""Groups of near-duplicate texts: MinHash proposes pairs (Broder 1997), true similarity decides.

Texts are sets of hashed character 3-grams without punctuation. Where the same complaint with another
date or order number is to be the same, as in splitting tickets for training, digits are left out;
where 3号楼 is not 5号楼, they are kept. All steps are numpy over all texts:
200,000 of them take under a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
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
_PAIRS = 50_000
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_GRAM = 3
# Hashes are columns of a sparse matrix, whose indices are 32-bit and signed.
_HASH_BITS = 30


def _shingles(text: str, digits: bool) -> NDArray[np.int32]:
    """Return the hashed 3-grams of a text's letters and characters, distinct and ascending."""
    clean = normalise(text).text.lower()
    counts = str.isalnum if digits else str.isalpha
    plain = "".join(ch for ch in clean if counts(ch))
    if len(plain) < _GRAM:
        # Too short to have 3-grams: alike only if identical. One hash would be too few bits for that.
        whole = blake2b(clean.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        return np.unique((np.frombuffer(whole, "<u4") >> (32 - _HASH_BITS)).astype(np.int32))
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    mixed = (codes[:-2] * _MULTIPLIER) ^ codes[1:-1]
    mixed = (mixed * _MULTIPLIER) ^ codes[2:]
    return np.unique((mixed * _MULTIPLIER >> np.uint64(64 - _HASH_BITS)).astype(np.int32))


def _shingle_rows(texts: Sequence[str], digits: bool) -> Any:
    """Return the shingles of the texts as rows of a sparse matrix of ones."""
    sets = [_shingles(text, digits) for text in texts]
    starts = np.cumsum([0, *map(len, sets)])
    flat = np.concatenate(sets)
    return sparse.csr_matrix(
        (np.ones(len(flat), np.int8), flat, starts), shape=(len(sets), 1 << _HASH_BITS)
    )


def _signatures(rows: Any, *, seed: int = 0) -> NDArray[np.uint32]:
    """Return MinHash signatures, shape ``(rows, 64)``.

    The share of equal entries of two of them estimates the Jaccard similarity of the texts.
    """
    rng = np.random.default_rng(seed)
    factors = rng.integers(0, 2**32, _HASHES, dtype=np.uint32) | np.uint32(1)
    shifts = rng.integers(0, 2**32, _HASHES, dtype=np.uint32)
    flat = rows.indices.astype(np.uint32)
    found = np.empty((rows.shape[0], _HASHES), np.uint32)
    for k in range(_HASHES):
        hashed = flat * factors[k] + shifts[k]
        # A product modulo 2^32 orders by its high bits; mix them down once more.
        hashed ^= hashed >> np.uint32(15)
        hashed *= np.uint32(0x2C1B3C6D)
        hashed ^= hashed >> np.uint32(13)
        found[:, k] = np.minimum.reduceat(hashed, rows.indptr[:-1])
    return found


def _candidates(signatures: NDArray[np.uint32]) -> Array:
    """Return pairs of rows that agree in a whole band, each once, shape ``(m, 2)``.

    Within a band equal rows are only compared with the first of them and with their neighbour, so
    that a form letter sent ten thousand times costs ten thousand comparisons, not their square.
    """
    n = len(signatures)
    pairs = []
    width = _HASHES // _BANDS
    for band in range(_BANDS):
        part = np.ascontiguousarray(signatures[:, band * width : (band + 1) * width])
        keys = part.view(f"V{4 * width}").ravel()
        _, group = np.unique(keys, return_inverse=True)
        order = np.argsort(group, kind="stable")
        same = group[order][1:] == group[order][:-1]
        pairs.append(np.stack([order[:-1][same], order[1:][same]], axis=1))
        first = np.full(int(group.max()) + 1, n, np.int64)
        np.minimum.at(first, group, np.arange(n))
        leader = first[group]
        other = np.flatnonzero(leader != np.arange(n))
        pairs.append(np.stack([leader[other], other], axis=1))
    return np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)


def _similarities(rows: Any, pairs: Array) -> NDArray[np.float64]:
    """Return the Jaccard similarity of the two rows of each pair."""
    sizes = np.diff(rows.indptr)
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), _PAIRS):
        a, b = pairs[start : start + _PAIRS].T
        common = np.diff(rows[a].multiply(rows[b]).tocsr().indptr)
        found[start : start + len(a)] = common / (sizes[a] + sizes[b] - common)
    return found


def duplicate_groups(
    texts: Sequence[str],
    *,
    threshold: float = THRESHOLD,
    digits: bool = False,
    report: Report = lambda done: None,
) -> NDArray[np.int64]:
    """Return a group number for each text; near-duplicates, also by way of a third, share one.

    Parameters
    ----------
    texts
        Tickets, as they came.
    threshold
        Least Jaccard similarity of two texts that are joined directly.
    digits
        Keep digits: texts that differ in a number are less alike.
    report
        Called with the share done.
    """
    if not texts:
        return np.zeros(0, np.int64)
    parts, signatures = [], []
    for start in range(0, len(texts), _PORTION):
        parts.append(_shingle_rows(texts[start : start + _PORTION], digits))
        signatures.append(_signatures(parts[-1]))
        report(min((start + _PORTION) / len(texts), 1.0))
    rows = sparse.csr_matrix(sparse.vstack(parts, format="csr"))
    pairs = _candidates(np.concatenate(signatures))
    pairs = pairs[_similarities(rows, pairs) >= threshold]
    graph = sparse.coo_matrix(
        (np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(texts),) * 2
    )
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
