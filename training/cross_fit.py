"""Judge every ticket by a model that never saw it or its near-duplicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.text.near_duplicates import duplicate_groups
from training.low_rank import recipe_for
from training.scoring import Scored, score
from training.tickets import LabelledTicket
from training.train import TrainOptions, fit_on_tickets

Report = Callable[[float], None]


def score_across_folds(
    dispatcher: Dispatcher,
    tickets: Sequence[LabelledTicket],
    *,
    folds: int = 3,
    seed: int = 0,
    report: Report = lambda done: None,
) -> Scored:
    """Fit without each fold in turn and score it; rows come back in the order of the tickets.

    Parameters
    ----------
    dispatcher
        Lends catalogue, calibration and knowledge; its classifier is not used.
    folds
        At least two; fewer are taken for two.
    """
    folds = max(folds, 2)
    groups = duplicate_groups([t.text for t in tickets])
    fold_of = np.random.default_rng(seed).permutation(int(groups.max()) + 1)[groups] % folds
    catalogue = dispatcher.catalogue
    options = TrainOptions(recipe=recipe_for(len(catalogue), len(tickets)), seed=seed)
    parts: list[Scored] = []
    rows: list[Any] = []
    for fold in range(folds):
        inside = np.flatnonzero(fold_of == fold)
        if not len(inside):
            continue
        others = [tickets[int(i)] for i in np.flatnonzero(fold_of != fold)]
        at = fold / folds
        classifier = fit_on_tickets(
            catalogue,
            others,
            options,
            lambda done, at=at: report(at + 0.8 * done / folds),  # type: ignore[misc]
        )
        judge = Dispatcher(
            dispatcher.knowledge,
            classifier,
            dispatcher.calibration,
            dispatcher.versions.to_dict(),
        )
        parts.append(score(judge, [tickets[int(i)] for i in inside], end_to_end=False))
        rows.append(inside)
        report((fold + 1) / folds)
    back = np.argsort(np.concatenate(rows), kind="stable")
    joined: dict[str, Any] = {}
    for f in fields(Scored):
        columns = [getattr(p, f.name) for p in parts]
        if f.name == "tickets":
            joined[f.name] = list(tickets)
        else:
            joined[f.name] = np.concatenate(columns)[back]
    return Scored(**joined)
