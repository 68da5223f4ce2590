"""Character n-grams: text → weighted sparse rows, with the place of every n-gram.

Characters need no dictionary, survive recognition errors and new words, and cost microseconds:
code points are hashed with numpy, no Python loop over characters. A vocabulary of the n-grams
seen in training turns hashes into columns; all others are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Csr = sparse.csr_matrix[Any]

HASH_BITS = 22
LONGEST = 2
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - HASH_BITS)
# Characters that carry no matter: spaces, punctuation. They end an n-gram.
_BREAKS = " \t\r\n,.;:!?()[]{}<>\"'`~|/\\-_=+*&^%$#@，。、；：！？（）【】《》“”‘’…—·～"


def _fold_table() -> NDArray[np.uint64]:
    """Map code points to symbols: breaks → 0, all digits → one symbol, Latin to lower case."""
    table = np.arange(0x20000, dtype=np.uint64)
    table[[ord(ch) for ch in _BREAKS]] = 0
    table[:0x20] = 0
    table[0x30:0x3A] = 0x30
    table[0x41:0x5B] = np.arange(0x61, 0x7B)
    return table


_FOLD = _fold_table()


def ngram_hashes(text: str) -> tuple[Ints, Ints, Ints]:
    """Return hash, start and length (in characters of ``text``) of every n-gram up to 2.

    Hashes have ``HASH_BITS`` bits; n-grams do not cross punctuation.
    """
    raw = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    codes = _FOLD[np.minimum(raw, len(_FOLD) - 1)]
    kept = codes != 0
    ones = np.flatnonzero(kept)
    twos = np.flatnonzero(kept[:-1] & kept[1:]) if len(codes) > 1 else ones[:0]
    pairs = (codes[twos] * _MULTIPLIER + np.uint64(LONGEST)) ^ codes[twos + 1]
    mixed = np.concatenate((codes[ones], pairs)) * _MULTIPLIER
    starts = np.concatenate((ones, twos))
    lengths = np.ones(len(starts), dtype=np.int64)
    lengths[len(ones) :] = 2
    return (mixed >> _SHIFT).astype(np.int64), starts, lengths


class Ngrams(NamedTuple):
    """The n-grams of many texts in parallel arrays: hash, start, length and text of each.

    ``starts`` are offsets into the texts joined by one character; text ``i`` begins at
    ``offsets[i]``, shape ``(texts + 1,)``.
    """

    hashes: Ints
    starts: Ints
    lengths: Ints
    text_of: Ints
    offsets: Ints


def ngrams_of(texts: Sequence[str]) -> Ngrams:
    """Hash many texts at once: what numpy costs per call is paid once, not once per text."""
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) + 1 for text in texts], out=offsets[1:])
    # A line break ends every n-gram, so none goes from one text into the next.
    hashes, starts, lengths = ngram_hashes("\n".join(texts))
    text_of = np.repeat(np.arange(len(texts)), np.diff(offsets))[starts]
    return Ngrams(hashes, starts, lengths, text_of, offsets)


@dataclass(frozen=True)
class Vocabulary:
    """The n-grams a model knows, with their weights.

    Attributes
    ----------
    hashes
        Hash of each column, shape ``(columns,)``.
    weights
        How much each n-gram tells about the leaf (inverse leaf frequency), shape ``(columns,)``.
    """

    hashes: NDArray[np.uint32]
    weights: Floats

    def __len__(self) -> int:
        return len(self.hashes)

    @cached_property
    def _column_of(self) -> NDArray[np.int32]:
        table = np.full(1 << HASH_BITS, -1, dtype=np.int32)
        table[self.hashes] = np.arange(len(self.hashes), dtype=np.int32)
        return table

    def known(self, ngrams: Ngrams) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the column of every known n-gram and which n-grams are known."""
        columns = self._column_of[ngrams.hashes]
        known = columns >= 0
        return columns[known], known

    def _values(self, columns: Ints | NDArray[np.int32], counts: Ints) -> Floats:
        """Weigh n-grams that occur so many times in a text."""
        return (1.0 + np.log(counts)).astype(np.float32) * self.weights[columns]

    def row(self, text: str) -> tuple[NDArray[np.int32], Floats]:
        """Return the columns of one text and their values: the row that :meth:`rows` gives it."""
        columns = self._column_of[ngram_hashes(text)[0]]
        columns, counts = np.unique(columns[columns >= 0], return_counts=True)
        values = self._values(columns, counts)
        return columns, values / np.float32(max(float(np.linalg.norm(values)), 1e-9))

    def rows(self, texts: Sequence[str]) -> Csr:
        """Return unit-length weighted rows, shape ``(len(texts), columns)``.

        The value of an n-gram is ``(1 + ln count) * weight``. A text without any known n-gram
        gives an empty row.
        """
        ngrams = ngrams_of(texts)
        columns, known = self.known(ngrams)
        # One sort finds the distinct n-grams of all texts together.
        keys, counts = np.unique(ngrams.text_of[known] * len(self) + columns, return_counts=True)
        rows, cols = np.divmod(keys, len(self))
        values = self._values(cols, counts)
        norms = np.sqrt(np.bincount(rows, weights=values * values, minlength=len(texts)))
        values /= np.maximum(norms, 1e-9)[rows].astype(np.float32)
        indptr = np.zeros(len(texts) + 1, dtype=np.int32)
        np.cumsum(np.bincount(rows, minlength=len(texts)), out=indptr[1:])
        return sparse.csr_matrix(
            (values, cols.astype(np.int32), indptr), shape=(len(texts), len(self))
        )


def build_vocabulary(
    texts: Sequence[str],
    leaf_of: Ints,
    leaves: int,
    *,
    min_texts: int = 2,
    by_text: bool = False,
) -> Vocabulary:
    """Collect the n-grams of at least ``min_texts`` texts, weighted by inverse leaf frequency.

    Parameters
    ----------
    texts
        Training texts.
    leaf_of
        Leaf row of each text, shape ``(len(texts),)``.
    leaves
        Number of leaves.
    min_texts
        An n-gram in fewer texts is noise rather than vocabulary.
    by_text
        Weigh by inverse *text* frequency: where leaves are few, nearly all n-grams occur in all.
    """
    text_frequency = np.zeros(1 << HASH_BITS, dtype=np.int64)
    leaf_frequency = np.zeros(1 << HASH_BITS, dtype=np.int64)
    order = np.argsort(leaf_of, kind="stable")
    # Leaf by leaf: many short sorts are several times faster than one of everything.
    for own in np.split(order, np.flatnonzero(np.diff(leaf_of[order])) + 1):
        found = [np.unique(ngram_hashes(texts[i])[0]) for i in own]
        distinct, count = np.unique(np.concatenate(found), return_counts=True)
        text_frequency[distinct] += count
        leaf_frequency[distinct] += 1
    hashes = np.flatnonzero(text_frequency >= min_texts)
    whole, frequency = (len(texts), text_frequency) if by_text else (leaves, leaf_frequency)
    weights = np.log((1 + whole) / (1 + frequency[hashes])) + 1
    return Vocabulary(hashes.astype(np.uint32), weights.astype(np.float32))
