"""Answer labelled tickets with a bundle and keep, for each, what the measures need.

Two views: the *classifier* on the whole ticket (leaf, group and class from one set of
probabilities), and the *suggestion* as the operator gets it (unit, place, decision).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.ticket import Ticket
from training.tickets import LabelledTicket

Array = NDArray[Any]
TOP = 20
_BATCH = 256
Report = Callable[[float], None]


@dataclass(frozen=True)
class Scored:
    """Tickets and their answers, one row each.

    Attributes
    ----------
    truth
        Row of the best leaf.
    top, top_p
        Best leaf rows and raw probabilities, shape ``(n, TOP)``.
    rank
        Rank of the best acceptable leaf, 1 for the first.
    p_label
        Raw probability of the given label.
    leaf_confidence, class_confidence
        Calibrated confidence of the first leaf and class.
    class_guess, class_right, group_right
        Row of the first class; whether it and the first group are acceptable.
    in_set, set_size
        Whether an acceptable leaf is in the conformal set, and how many leaves are.
    leaf_served, unit_strict, unit_lenient, district, town, invented, tier
        The suggestion; ``nan`` where the ticket does not say.
    unit_confidence, decision, place_status
        What the suggestion says of itself.
    """

    tickets: list[LabelledTicket]
    truth: Array
    top: Array
    top_p: Array
    rank: Array
    p_label: Array
    leaf_confidence: Array
    class_confidence: Array
    class_right: Array
    class_guess: Array
    group_right: Array
    in_set: Array
    set_size: Array
    leaf_served: Array
    unit_strict: Array
    unit_lenient: Array
    district: Array
    town: Array
    invented: Array
    tier: Array
    unit_confidence: Array
    decision: Array
    place_status: Array

    def __len__(self) -> int:
        return len(self.tickets)

    @property
    def leaf_right(self) -> Array:
        """Whether the first leaf is acceptable."""
        return np.asarray(self.rank == 1, dtype=np.float64)

    @property
    def guess(self) -> Array:
        """First leaf, with acceptable answers counted as the label itself."""
        return np.where(self.rank == 1, self.truth, self.top[:, 0])

    def select(self, rows: Array) -> Scored:
        """Return some of the tickets."""
        values: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            values[f.name] = (
                [value[int(i)] for i in rows] if isinstance(value, list) else value[rows]
            )
        return Scored(**values)


class _Columns:
    """Collects one value per ticket and column."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Any]] = {}

    def add(self, **values: Any) -> None:
        for name, value in values.items():
            self._parts.setdefault(name, []).append(value)

    def arrays(self) -> dict[str, Array]:
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


def score(
    dispatcher: Dispatcher,
    tickets: Sequence[LabelledTicket],
    *,
    end_to_end: bool = True,
    report: Report = lambda done: None,
) -> Scored:
    """Answer tickets whose codes are leaves of the bundle's catalogue.

    Parameters
    ----------
    end_to_end
        ``False`` leaves out the suggestions (units and places), which take most of the time.
    """
    columns = _Columns()
    for start in range(0, len(tickets), _BATCH):
        batch = tickets[start : start + _BATCH]
        columns.add(**_classified(dispatcher, batch))
        columns.add(**(_suggested(dispatcher, batch) if end_to_end else _nothing(len(batch))))
        report((start + len(batch)) / len(tickets))
    return Scored(tickets=list(tickets), **columns.arrays())


