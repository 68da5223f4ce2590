"""Fit the emergency scorer: hand-written emergencies against near misses and ordinary matters.

A logistic regression finds danger going on now; a multinomial one, over the emergencies alone, the
line to call. N-grams that tell danger from the rest weigh more (log-count ratio, Wang & Manning
2012), so that a new turn of phrase is not drowned by the ordinary words around it. The threshold is
the least at which at most ``FALSE_ALARMS`` of ordinary texts it was not fitted on raise the gate:
the tickets of ``training/data/calibration.jsonl`` and says of leaves that are no 2-hour matters.

``training/data/emergency_dev.tsv`` is by another batch of writing and never fitted on: it is what
words and score together are measured by. ``emergency_dev_plain.tsv`` is harder: danger told without
its textbook words, long letters, and near misses of every kind; no gate was written after it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, softmax
from threadpoolctl import threadpool_limits

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.classify.features import Csr, Floats, Ints
from jiesu_nlp.emergency import BITS, EmergencyScorer, buckets
from jiesu_nlp.errors import DataError
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.vocabulary import Gate, Tier
from training.calibration import CALIBRATION_TICKETS

EMERGENCIES = Path(__file__).parent / "data" / "emergency.tsv"
DEVELOPMENT = EMERGENCIES.with_name("emergency_dev.tsv")
PLAIN_WORDS = EMERGENCIES.with_name("emergency_dev_plain.tsv")
KINDS = ("110", "119", "120", "122", "gas")
NONE = "none"
FALSE_ALARMS = 0.01
# So much lower (in log odds) may the score be where words of a gate stand.
WORDS_ARE_WORTH = 1.75
_SAYS = 20_000
_HELD_OUT = 10_000
_SAYS_WEIGHT = 0.5
_POSITIVE_WEIGHT = 3.0
_L2 = 0.1
_KIND_L2 = 0.05
_STEPS = 60
_SMOOTHING = 0.5
# Weight of an n-gram as common in danger as elsewhere.
_TELLS_NOTHING = 0.3


def read_emergencies(path: Path = EMERGENCIES) -> tuple[list[str], list[str]]:
    """Return kinds and texts (normalised as tickets are) of the hand-written file.

    Raises
    ------
    DataError
        Naming the line.
    """
    kinds, texts = [], []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[1:], start=2):
        kind, tab, text = line.partition("\t")
        if kind not in (*KINDS, NONE) or not tab or not text.strip():
            raise DataError(
                f"应为“类型<制表符>文字”，类型是 {'、'.join((*KINDS, NONE))} 之一",
                path=path,
                line=number,
            )
        kinds.append(kind)
        texts.append(normalise(text).text)
    return kinds, texts


def ordinary_tickets(path: Path = CALIBRATION_TICKETS) -> list[str]:
    """Return the texts of the calibration tickets that are no emergency and no 2-hour matter."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        normalise(row["text"]).text
        for row in rows
        if row.get("gate") != Gate.EMERGENCY and row.get("tier") != Tier.TWO_HOURS
    ]


def _counts(texts: list[str]) -> Csr:
    found = [buckets(text)[0] for text in texts]
    starts = np.append(0, np.cumsum([len(f) for f in found]))
    flat = np.concatenate(found)
    rows = sparse.csr_matrix(
        (np.ones(len(flat), np.float64), flat, starts), shape=(len(texts), 1 << BITS)
    )
    rows.sum_duplicates()
    return rows


def _telling(counts: Csr, danger: Any) -> Floats:
    """Weigh n-grams: inverse text frequency times how much they tell danger from the rest."""
    present = counts > 0
    frequency = np.asarray(present.sum(axis=0)).ravel()
    among = np.asarray(present[danger].sum(axis=0)).ravel()
    ratio = (among + _SMOOTHING) / danger.sum()
    ratio /= (frequency - among + _SMOOTHING) / (~danger).sum()
    telling = np.sqrt(np.abs(np.log(ratio)) + _TELLS_NOTHING)
    weights: Floats = (np.log(counts.shape[0] / frequency) * telling).astype(np.float32)
    return weights


def _rows(counts: Csr, weights: Floats) -> Csr:
    """Weigh counts; the length is that of the run-time score, which counts repeats one by one."""
    length = np.sqrt(counts @ (weights.astype(np.float64) ** 2))
    scaled = sparse.diags(1 / np.maximum(length, 1e-9)) @ counts @ sparse.diags(weights)
    return sparse.csr_matrix(scaled)


