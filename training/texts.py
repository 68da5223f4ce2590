"""Training texts of a catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.features import Ints
from jiesu_nlp.text.normalise import normalise
from training.calls import filed_calls

NO_MATTER = Path(__file__).parent / "data" / "no_matter.txt"


def no_matter_texts() -> list[str]:
    """Return hand-written texts that belong to no leaf, normalised as tickets are."""
    lines = NO_MATTER.read_text(encoding="utf-8").splitlines()
    return [normalise(line).text for line in lines if line and not line.startswith("#")]


def catalogue_texts(catalogue: Catalogue) -> tuple[list[str], Ints]:
    """Return all training texts of a catalogue and the leaf row of each, normalised as tickets are.

    The row after the last leaf is *no matter*.
    """
    texts: list[str] = []
    rows: list[int] = []
    for row, (leaf, others) in enumerate(
        zip(catalogue.leaves, beside_says(catalogue), strict=True)
    ):
        lines = (*others, *leaf.says)
        texts += (normalise(line).text for line in lines)
        rows += [row] * len(lines)
    nothing = no_matter_texts()
    texts += nothing
    rows += [len(catalogue)] * len(nothing)
    return texts, np.array(rows, dtype=np.int64)


def beside_says(catalogue: Catalogue) -> list[list[str]]:
    """Return for every leaf what teaches it beside its ``says``.

    Its name, its definition, what the ``not`` of other leaves sends to it, and the calls filed
    under it.
    """
    sent, filed = sent_to(catalogue), filed_calls(catalogue)
    return [
        [leaf.name, leaf.definition, *sent[leaf.code], *filed[leaf.code]]
        for leaf in catalogue.leaves
    ]


def sent_to(catalogue: Catalogue) -> dict[str, list[str]]:
    """Return for every leaf the cases that the ``not`` of other leaves sends to it.

    They are the boundaries in the fewest words (老人残疾人办事被要求到场): what tells two leaves
    apart, without what all tickets have. Real letters gain most (docs/experiments.md).
    """
    sent: dict[str, list[str]] = {leaf.code: [] for leaf in catalogue.leaves}
    for leaf in catalogue.leaves:
        for neighbour in leaf.neighbours:
            if neighbour.code in sent:
                sent[neighbour.code].append(neighbour.when)
    return sent


def class_rows(catalogue: Catalogue) -> Ints:
    """Return the level-1 row of each leaf, shape ``(leaves,)``."""
    row_of = {c.code: i for i, c in enumerate(catalogue.classes)}
    return np.array([row_of[leaf.class_code] for leaf in catalogue.leaves], dtype=np.int64)
