"""Conformal sets: so many of the best leaves that the right one is among them as often as stated.

One threshold for all texts (split conformal) keeps its promise on average over texts like those
it was found on: too generous for clear calls, too strict for confused letters. So texts are put
in bands by the probability of their best leaf, and each band has a threshold of its own (Mondrian
conformal prediction, Vovk et al. 2005, section 4.5): the promise then holds in each band, and so
nearly holds where confused texts are more frequent than among those at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from jiesu_nlp.classify.features import Floats, Ints

# An operator reads no longer list.
LARGEST = 20


@dataclass(frozen=True, slots=True)
class SetRule:
    """Which of the best leaves are in the conformal set of a text.

    Attributes
    ----------
    bounds
        Where one band ends and the next begins, ascending probabilities of the best leaf.
    ratios
        Of each band, how many times the best leaf's probability a leaf of the set must have at
        least, 0 to 1; one more than there are bounds.
    coverage
        Stated share of texts whose set holds a right leaf.
    largest
        No set has more leaves than this.

    Raises
    ------
    ValueError
        If bounds and ratios do not fit together.
    """

    bounds: tuple[float, ...] = ()
    ratios: tuple[float, ...] = (0.01,)
    coverage: float = 0.95
    largest: int = LARGEST

    def __post_init__(self) -> None:
        if len(self.ratios) != len(self.bounds) + 1 or any(a > b for a, b in pairwise(self.bounds)):
            raise ValueError("bounds must ascend, and bands be one more than bounds")

    def sizes(self, best: Floats) -> Ints:
        """Return how many of the best leaves are in the set of each text, at least one.

        Parameters
        ----------
        best
            Probabilities of the best leaves, best first, shape ``(n, k)``.
        """
        first = best[:, :1]
        asked = np.asarray(self.ratios, best.dtype)[np.searchsorted(self.bounds, first, "right")]
        inside = best[:, : self.largest] >= asked * first
        return np.asarray(np.maximum(inside.sum(axis=1), 1), dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and lists."""
        return {
            "bounds": list(self.bounds),
            "ratios": list(self.ratios),
            "coverage": self.coverage,
            "largest": self.largest,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SetRule:
        """Rebuild from :meth:`to_json`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not what that returns.
        """
        return cls(
            tuple(float(v) for v in data["bounds"]),
            tuple(float(v) for v in data["ratios"]),
            float(data["coverage"]),
            int(data["largest"]),
        )
