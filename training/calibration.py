"""Calibrate a cold-start model on texts it never saw.

Two kinds of unseen text are weighed equally: hand-written tickets kept for this purpose
(``training/data/calibration.jsonl``), and those of a quarter of the catalogue's ``says`` that are as
long as a ticket, scored by a model that was trained without them. Tickets alone, written by people
who know the catalogue, are easier than what citizens send, and a map fitted on them promises too
much. Calls of a few words are calibrated apart, on such tickets and ``says`` of their length.
``docs/experiments.md`` has the figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression, minimize_scalar

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.conformal import LARGEST, SetRule
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.classify.predictor import LeafPredictor
from jiesu_nlp.confidence import BRIEF, Calibration, MonotoneMap
from jiesu_nlp.dispatcher import TOP_K
from jiesu_nlp.errors import DataError
from jiesu_nlp.knowledge import Knowledge
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.vocabulary import UNIT_CLASS_SET
from training.calls import training_calls
from training.cross_validation import held_out_fold
from training.low_rank import Recipe
from training.tickets import LabelledTicket

AnyPredictor = TypeVar("AnyPredictor", bound=LeafPredictor)

CALIBRATION_TICKETS = Path(__file__).parent / "data" / "calibration.jsonl"
COVERAGE = 0.97
# Labels of tickets are not all right: sets that hold the wrong ones as well would help nobody.
TICKET_COVERAGE = 0.95
AUTO_PRECISION = 0.98
SUGGEST_PRECISION = 0.80
# Less likely right than wrong is no suggestion, whatever precision holds above it.
LEAST_SUGGESTED = 0.5
# Shorter says (characters) are harder than tickets: they lack the context.
TICKET_LENGTH = 40
# Of fewer texts of a few words no table of their own is fitted.
_ENOUGH_BRIEF = 100
_BINS = 20
_LEAST_IN_BIN = 10
# Bands of the conformal sets at most, and how many texts each must have at least.
_BANDS = 8
_LEAST_IN_BAND = 100
_PORTION = 512
_Z = 1.645  # one-sided 95 %


def read_labelled_tickets(path: Path = CALIBRATION_TICKETS) -> list[LabelledTicket]:
    """Read hand-labelled tickets (``text code codes_ok also unit unit_ok`` per line).

    Raises
    ------
    DataError
        Naming the line.
    """
    tickets = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            codes = (row["code"], *row.get("codes_ok", ()), *row.get("also", ()))
            units = (row["unit"], *row.get("unit_ok", ()))
            tickets.append(LabelledTicket(row["text"], codes, units))
        except (ValueError, KeyError, TypeError) as fault:
            raise DataError(f"不是标注工单：{fault!r}", path=path, line=number) from None
    return tickets


def prepared_texts() -> list[str]:
    """Return the hand-written texts that every bundle with ``says`` was fitted or calibrated on."""
    return [*(t.text for t in read_labelled_tickets()), *(c.text for c in training_calls())]


@dataclass(frozen=True)
class Unseen:
    """Scored texts that the model never saw.

    Attributes
    ----------
    probabilities
        Leaf probabilities, shape ``(n, leaves)``.
    right
        Acceptable leaf rows of each text.
    units
        Acceptable unit classes of each text.
    weights
        Weight of each text, shape ``(n,)``; sums to one.
    """

    probabilities: Floats
    right: Sequence[Ints]
    units: Sequence[tuple[str, ...]]
    weights: Floats

    def part(self, mask: ArrayLike) -> Unseen:
        """Return the texts of a mask, all of the same weight."""
        rows = np.flatnonzero(mask)
        return Unseen(
            self.probabilities[rows],
            [self.right[i] for i in rows.tolist()],
            [self.units[i] for i in rows.tolist()],
            np.full(len(rows), 1 / max(len(rows), 1), np.float32),
        )


@dataclass(frozen=True)
class UnseenByLength:
    """Unseen texts as long as a ticket, and calls of a few words if there are enough of them."""

    usual: Unseen
    brief: Unseen | None


def unseen_tickets(
    classifier: LeafPredictor, knowledge: Knowledge, tickets: Sequence[LabelledTicket]
) -> UnseenByLength:
    """Score labelled tickets, all of the same weight."""
    scored = _scored(classifier, knowledge, tickets)
    brief = scored.part([_is_brief(t) for t in tickets])
    return UnseenByLength(scored, brief if len(brief.weights) >= _ENOUGH_BRIEF else None)


def unseen_tickets_and_says(
    classifier: LeafPredictor,
    knowledge: Knowledge,
    tickets: Sequence[LabelledTicket],
    recipe: Recipe,
) -> UnseenByLength:
    """Score tickets, the prepared ones among them, and held-out ``says``, half the weight each.

    Parameters
    ----------
    recipe
        That of the classifier, for the sister model that never saw the held-out ``says``.
    """
    catalogue = knowledge.catalogue
    held_out = held_out_fold(catalogue, 0, recipe=recipe)
    says = Unseen(
        held_out.probabilities,
        [np.array([row]) for row in held_out.leaf_of],
        [(catalogue.leaves[row].unit,) for row in held_out.leaf_of],
        np.ones(len(held_out.texts), np.float32),
    )
    all_tickets = (*tickets, *read_labelled_tickets())
    known = [t for t in all_tickets if any(c in catalogue.index for c in t.codes)]
    scored = _scored(classifier, knowledge, known)
    lengths = np.array([len(text) for text in held_out.texts])
    few_words = np.array([_is_brief(t) for t in known], bool)
    usual = _half_each(scored.part(~few_words), says.part(lengths >= TICKET_LENGTH))
    brief = _half_each(scored.part(few_words), says.part(lengths < BRIEF))
    return UnseenByLength(usual, brief if len(brief.weights) >= _ENOUGH_BRIEF else None)


def _scored(
    classifier: LeafPredictor, knowledge: Knowledge, tickets: Sequence[LabelledTicket]
) -> Unseen:
    catalogue = knowledge.catalogue
    return Unseen(
        _in_portions(classifier.probabilities, tickets),
        [np.array([catalogue.index[c] for c in t.codes if c in catalogue.index]) for t in tickets],
        [_unit_classes(knowledge, t) for t in tickets],
        np.full(len(tickets), 1 / max(len(tickets), 1), np.float32),
    )


def _is_brief(ticket: LabelledTicket) -> bool:
    return len(normalise(ticket.text).text) < BRIEF


def _half_each(one: Unseen, other: Unseen) -> Unseen:
    """Join two kinds of text of the same weight, if there are any of both."""
    weights = np.concatenate([one.weights, other.weights])
    return Unseen(
        np.concatenate([one.probabilities, other.probabilities]),
        [*one.right, *other.right],
        [*one.units, *other.units],
        (weights / max(weights.sum(), 1e-9)).astype(np.float32),
    )


def _in_portions(
    score: Callable[[Sequence[str]], Floats], tickets: Sequence[LabelledTicket]
) -> Floats:
    """Score tickets in portions, to bound the memory."""
    texts = [normalise(t.text).text for t in tickets]
    return np.concatenate(
        [score(texts[i : i + _PORTION]) for i in range(0, max(len(texts), 1), _PORTION)]
    )


def _unit_classes(knowledge: Knowledge, ticket: LabelledTicket) -> tuple[str, ...]:
    """Return the unit classes a ticket may go to; labels may give the names of units instead.

    Of a ticket that names no unit, the directions of its leaves.
    """
    if ticket.units:
        named = knowledge.units.classes_of
        return tuple(
            unit_class
            for unit in ticket.units
            for unit_class in ((unit,) if unit in UNIT_CLASS_SET else named(unit) or (unit,))
        )
    known = knowledge.catalogue.by_code
    return tuple(known[c].unit for c in ticket.codes if c in known)


def monotone_map(scores: Floats, correct: Floats, weights: Floats) -> MonotoneMap:
    """Fit a non-decreasing map from score to probability of being correct.

    Scores are put in bins of equal weight first: isotonic steps on single points follow noise.
    """
    order = np.argsort(scores, kind="stable")
    position = np.cumsum(weights[order]) / weights.sum()
    most = min(_BINS, max(len(scores) // _LEAST_IN_BIN, 1))
    bins = np.minimum((position * most).astype(int), most - 1)
    x, y, w = [], [], []
    for b in range(most):
        inside = order[bins == b]
        if len(inside):
            x.append(float(np.average(scores[inside], weights=weights[inside])))
            y.append(float(np.average(correct[inside], weights=weights[inside])))
            w.append(float(weights[inside].sum()))
    fitted = isotonic_regression(y, weights=w).x
    return MonotoneMap(
        (0.0, *x, 1.0),
        (0.0, *(float(v) for v in fitted), float(fitted[-1])),
    )


def with_temperature(
    classifier: LeafPredictor, catalogue: Catalogue, tickets: Sequence[LabelledTicket]
) -> tuple[LeafPredictor, float]:
    """Scale the logits by the temperature that makes the labels most likely (Guo et al. 2017).

    The least negative log-likelihood of all acceptable leaves together is sought between
    temperatures 1/4 and 4.
    """
    logits = _in_portions(classifier.logits, tickets)
    right = [[catalogue.index[c] for c in t.codes] for t in tickets]
    logits -= logits.max(axis=1, keepdims=True)

    def loss(log_temperature: float) -> float:
        scaled = np.exp(logits / np.float32(np.exp(log_temperature)))
        total = scaled.sum(axis=1)
        hit = np.array([scaled[i, r].sum() for i, r in enumerate(right)])
        return float(-np.log(np.maximum(hit / total, 1e-12)).mean())

    best = minimize_scalar(loss, bounds=(-np.log(4), np.log(4)), method="bounded")
    temperature = float(np.exp(best.x))
    return classifier.tempered(temperature), temperature


def fit_set_rule(unseen: Unseen, coverage: float) -> SetRule:
    """Return the rule whose sets hold a right leaf in ``coverage`` of the texts of every band.

    The bands have about the same weight each; within a band this is split conformal prediction with the
    ratio of the right leaf's probability to the best one's as score.
    """
    p, weights = unseen.probabilities, unseen.weights
    first = p.max(axis=1)
    right = np.array([row[r].max() for row, r in zip(p, unseen.right, strict=True)])
    rank = (p > right[:, None]).sum(axis=1)
    # A leaf that no set is large enough for is not reached by any ratio.
    ratios = np.where(rank < LARGEST, right / np.maximum(first, 1e-12), 0.0)
    order = np.argsort(first, kind="stable")
    position = np.cumsum(weights[order]) / weights.sum()
    bands = int(np.clip(len(first) // _LEAST_IN_BAND, 1, _BANDS))
    starts = np.searchsorted(position, np.arange(1, bands) / bands)
    bounds = first[order[_apart(starts, len(first))]]
    band_of = np.searchsorted(bounds, first, "right")
    bands = len(bounds) + 1
    return SetRule(
        tuple(float(v) for v in bounds),
        tuple(
            _reached_by(ratios[band_of == b], weights[band_of == b], coverage) for b in range(bands)
        ),
        coverage,
    )


def _apart(starts: Ints, end: int) -> Ints:
    """Return those starts that leave enough texts between each other and before the end.

    Where few heavy texts stand beside many light ones, bands of the same weight may hold a handful.
    """
    kept: list[int] = []
    for start in starts.tolist():
        before = kept[-1] if kept else 0
        if start - before >= _LEAST_IN_BAND and end - start >= _LEAST_IN_BAND:
            kept.append(start)
    return np.array(kept, dtype=np.int64)


def _reached_by(ratios: Floats, weights: Floats, coverage: float) -> float:
    """Return the greatest ratio that a share ``coverage`` of the texts reaches."""
    order = np.argsort(-ratios, kind="stable")
    # The text to come is one more beside those at hand.
    wanted = weights.sum() * coverage * (1 + 1 / max(len(ratios), 1))
    at = int(np.searchsorted(np.cumsum(weights[order]), wanted))
    return float(ratios[order[at]]) if at < len(order) else 0.0


def threshold_for(scores: Floats, correct: Floats, weights: Floats, precision: float) -> float:
    """Return the least score above which precision holds with 95 % confidence (Wilson bound).

    1.01, which no score reaches, if it never holds.
    """
    order = np.argsort(-scores, kind="stable")
    w = weights[order]
    hits = np.cumsum(w * correct[order])
    total = np.cumsum(w)
    # Kish's effective sample size of the weighted texts above each score.
    n = total**2 / np.maximum(np.cumsum(w**2), 1e-12)
    p = hits / total
    centre = p + _Z**2 / (2 * n)
    spread = _Z * np.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    bound = (centre - spread) / (1 + _Z**2 / n)
    # Texts of the same score stand or fall together.
    last_of_score = np.append(np.diff(scores[order]) != 0, True)
    good = np.flatnonzero((bound >= precision) & last_of_score)
    return float(scores[order[good[-1]]]) if len(good) else 1.01


def _runners_up(p: Floats, right: Sequence[Ints], weights: Floats) -> float:
    """Return how often, where the best leaf is wrong, another of the best ``TOP_K`` is right."""
    best = np.argsort(-p, axis=1, kind="stable")[:, :TOP_K]
    hits = np.array([np.isin(row, r) for row, r in zip(best, right, strict=True)])
    wrong = ~hits[:, 0]
    return (
        float(np.average(hits[wrong].any(axis=1), weights=weights[wrong])) if wrong.any() else 1.0
    )


def calibrate(
    classifier: AnyPredictor,
    unseen: UnseenByLength,
    unit_mass: Callable[[Floats], tuple[Floats, list[str]]],
    *,
    coverage: float = COVERAGE,
    auto_precision: float = AUTO_PRECISION,
    suggest_precision: float = SUGGEST_PRECISION,
    fitted_on: str = "校准工单与留出例句各占一半权重",
) -> tuple[AnyPredictor, Calibration]:
    """Fit maps, conformal threshold and decision thresholds.

    Parameters
    ----------
    unit_mass
        From leaf probabilities to the mass that agrees on the lead unit and its class.
    coverage
        Share of texts whose conformal set holds a right leaf.
    auto_precision, suggest_precision
        Precision of the lead unit that holds, with 95 % confidence, above either threshold.
    fitted_on
        What the texts are, for the model card.
    """
    maps, scores, right = _fit_maps(classifier, unseen.usual, unit_mass, fitted_on)
    weights = unseen.usual.weights
    auto_at = threshold_for(scores, right, weights, auto_precision)
    suggest_at = threshold_for(scores, right, weights, suggest_precision)
    suggest_at = min(max(suggest_at, LEAST_SUGGESTED), auto_at)
    brief = None
    if unseen.brief is not None:
        few_words, _, _ = _fit_maps(classifier, unseen.brief, unit_mass, fitted_on)
        brief = replace(few_words, auto_at=auto_at, suggest_at=suggest_at)
    return (
        replace(
            classifier,  # type: ignore[type-var]  # its subclasses are dataclasses
            set_rule=fit_set_rule(unseen.usual, coverage),
        ),
        replace(maps, auto_at=auto_at, suggest_at=suggest_at, brief=brief),
    )


def _fit_maps(
    classifier: LeafPredictor,
    unseen: Unseen,
    unit_mass: Callable[[Floats], tuple[Floats, list[str]]],
    fitted_on: str,
) -> tuple[Calibration, Floats, Floats]:
    """Return the maps, and of each text the confidence of its unit and whether that is right."""
    p, w = unseen.probabilities, unseen.weights
    top = p.argmax(axis=1)
    leaf_ok = np.array([t in r for t, r in zip(top, unseen.right, strict=True)], np.float32)
    classes = classifier.class_probabilities(p)
    class_top = classes.argmax(axis=1)
    class_ok = np.array(
        [c in classifier.class_of[r] for c, r in zip(class_top, unseen.right, strict=True)],
        np.float32,
    )
    mass, unit_class = unit_mass(p)
    unit_ok = np.array(
        [u in truth for u, truth in zip(unit_class, unseen.units, strict=True)], np.float32
    )
    maps = Calibration(
        leaf=monotone_map(p.max(axis=1), leaf_ok, w),
        level1=monotone_map(classes.max(axis=1), class_ok, w),
        unit=monotone_map(mass, unit_ok, w),
        runners_up=_runners_up(p, unseen.right, w),
        fitted_on=f"{len(w)} 条未参与训练的文本（{fitted_on}）",
    )
    # Ties of the step map are broken by the raw mass, which the thresholds must not see.
    return maps, np.array([maps.unit(float(m)) for m in mass], np.float32), unit_ok
