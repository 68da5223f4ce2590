"""Measures of a scored test: plain functions over arrays, each with its interval.

Percentile bootstrap over tickets (Efron & Tibshirani 1993), 95 %; for what is not a mean, less
the bias of resampling: a calibration error of resampled tickets is greater than that of the tickets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Array = NDArray[Any]
Statistic = Callable[[NDArray[np.int64]], float]

RESAMPLES = 1000
# A statistic that is not a mean is computed anew for every resample.
COSTLY_RESAMPLES = 200
_BINS = 15


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure with its 95 % interval; ``n`` tickets could answer it."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """Return plain values; undefined ones are ``None``."""
        return {
            "value": _plain(self.value),
            "low": _plain(self.low),
            "high": _plain(self.high),
            "n": self.n,
        }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 5)


def interval(samples: Array) -> tuple[float, float]:
    """Return the 95 % percentile interval of bootstrap samples."""
    low, high = np.nanpercentile(samples, (2.5, 97.5))
    return float(low), float(high)


def mean_of(hits: Array, *, seed: int = 0) -> Measure:
    """Return the mean of 0/1 (or real) outcomes; ``nan`` marks tickets that cannot answer."""
    known = hits[~np.isnan(hits)].astype(np.float64)
    n = len(known)
    if n == 0:
        return Measure(math.nan, math.nan, math.nan, 0)
    value = float(known.mean())
    rng = np.random.default_rng(seed)
    if set(np.unique(known)) <= {0.0, 1.0}:
        # Resampling a list of zeros and ones is drawing a binomial number.
        samples = rng.binomial(n, value, RESAMPLES) / n
    else:
        samples = np.array([known[rng.integers(n, size=n)].mean() for _ in range(RESAMPLES)])
    low, high = interval(samples)
    return Measure(value, low, high, n)


def statistic_of(statistic: Statistic, n: int, *, seed: int = 0) -> Measure:
    """Return any statistic between 0 and 1 of a list of ticket numbers with its interval."""
    if n == 0:
        return Measure(math.nan, math.nan, math.nan, 0)
    rng = np.random.default_rng(seed)
    value = statistic(np.arange(n))
    samples = np.array([statistic(rng.integers(n, size=n)) for _ in range(COSTLY_RESAMPLES)])
    low, high = interval(np.clip(samples + (value - np.nanmean(samples)), 0, 1))
    return Measure(value, low, high, n)


def calibration_error(confidence: Array, correct: Array, *, bins: int = _BINS) -> float:
    """Return ECE with bins of equal count (Guo et al. 2017; Nguyen & O'Connor 2015)."""
    if len(confidence) == 0:
        return math.nan
    order = np.argsort(confidence, kind="stable")
    return float(
        sum(
            len(part) / len(order) * abs(confidence[part].mean() - correct[part].mean())
            for part in np.array_split(order, min(bins, math.ceil(len(order) / 2)))
        )
    )


def chance_calibration_error(confidence: Array, *, seed: int = 0) -> Measure:
    """Return the ECE that perfectly calibrated confidences would show on so few tickets.

    The mean over outcomes drawn from the confidences themselves, with the interval of 95 % of the
    draws: an ECE within it is no sign of miscalibration (Vaicenavicius et al. 2019).
    """
    n = len(confidence)
    if n == 0:
        return Measure(math.nan, math.nan, math.nan, 0)
    rng = np.random.default_rng(seed)
    draws = rng.random((COSTLY_RESAMPLES, n)) < confidence
    errors = np.array([calibration_error(confidence, drawn) for drawn in draws])
    low, high = interval(errors)
    return Measure(float(errors.mean()), low, high, n)


def reliability(confidence: Array, correct: Array, *, bins: int = 10) -> list[dict[str, float]]:
    """Return mean confidence, accuracy and count of bins of equal count, for the diagram."""
    order = np.argsort(confidence, kind="stable")
    return [
        {
            "confidence": float(confidence[part].mean()),
            "accuracy": float(correct[part].mean()),
            "n": len(part),
        }
        for part in np.array_split(order, min(bins, max(len(order), 1)))
        if len(part)
    ]


def macro_f1(truth: Array, guess: Array) -> float:
    """Return the mean F1 over the leaves that occur in ``truth``."""
    leaves, index = np.unique(truth, return_inverse=True)
    if not len(leaves):
        return math.nan
    right = np.bincount(index, weights=truth == guess, minlength=len(leaves))
    support = np.bincount(index, minlength=len(leaves))
    at = np.minimum(np.searchsorted(leaves, guess), len(leaves) - 1)
    guessed = np.bincount(at[leaves[at] == guess], minlength=len(leaves))
    return float((2 * right / (support + guessed)).mean())


def coverage_at(confidence: Array, correct: Array, precision: float) -> float:
    """Return the greatest share of tickets, surest first, of which ``precision`` are right.

    Tickets of equal confidence cannot be told apart: they are in or out together.
    """
    n = len(confidence)
    if n == 0:
        return math.nan
    order = np.argsort(-confidence, kind="stable")
    running = np.cumsum(correct[order]) / np.arange(1, n + 1)
    ends = np.append(confidence[order][:-1] != confidence[order][1:], True)
    good = np.flatnonzero(ends & (running >= precision - 1e-12))
    return float((good[-1] + 1) / n) if len(good) else 0.0


def risk_coverage(
    confidence: Array, correct: Array, *, points: int = 60
) -> list[tuple[float, float]]:
    """Return ``(coverage, error)`` when only the surest tickets are answered.

    Of tickets of equal confidence any may come first: each counts as their mean.
    """
    n = len(confidence)
    order = np.argsort(-confidence, kind="stable")
    _, group, size = np.unique(confidence, return_inverse=True, return_counts=True)
    expected = (np.bincount(group, weights=correct) / size)[group]
    errors = 1 - np.cumsum(expected[order]) / np.arange(1, n + 1)
    at = np.unique(np.linspace(max(n // points, 1), n, points).astype(int)) - 1
    return [(float((i + 1) / n), float(errors[i])) for i in at]


@dataclass(frozen=True, slots=True)
class Paired:
    """Two models on the same tickets.

    Attributes
    ----------
    first, second, difference
        Their figures and ``second - first``.
    low, high
        95 % interval of the difference (paired bootstrap).
    p_value
        Exact McNemar test for 0/1 outcomes, else two-sided bootstrap.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """Return plain values."""
        return {
            "first": _plain(self.first),
            "second": _plain(self.second),
            "difference": _plain(self.difference),
            "low": _plain(self.low),
            "high": _plain(self.high),
            "p_value": _plain(self.p_value),
            "n": self.n,
        }


_UNKNOWN = Paired(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, 0)


def paired_means(first: Array, second: Array, *, seed: int = 0) -> Paired:
    """Compare 0/1 outcomes ticket by ticket: McNemar (exact) and a paired bootstrap."""
    both = ~np.isnan(first) & ~np.isnan(second)
    a, b = first[both].astype(np.float64), second[both].astype(np.float64)
    n = len(a)
    if n == 0:
        return _UNKNOWN
    better, worse = int((b > a).sum()), int((a > b).sum())
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(n, [better / n, worse / n, 1 - (better + worse) / n], RESAMPLES)
    low, high = interval((draws[:, 0] - draws[:, 1]) / n)
    p = binomtest(better, better + worse, 0.5).pvalue if better + worse else 1.0
    return Paired(float(a.mean()), float(b.mean()), (better - worse) / n, low, high, float(p), n)


def paired_statistics(first: Statistic, second: Statistic, n: int, *, seed: int = 0) -> Paired:
    """Compare any statistic on the same resamples of the tickets."""
    if n == 0:
        return _UNKNOWN
    rng = np.random.default_rng(seed)
    everyone = np.arange(n)
    a, b = first(everyone), second(everyone)
    samples = np.empty(COSTLY_RESAMPLES)
    for i in range(COSTLY_RESAMPLES):
        drawn = rng.integers(n, size=n)
        samples[i] = second(drawn) - first(drawn)
    low, high = interval(samples)
    tail = min(float((samples <= 0).mean()), float((samples >= 0).mean()))
    return Paired(a, b, b - a, low, high, min(1.0, 2 * tail), n)
