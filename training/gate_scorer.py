"""Fit the gate scorer: hand-written cases of every gate against near misses and ordinary matters.

One logistic regression per gate finds its cases; a multinomial one, over the emergencies alone, the
line to call. N-grams that tell a gate's cases from the rest may weigh more (log-count ratio, Wang &
Manning 2012), so that a new turn of phrase is not drowned by the ordinary words around it. Of a
long case only one stretch need say what the gate is about: the first round learns from the short
ones, the second also from the stretch of each long one that sounds most like it. The threshold of a
gate is the least at which at most ``FALSE_ALARMS`` of ordinary texts it was not fitted on raise it:
the tickets of ``training/data/calibration.jsonl`` and says, as long as tickets, of leaves that are
no such cases by nature.

``emergency_dev.tsv``, ``emergency_dev_plain.tsv`` (danger told without its textbook words) and
``gates_dev.tsv`` are by other hands and never fitted on: words and scores together are measured by
them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, softmax
from threadpoolctl import threadpool_limits

from jiesu_nlp.classify.features import Csr, Floats, Ints
from jiesu_nlp.gate_scorer import BITS, GateScorer, buckets, windows
from jiesu_nlp.gates import LINES, REFUSALS
from jiesu_nlp.knowledge import Knowledge
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.vocabulary import Gate, Tier
from training.calibration import CALIBRATION_TICKETS, TICKET_LENGTH
from training.calls import EMERGENCIES, REFUSED, read_calls
from training.texts import no_matter_texts

NONE = Gate.NONE.value
SCORED = (Gate.EMERGENCY.value, *(gate.value for gate in REFUSALS))
# An emergency missed costs more than a question too many. Among the ordinary texts that sound most
# like a court's or an arbitrator's business, half are: these says belong to other leaves as well.
FALSE_ALARMS = {
    **dict.fromkeys(SCORED, 0.002),
    Gate.EMERGENCY.value: 0.013,
    Gate.STATUTORY.value: 0.004,
}
# So much lower (in log odds) may the score of an emergency be where words of its gate stand.
WORDS_ARE_WORTH = 1.75
_SAYS_WEIGHT = 0.5
_CASE_WEIGHT = 3.0
_L2 = 0.05
_LINE_L2 = 0.05
_STEPS = 60
_SMOOTHING = 0.5
# Weight of an n-gram as common in a gate's cases as elsewhere.
_TELLS_NOTHING = 0.3


def ordinary_tickets(path: Path = CALIBRATION_TICKETS) -> list[str]:
    """Return the texts of the calibration tickets that raise no gate and are no 2-hour matter."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        normalise(row["text"]).text
        for row in rows
        if row.get("gate", NONE) == NONE and row.get("tier") != Tier.TWO_HOURS
    ]


@dataclass(frozen=True)
class Says:
    """The catalogue's says, normalised: those that are cases by nature, and the others."""

    gates: list[str]
    cases: list[str]
    fitted: list[str]
    held_out: list[str]


def sort_says(knowledge: Knowledge) -> Says:
    """Sort the says of all leaves that are no 2-hour matters: three in five to fit on.

    A text decides by itself which it is, so that new says move no others.
    """
    gate_of_leaf = knowledge.gates.gate_of_leaf
    says = Says([], [], [], [])
    for leaf in knowledge.catalogue.leaves:
        gate = gate_of_leaf.get(leaf.code, NONE)
        texts = [normalise(text).text for text in leaf.says]
        if gate in REFUSALS:
            says.gates.extend([gate] * len(texts))
            says.cases.extend(texts)
        elif leaf.limit != Tier.TWO_HOURS:
            for text in texts:
                fitted = crc32(text.encode()) % 5 < 3
                (says.fitted if fitted else says.held_out).append(text)
    return says


@dataclass(frozen=True)
class _Stretches:
    """The stretches of all texts.

    Attributes
    ----------
    counts
        N-grams of each stretch in the columns that carry a weight, shape ``(stretches, columns)``.
    keys
        Bucket of each column.
    weights
        Inverse text frequency of each column.
    rows
        ``counts`` weighted, each stretch of length one.
    starts
        First stretch of each text, and the number of all, shape ``(texts + 1,)``.
    """

    counts: Csr
    keys: NDArray[np.int32]
    weights: Floats
    rows: Csr
    starts: Ints


