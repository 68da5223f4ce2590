"""Out-of-fold predictions on the catalogue's own ``says``.

Folds are blocks of neighbouring lines of each leaf. Lines of one author stand together, so a fold
is mostly judged by a model that never saw that author's hand: harder, and more honest, than
random folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.text.normalise import normalise
from training.cold_start import class_rows
from training.low_rank import Recipe, fit

Report = Callable[[float], None]


@dataclass(frozen=True)
class HeldOut:
    """Held-out texts of one fold with their true leaf and the logits they got."""

    texts: list[str]
    leaf_of: Ints
    logits: Floats


def held_out_folds(
    catalogue: Catalogue,
    *,
    folds: int = 4,
    recipe: Recipe = Recipe(),
    report: Report = lambda done: None,
) -> Iterator[HeldOut]:
    """Train without one fold of ``says`` at a time and yield the logits of that fold.

    Parameters
    ----------
    catalogue
        With ``says``.
    folds
        Number of folds; each leaf gives each fold a block of its lines.
    recipe
        Hyper-parameters.
    report
        Called with the share done.
    """
    always: list[tuple[str, int]] = []
    lines: list[tuple[str, int, int]] = []
    for row, leaf in enumerate(catalogue.leaves):
        always += [(normalise(t).text, row) for t in (leaf.name, leaf.definition)]
        for i, say in enumerate(leaf.says):
            lines.append((normalise(say).text, row, i * folds // len(leaf.says)))
    classes = class_rows(catalogue)
    for fold in range(folds):
        train = always + [(t, row) for t, row, f in lines if f != fold]
        test = [(t, row) for t, row, f in lines if f == fold]
        classifier = fit(
            [t for t, _ in train],
            np.array([row for _, row in train], dtype=np.int64),
            classes,
            recipe=recipe,
        )
        texts = [t for t, _ in test]
        logits = np.concatenate(
            [classifier.logits(texts[i : i + 512]) for i in range(0, len(texts), 512)]
        )
        report((fold + 1) / folds)
        yield HeldOut(texts, np.array([row for _, row in test], dtype=np.int64), logits)
