"""Training texts of a catalogue."""

from __future__ import annotations

import numpy as np

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.features import Ints
from jiesu_nlp.text.normalise import normalise


def catalogue_texts(catalogue: Catalogue) -> tuple[list[str], Ints]:
    """Return all training texts of a catalogue and the leaf row of each.

    A leaf teaches with its name, its definition and its ``says``, normalised as tickets are.
    """
    texts: list[str] = []
    rows: list[int] = []
    for row, leaf in enumerate(catalogue.leaves):
        lines = (leaf.name, leaf.definition, *leaf.says)
        texts += (normalise(line).text for line in lines)
        rows += [row] * len(lines)
    return texts, np.array(rows, dtype=np.int64)


def class_rows(catalogue: Catalogue) -> Ints:
    """Return the level-1 row of each leaf, shape ``(leaves,)``."""
    row_of = {c.code: i for i, c in enumerate(catalogue.classes)}
    return np.array([row_of[leaf.class_code] for leaf in catalogue.leaves], dtype=np.int64)