def _stretches(texts: Sequence[str]) -> _Stretches:
    parts = [[text[a:b] for a, b in windows(text)] for text in texts]
    counts = _counts([part for own in parts for part in own])
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    keys = np.flatnonzero(frequency >= 2).astype(np.int32)
    counts = sparse.csr_matrix(counts[:, keys])
    weights = np.log(counts.shape[0] / frequency[keys]).astype(np.float32)
    # The length is that of the run-time score, which counts repeats one by one.
    length = np.sqrt(counts @ (weights.astype(np.float64) ** 2))
    rows = sparse.diags(1 / np.maximum(length, 1e-9)) @ counts @ sparse.diags(weights)
    starts = np.append(0, np.cumsum([len(own) for own in parts]))
    return _Stretches(counts, keys, weights, sparse.csr_matrix(rows), starts)


def _counts(texts: Sequence[str]) -> Csr:
    found = [buckets(text)[0] for text in texts]
    starts = np.append(0, np.cumsum([len(f) for f in found]))
    flat = np.concatenate(found)
    rows = sparse.csr_matrix(
        (np.ones(len(flat), np.float64), flat, starts), shape=(len(texts), 1 << BITS)
    )
    rows.sum_duplicates()
    return rows


def _telling(counts: Csr, case: NDArray[np.bool_]) -> Floats:
    """Return how freely the weight of each n-gram may grow: how well it tells cases from others."""
    present = counts > 0
    frequency = np.asarray(present.sum(axis=0)).ravel()
    among = np.asarray(present[case].sum(axis=0)).ravel()
    ratio = (among + _SMOOTHING) / case.sum()
    ratio /= (frequency - among + _SMOOTHING) / (~case).sum()
    telling: Floats = np.sqrt(np.abs(np.log(ratio)) + _TELLS_NOTHING)
    return telling


def _fit_gate(
    stretches: _Stretches, case: NDArray[np.bool_], weight: Floats
) -> tuple[Floats, float]:
    """Return the weights and bias of one gate.

    Parameters
    ----------
    case, weight
        Of each text: whether it is a case of the gate, and how much it counts.
    """
    starts = stretches.starts
    sizes = np.diff(starts)
    is_case = np.repeat(case, sizes)
    single = np.repeat(sizes == 1, sizes)
    # Of a long text that is none, all stretches together count as one text.
    counts = np.repeat(np.where(case, weight, weight / sizes), sizes)
    used = ~is_case | single
    telling = _telling(stretches.counts, is_case & single)
    rows = sparse.csr_matrix(stretches.rows @ sparse.diags(telling))
    gains, bias = _fit_binary(rows[used], is_case[used], counts[used])
    score = rows @ gains
    for text in np.flatnonzero(case & (sizes > 1)):
        first, last = starts[text], starts[text + 1]
        used[first + score[first:last].argmax()] = True
    gains, bias = _fit_binary(rows[used], is_case[used], counts[used])
    return (telling * gains).astype(np.float32), bias


def _fit_binary(rows: Csr, case: NDArray[np.bool_], weight: Floats) -> tuple[Floats, float]:
    size = rows.shape[1]
    back = sparse.csr_matrix(rows.T)
    sign = np.where(case, 1.0, -1.0)

    def loss(p: Any) -> tuple[float, Any]:
        margin = -sign * (rows @ p[:size] + p[size])
        slope = -sign * weight * expit(margin)
        value = (weight * np.logaddexp(0, margin)).sum() + _L2 * (p[:size] @ p[:size]) / 2
        return float(value), np.append(back @ slope + _L2 * p[:size], slope.sum())

    found = minimize(
        loss, np.zeros(size + 1), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}
    ).x
    return found[:size].astype(np.float32), float(found[size])