def _classified(dispatcher: Dispatcher, batch: Sequence[LabelledTicket]) -> dict[str, Array]:
    classifier, catalogue = dispatcher.classifier, dispatcher.catalogue
    texts = [normalise(t.text).text for t in batch]
    calibrations = [dispatcher.calibration.of(text) for text in texts]
    p = classifier.probabilities(texts)
    n, leaves = p.shape
    width = min(TOP, leaves)
    best = np.argpartition(-p, width - 1, axis=1)[:, :width]
    order = np.argsort(-np.take_along_axis(p, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    top_p = np.take_along_axis(p, best, axis=1)
    right = [np.array([catalogue.index[c] for c in t.codes]) for t in batch]
    rows = np.arange(n)
    p_right = np.array([p[i, r].max() for i, r in enumerate(right)])
    # The first of equals is the answer; an acceptable leaf that only ties with it is not.
    rank = 1 + (p > p_right[:, None]).sum(axis=1)
    first_right = np.array([best[i, 0] in r for i, r in enumerate(right)])
    rank = np.where(first_right, 1, np.maximum(rank, 2))
    class_of = classifier.class_of
    groups, group_of = _groups(dispatcher)
    class_p = classifier.class_probabilities(p)
    group_p = np.add.reduceat(p, np.searchsorted(group_of, np.arange(groups)), axis=1)
    class_top, group_top = class_p.argmax(axis=1), group_p.argmax(axis=1)
    in_set_count = classifier.set_rule.sizes(top_p)
    if width < TOP:
        best = np.pad(best, ((0, 0), (0, TOP - width)), constant_values=-1)
        top_p = np.pad(top_p, ((0, 0), (0, TOP - width)))
    truth = np.array([r[0] for r in right])
    return {
        "truth": truth,
        "top": best,
        "top_p": top_p,
        "rank": rank,
        "p_label": p[rows, truth],
        "leaf_confidence": np.array(
            [c.leaf(float(v)) for c, v in zip(calibrations, top_p[:, 0], strict=True)]
        ),
        "class_confidence": np.array(
            [c.level1(float(class_p[i, class_top[i]])) for i, c in enumerate(calibrations)]
        ),
        "class_right": np.array(
            [class_top[i] in class_of[r] for i, r in enumerate(right)], np.float64
        ),
        "class_guess": class_top,
        "group_right": np.array(
            [group_top[i] in group_of[r] for i, r in enumerate(right)], np.float64
        ),
        "in_set": (rank <= in_set_count).astype(np.float64),
        "set_size": in_set_count,
    }


def _groups(dispatcher: Dispatcher) -> tuple[int, Array]:
    codes = [leaf.group_code for leaf in dispatcher.catalogue.leaves]
    row_of = {code: i for i, code in enumerate(dict.fromkeys(codes))}
    return len(row_of), np.array([row_of[c] for c in codes])


def _suggested(dispatcher: Dispatcher, batch: Sequence[LabelledTicket]) -> dict[str, Array]:
    stream = dispatcher.suggest_many(
        [Ticket(t.text, created_at=t.created_at) for t in batch],
        batch_size=len(batch),
        evidence=False,
    )
    columns: dict[str, list[Any]] = {name: [] for name in _nothing(0)}
    for ticket, suggestion in zip(batch, stream, strict=True):
        demand = suggestion.demands[0]
        unit, place = demand.unit, demand.place
        answers = {unit.unit_class, unit.name, *_other_names(dispatcher, unit.code)}
        units = ticket.units
        known = ticket.place_known
        values = {
            "leaf_served": float(demand.categories[0].code in ticket.codes),
            "unit_strict": float(units[0] in answers) if units else np.nan,
            "unit_lenient": float(not answers.isdisjoint(units)) if units else np.nan,
            "district": float(place.district == ticket.district) if ticket.district else np.nan,
            "town": float(place.town == ticket.town) if ticket.town else np.nan,
            "invented": float(place.district is not None)
            if known and ticket.district is None
            else np.nan,
            "tier": float(demand.deadline.tier == ticket.tier) if ticket.tier else np.nan,
            "unit_confidence": demand.confidence,
            "decision": demand.decision,
            "place_status": place.status,
        }
        for name, value in values.items():
            columns[name].append(value)
    return {name: np.array(column) for name, column in columns.items()}


def _other_names(dispatcher: Dispatcher, code: str | None) -> tuple[str, ...]:
    """Return what a unit is called besides its name: labels are written by people."""
    unit = dispatcher.knowledge.units.by_code.get(code or "")
    return () if unit is None else (unit.short, *unit.aliases)


def _nothing(n: int) -> dict[str, Array]:
    nan = np.full(n, np.nan)
    empty = np.full(n, "", dtype="<U1")
    names = "leaf_served unit_strict unit_lenient district town invented tier unit_confidence"
    return {
        **dict.fromkeys(names.split(), nan),
        **dict.fromkeys(("decision", "place_status"), empty),
    }
