"""Calibrate a cold-start model on texts it never saw.

Two kinds of unseen text are weighed equally: hand-written tickets kept for this purpose
(``training/data/calibration.jsonl``), and those of a quarter of the catalogue's ``says`` that are as
long as a ticket, scored by a model that was trained without them. Tickets alone, written by people
who know the catalogue, are easier than what citizens send, and a map fitted on them promises too
much. ``docs/experiments.md`` has the figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from scipy.optimize import isotonic_regression, minimize_scalar

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.classify.predictor import LeafPredictor
from jiesu_nlp.confidence import Calibration, MonotoneMap
from jiesu_nlp.dispatcher import TOP_K
from jiesu_nlp.errors import DataError
from jiesu_nlp.text.normalise import normalise
from training.tickets import LabelledTicket

AnyPredictor = TypeVar("AnyPredictor", bound=LeafPredictor)

CALIBRATION_TICKETS = Path(__file__).parent / "data" / "calibration.jsonl"
COVERAGE = 0.95
AUTO_PRECISION = 0.98
SUGGEST_PRECISION = 0.80
# Less likely right than wrong is no suggestion, whatever precision holds above it.
LEAST_SUGGESTED = 0.5
# Shorter says (characters) are harder than any ticket: they lack the context.
TICKET_LENGTH = 30
_BINS = 20
_LEAST_IN_BIN = 10
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


@dataclass(frozen=True)
class Evidence:
    """Scored unseen texts.

    Attributes
    ----------
    probabilities
        Leaf probabilities, shape ``(n, leaves)``.
    right
        Whether each leaf is acceptable, as index arrays per text.
    weights
        Weight of each text, shape ``(n,)``; sums to one.
    """

    probabilities: Floats
    right: Sequence[Ints]
    weights: Floats


def gather(
    classifier: LeafPredictor,
    catalogue: Catalogue,
    tickets: Sequence[LabelledTicket],
    held_out: tuple[Floats, Ints],
) -> Evidence:
    """Score the tickets and join them with the held-out ``says``, half the weight each.

    Parameters
    ----------
    held_out
        Leaf probabilities and true leaf rows of ``says`` a sister model never saw.
    """
    known = [t for t in tickets if any(c in catalogue.index for c in t.codes)]
    probabilities = classifier.probabilities([normalise(t.text).text for t in known])
    right = [np.array([catalogue.index[c] for c in t.codes if c in catalogue.index]) for t in known]
    unseen, leaf_of = held_out
    shares = [len(known), len(leaf_of)]
    weights = np.repeat([0.5 / max(shares[0], 1), 0.5 / max(shares[1], 1)], shares)
    return Evidence(
        np.concatenate([probabilities, unseen]),
        [*right, *(np.array([row]) for row in leaf_of)],
        (weights / weights.sum()).astype(np.float32),
    )


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


def ticket_evidence(
    classifier: LeafPredictor, catalogue: Catalogue, tickets: Sequence[LabelledTicket]
) -> Evidence:
    """Score labelled tickets the classifier never saw, all of the same weight."""
    portions = [
        classifier.probabilities([normalise(t.text).text for t in tickets[i : i + _PORTION]])
        for i in range(0, len(tickets), _PORTION)
    ]
    return Evidence(
        np.concatenate(portions),
        [np.array([catalogue.index[c] for c in t.codes]) for t in tickets],
        np.full(len(tickets), 1 / len(tickets), np.float32),
    )


def with_temperature(
    classifier: LeafPredictor, catalogue: Catalogue, tickets: Sequence[LabelledTicket]
) -> tuple[LeafPredictor, float]:
    """Scale the logits by the temperature that makes the labels most likely (Guo et al. 2017).

    The least negative log-likelihood of all acceptable leaves together is sought between
    temperatures 1/4 and 4.
    """
    logits = np.concatenate(
        [
            classifier.logits([normalise(t.text).text for t in tickets[i : i + _PORTION]])
            for i in range(0, len(tickets), _PORTION)
        ]
    )
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


def conformal_threshold(evidence: Evidence, coverage: float) -> float:
    """Return the probability that a leaf of the set must have (LAC, Sadinle et al. 2019)."""
    best = np.array(
        [p[r].max() for p, r in zip(evidence.probabilities, evidence.right, strict=True)]
    )
    order = np.argsort(-best)
    reached = np.cumsum(evidence.weights[order])
    # The text to come is one more beside those at hand.
    wanted = coverage * (1 + 1 / len(best))
    at = min(int(np.searchsorted(reached, wanted)), len(order) - 1)
    return float(best[order[at]])


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
    good = np.flatnonzero(bound >= precision)
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
    evidence: Evidence,
    unit_mass: Callable[[Floats], tuple[Floats, list[str]]],
    unit_truth: Sequence[tuple[str, ...]],
    *,
    auto_precision: float = AUTO_PRECISION,
    suggest_precision: float = SUGGEST_PRECISION,
    fitted_on: str = "校准工单与留出例句各占一半权重",
) -> tuple[AnyPredictor, Calibration]:
    """Fit maps, conformal threshold and decision thresholds.

    Parameters
    ----------
    unit_mass
        From leaf probabilities to the mass that agrees on the lead unit and its class.
    unit_truth
        Acceptable unit classes of each text of the evidence.
    auto_precision, suggest_precision
        Precision of the lead unit that holds, with 95 % confidence, above either threshold.
    fitted_on
        What the texts are, for the model card.
    """
    p, w = evidence.probabilities, evidence.weights
    top = p.argmax(axis=1)
    leaf_ok = np.array([t in r for t, r in zip(top, evidence.right, strict=True)], np.float32)
    classes = classifier.class_probabilities(p)
    class_top = classes.argmax(axis=1)
    class_ok = np.array(
        [c in classifier.class_of[r] for c, r in zip(class_top, evidence.right, strict=True)],
        np.float32,
    )
    mass, unit_class = unit_mass(p)
    unit_ok = np.array(
        [u in truth for u, truth in zip(unit_class, unit_truth, strict=True)], np.float32
    )
    unit_map = monotone_map(mass, unit_ok, w)
    confidence = np.array([unit_map(float(m)) for m in mass], np.float32)
    # Ties of the step map are broken by the raw mass, which the thresholds must not see.
    auto_at = threshold_for(confidence, unit_ok, w, auto_precision)
    suggest_at = threshold_for(confidence, unit_ok, w, suggest_precision)
    calibration = Calibration(
        leaf=monotone_map(p.max(axis=1), leaf_ok, w),
        level1=monotone_map(classes.max(axis=1), class_ok, w),
        unit=unit_map,
        runners_up=_runners_up(p, evidence.right, w),
        auto_at=auto_at,
        suggest_at=min(max(suggest_at, LEAST_SUGGESTED), auto_at),
        fitted_on=f"{len(w)} 条未参与训练的文本（{fitted_on}）",
    )
    return (
        replace(
            classifier,  # type: ignore[type-var]  # its subclasses are dataclasses
            set_threshold=conformal_threshold(evidence, COVERAGE),
            coverage=COVERAGE,
        ),
        calibration,
    )