def _fit_lines(rows: Csr, line_of: Ints) -> tuple[Floats, Floats]:
    size, many = rows.shape[1], len(LINES)
    back = sparse.csr_matrix(rows.T)
    truth = np.eye(many)[line_of]

    def loss(p: Any) -> tuple[float, Any]:
        w, b = p[: size * many].reshape(size, many), p[size * many :]
        logits = rows @ w + b
        value = -(truth * log_softmax(logits, axis=1)).sum() + _LINE_L2 * (w**2).sum() / 2
        slope = softmax(logits, axis=1) - truth
        return float(value), np.append((back @ slope + _LINE_L2 * w).ravel(), slope.sum(axis=0))

    found = minimize(
        loss, np.zeros((size + 1) * many), jac=True, method="L-BFGS-B", options={"maxiter": 30}
    ).x
    return (
        found[: size * many].reshape(size, many).astype(np.float32),
        found[size * many :].astype(np.float32),
    )


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


def fit_scorer(kinds: Sequence[str], texts: Sequence[str], ordinary: Sequence[str]) -> GateScorer:
    """Fit on labelled texts and ordinary ones; every threshold is one half.

    Parameters
    ----------
    kinds
        Of each text its line, if it is an emergency, its gate, or ``none``.
    """
    gates = [Gate.EMERGENCY.value if kind in LINES else kind for kind in kinds]
    gate_of = np.array([*gates, *[NONE] * len(ordinary)])
    stretches = _stretches([*texts, *ordinary])
    weight = np.full(len(gate_of), _SAYS_WEIGHT)
    weight[: len(texts)] = 1.0
    first = stretches.starts[:-1]
    emergencies = np.flatnonzero(gate_of == Gate.EMERGENCY)
    line_of = np.array([LINES.index(kinds[i]) for i in emergencies.tolist()])
    # The matrices are small: a second BLAS thread only waits for its turn.
    with threadpool_limits(limits=1, user_api="blas"):
        fitted = [
            _fit_gate(stretches, gate_of == gate, np.where(gate_of == gate, _CASE_WEIGHT, weight))
            for gate in SCORED
        ]
        line_weights, line_bias = _fit_lines(
            sparse.csr_matrix(stretches.rows[first[emergencies]]), line_of
        )
    return GateScorer(
        gates=SCORED,
        keys=stretches.keys,
        weights=stretches.weights,
        gains=np.stack([gains for gains, _ in fitted], axis=1),
        bias=np.array([bias for _, bias in fitted]),
        thresholds=np.full(len(SCORED), 0.5),
        floor=0.0,
        lines=LINES,
        line_weights=line_weights,
        line_bias=line_bias,
    )


def cases_and_near_misses(says: Says) -> tuple[list[str], list[str]]:
    """Return kinds and texts of all hand-written calls, and of says that are cases by nature.

    Texts without any matter (您好) are cases of nothing.
    """
    emergencies, refused = read_calls(EMERGENCIES), read_calls(REFUSED, REFUSALS)
    kinds, texts = lengthened([c.kind for c in emergencies], [c.text for c in emergencies])
    nothing = [normalise(text).text for text in no_matter_texts()]
    return (
        [*kinds, *(c.kind for c in refused), *[NONE] * len(nothing), *says.gates],
        [*texts, *(c.text for c in refused), *nothing, *says.cases],
    )


def fit_gate_scorer(knowledge: Knowledge) -> GateScorer:
    """Fit the scorer of a bundle and choose its thresholds."""
    says = sort_says(knowledge)
    scorer = fit_scorer(*cases_and_near_misses(says), says.fitted)
    unseen = scorer.score(ordinary_texts(says)).probabilities
    allowed = [1 - FALSE_ALARMS[gate] for gate in SCORED]
    thresholds = np.array(
        [
            np.nextafter(np.quantile(p, share, method="higher"), 1)
            for p, share in zip(unseen.T, allowed, strict=True)
        ]
    )
    floor = float(expit(logit(thresholds[0]) - WORDS_ARE_WORTH))
    return replace(scorer, thresholds=thresholds, floor=floor)


def ordinary_texts(says: Says) -> list[str]:
    """Return ordinary texts, as long as tickets, that no scorer was fitted on."""
    return [*ordinary_tickets(), *[t for t in says.held_out if len(t) >= TICKET_LENGTH]]
