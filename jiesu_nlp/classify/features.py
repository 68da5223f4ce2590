"""Hashed character n-grams: text → sparse rows, with the place of every n-gram.

Characters need no dictionary, survive recognition errors and new words, and cost microseconds:
code points are hashed with numpy, no Python loop over characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
# Characters that carry no matter: spaces, punctuation. They end an n-gram.
_BREAKS = frozenset(" \t\r\n,.;:!?()[]{}<>\"'`~|/\\-_=+*&^%$#@，。、；：！？（）【】《》“”‘’…—·～")
_DIGIT = 0x30


def _codes(text: str) -> NDArray[np.uint64]:
    raw = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return _FOLD[np.minimum(raw, len(_FOLD) - 1)]


def _fold_table() -> NDArray[np.uint64]:
    """Map code points to symbols: breaks → 0, all digits → one symbol, Latin to lower case."""
    table = np.arange(0x20000, dtype=np.uint64)
    for ch in _BREAKS:
        table[ord(ch)] = 0
    table[:0x20] = 0
    table[0x30:0x3A] = _DIGIT
    table[0x41:0x5B] = np.arange(0x61, 0x7B)
    return table


_FOLD = _fold_table()


@dataclass(frozen=True, slots=True)
class CharNgrams:
    """Hashed character n-grams of sizes 1 to ``longest``.

    Parameters
    ----------
    longest
        Greatest n.
    bits
        The table has ``2**bits`` rows.
    """

    longest: int = 2
    bits: int = 18

    @property
    def size(self) -> int:
        """Number of feature ids."""
        return 1 << self.bits

    def ids(self, text: str) -> tuple[Ints, Ints, Ints]:
        """Return feature id, start and length (in characters of ``text``) of every n-gram."""
        codes = _codes(text)
        shift = np.uint64(64 - self.bits)
        ids: list[Ints] = []
        starts: list[Ints] = []
        lengths: list[Ints] = []
        mixed = codes
        keep = codes != 0
        for n in range(1, self.longest + 1):
            if n > len(codes):
                break
            if n > 1:
                tail = codes[n - 1 :]
                mixed = (mixed[:-1] * _MULTIPLIER + np.uint64(n)) ^ tail
                keep = keep[:-1] & (tail != 0)
            at = np.flatnonzero(keep)
            ids.append(((mixed[at] * _MULTIPLIER) >> shift).astype(np.int64))
            starts.append(at)
            lengths.append(np.full(len(at), n, dtype=np.int64))
        if not ids:
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty, empty
        return np.concatenate(ids), np.concatenate(starts), np.concatenate(lengths)

    def counts(self, text: str) -> tuple[Ints, Floats]:
        """Return distinct feature ids (sorted) and their counts."""
        ids, counts = np.unique(self.ids(text)[0], return_counts=True)
        return ids, counts.astype(np.float32)

    def matrix(self, texts: Sequence[str]) -> sparse.csr_matrix[Any]:
        """Return the count matrix, shape ``(len(texts), size)``."""
        indices: list[Ints] = []
        data: list[Floats] = []
        indptr = np.zeros(len(texts) + 1, dtype=np.int64)
        for i, text in enumerate(texts):
            ids, counts = self.counts(text)
            indices.append(ids)
            data.append(counts)
            indptr[i + 1] = indptr[i] + len(ids)
        return sparse.csr_matrix(
            (
                np.concatenate(data) if data else np.zeros(0, np.float32),
                np.concatenate(indices) if indices else np.zeros(0, np.int64),
                indptr,
            ),
            shape=(len(texts), self.size),
        )