def _fit_danger(rows: Csr, danger: Any, weight: Any) -> tuple[Floats, float]:
    size = rows.shape[1]
    back = sparse.csr_matrix(rows.T)
    sign = np.where(danger, 1.0, -1.0)

    def loss(p: Any) -> tuple[float, Any]:
        margin = -sign * (rows @ p[:size] + p[size])
        slope = -sign * weight * expit(margin)
        value = (weight * np.logaddexp(0, margin)).sum() + _L2 * (p[:size] @ p[:size]) / 2
        return float(value), np.append(back @ slope + _L2 * p[:size], slope.sum())

    found = minimize(
        loss, np.zeros(size + 1), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}
    ).x
    return found[:size].astype(np.float32), float(found[size])


def _fit_kinds(rows: Csr, kind_of: Ints) -> tuple[Floats, Floats]:
    size, many = rows.shape[1], len(KINDS)
    back = sparse.csr_matrix(rows.T)
    truth = np.eye(many)[kind_of]

    def loss(p: Any) -> tuple[float, Any]:
        w, b = p[: size * many].reshape(size, many), p[size * many :]
        logits = rows @ w + b
        value = -(truth * log_softmax(logits, axis=1)).sum() + _KIND_L2 * (w**2).sum() / 2
        slope = softmax(logits, axis=1) - truth
        return float(value), np.append((back @ slope + _KIND_L2 * w).ravel(), slope.sum(axis=0))

    found = minimize(
        loss, np.zeros((size + 1) * many), jac=True, method="L-BFGS-B", options={"maxiter": 30}
    ).x
    return (
        found[: size * many].reshape(size, many).astype(np.float32),
        found[size * many :].astype(np.float32),
    )


def fit_scorer(
    kinds: list[str], texts: list[str], ordinary: list[str], threshold: float = 0.5
) -> EmergencyScorer:
    """Fit on labelled texts and ordinary ones."""
    counts = _counts([*texts, *ordinary])
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    keys = np.flatnonzero(frequency >= 2).astype(np.int32)
    counts = sparse.csr_matrix(counts[:, keys])
    danger = np.array([k != NONE for k in kinds] + [False] * len(ordinary))
    weights = _telling(counts, danger)
    rows = _rows(counts, weights)
    weight = np.where(danger, _POSITIVE_WEIGHT, 1.0)
    weight[len(texts) :] = _SAYS_WEIGHT
    positives = np.flatnonzero(danger)
    # The matrices are small: a second BLAS thread only waits for its turn.
    with threadpool_limits(limits=1, user_api="blas"):
        w, bias = _fit_danger(rows, danger, weight)
        kind_of = np.array([KINDS.index(kinds[i]) for i in positives])
        kind_w, kind_b = _fit_kinds(sparse.csr_matrix(rows[positives]), kind_of)
    return EmergencyScorer(keys, weights, w, bias, KINDS, kind_w, kind_b, threshold)


def lengthened(kinds: list[str], texts: list[str]) -> tuple[list[str], list[str]]:
    """Return the texts and each once more, joined with another of its kind.

    Callers say more than the short lines of the file.
    """
    draw = np.random.default_rng(0)
    of_kind = {kind: [t for k, t in zip(kinds, texts, strict=True) if k == kind] for kind in kinds}
    longer = [
        f"{text},{of_kind[kind][draw.integers(len(of_kind[kind]))]}"
        for kind, text in zip(kinds, texts, strict=True)
    ]
    return kinds + kinds, texts + longer


def sample_says(catalogue: Catalogue, most: int = _SAYS) -> tuple[list[str], list[str]]:
    """Return says of leaves that are no 2-hour matters: ``most`` to fit on, others to hold out."""
    says = [s for leaf in catalogue.leaves if leaf.limit != Tier.TWO_HOURS for s in leaf.says]
    order = np.random.default_rng(0).permutation(len(says))
    most = min(most, len(says) * 2 // 3)
    fitted, held_out = order[:most], order[most : most + _HELD_OUT]
    return [normalise(says[i]).text for i in fitted], [normalise(says[i]).text for i in held_out]


def fit_emergency(catalogue: Catalogue) -> EmergencyScorer:
    """Fit the scorer of a bundle and choose its threshold."""
    kinds, texts = lengthened(*read_emergencies())
    says, held_out = sample_says(catalogue)
    scorer = fit_scorer(kinds, texts, says)
    unseen = np.array(
        [alarm.probability for alarm in scorer.alarms([*ordinary_tickets(), *held_out])]
    )
    threshold = float(np.nextafter(np.quantile(unseen, 1 - FALSE_ALARMS, method="higher"), 1))
    floor = float(expit(logit(threshold) - WORDS_ARE_WORTH))
    return replace(scorer, threshold=threshold, floor=floor)
