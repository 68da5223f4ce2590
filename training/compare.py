"""Two bundles on the same tickets: paired tests, and the guard that decides on promotion."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.dispatcher import Dispatcher
from training.evaluate import AS_NUMBER, LOWER_IS_BETTER, NAMES, abstentions
from training.metrics import (
    Paired,
    calibration_error,
    coverage_at,
    macro_f1,
    paired_means,
    paired_statistics,
)
from training.scoring import Scored, score
from training.tickets import LabelledTicket
from training.unclear import unclear_texts

Array = NDArray[Any]
Report = Callable[[str, float], None]

# A bundle that is worse on any of these is not promoted.
GUARDS = (
    "leaf_top1",
    "leaf_top5",
    "level1",
    "macro_f1",
    "unit_lenient",
    "coverage_95",
    "town",
    "ece",
    "conformal_coverage",
    "unclear_low",
)
# Fewer tickets cannot show that a bundle is no worse.
LEAST = 50
# Worse by less than this is no reason to refuse unless it is certain.
TOLERANCE = 0.005
# A calibration error or a coverage wanders more from sample to sample than an accuracy.
WIDE = {"ece": 0.015, "coverage_95": 0.10, "macro_f1": 0.01, "unclear_low": 0.03}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Figures of both bundles, ``first`` being the one in use, on ``tickets`` shared tickets."""

    tickets: int
    figures: dict[str, Paired]
    set_sizes: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "tickets": self.tickets,
            "figures": {key: p.to_json() for key, p in self.figures.items()},
            "set_sizes": list(self.set_sizes),
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """A guard figure on which the candidate is worse, and how sure that is."""

    key: str
    paired: Paired
    certain: bool

    def __str__(self) -> str:
        unit = 1.0 if self.key in AS_NUMBER else 100.0
        suffix = "" if self.key in AS_NUMBER else " 个百分点"
        p = self.paired
        digits = 3 if self.key in AS_NUMBER else 1
        text = (
            f"{NAMES[self.key]}：现用 {p.first * unit:.{digits}f}，候选 {p.second * unit:.{digits}f}"
            f"（差 {p.difference * unit:+.{digits}f}{suffix}，"
            f"95% 区间 {p.low * unit:+.{digits}f} – {p.high * unit:+.{digits}f}）"
        )
        return text + ("，确定变差" if self.certain else "")


def compare(
    first: Dispatcher,
    second: Dispatcher,
    tickets: Sequence[tuple[LabelledTicket, LabelledTicket]],
    *,
    report: Report = lambda stage, done: None,
) -> Comparison:
    """Compare two bundles.

    Parameters
    ----------
    tickets
        Each ticket with its labels in the catalogue of the first and of the second bundle.
    """
    a = score(first, [t for t, _ in tickets], report=lambda d: report("甲答复", 0.4 * d))
    b = score(second, [t for _, t in tickets], report=lambda d: report("乙答复", 0.4 + 0.4 * d))
    report("检验差异", 0.8)
    figures = paired_figures(a, b)
    texts = unclear_texts([t.text for t, _ in tickets])
    asked, unsure = zip(abstentions(first, texts), abstentions(second, texts), strict=True)
    figures["abstention"] = paired_means(*asked)
    figures["unclear_low"] = paired_means(*unsure)
    report("完成", 1.0)
    return Comparison(
        tickets=len(tickets),
        figures={key: figures[key] for key in NAMES if key in figures and figures[key].n},
        set_sizes=(float(a.set_size.mean()), float(b.set_size.mean())),
    )


def paired_figures(a: Scored, b: Scored) -> dict[str, Paired]:
    """Return every measure with its paired difference."""
    n = len(a)

    def within(s: Scored, k: int) -> Array:
        return (s.rank <= k).astype(np.float64)

    found = {
        "leaf_top1": paired_means(a.leaf_right, b.leaf_right),
        "leaf_top3": paired_means(within(a, 3), within(b, 3)),
        "leaf_top5": paired_means(within(a, 5), within(b, 5)),
        "level2": paired_means(a.group_right, b.group_right),
        "level1": paired_means(a.class_right, b.class_right),
        "macro_f1": paired_statistics(
            lambda i: macro_f1(a.truth[i], a.guess[i]),
            lambda i: macro_f1(b.truth[i], b.guess[i]),
            n,
        ),
        "ece": paired_statistics(
            lambda i: calibration_error(a.leaf_confidence[i], a.leaf_right[i]),
            lambda i: calibration_error(b.leaf_confidence[i], b.leaf_right[i]),
            n,
        ),
        "conformal_coverage": paired_means(a.in_set, b.in_set),
    }
    for name in (
        "leaf_served",
        "unit_strict",
        "unit_lenient",
        "tier",
        "district",
        "town",
        "invented",
    ):
        found[name] = paired_means(getattr(a, name), getattr(b, name))
    known = np.flatnonzero(~np.isnan(a.unit_lenient) & ~np.isnan(b.unit_lenient))
    ac, ar = a.unit_confidence[known], a.unit_lenient[known]
    bc, br = b.unit_confidence[known], b.unit_lenient[known]
    for level in (95, 98):
        at = level / 100
        found[f"coverage_{level}"] = paired_statistics(
            lambda i, at=at: coverage_at(ac[i], ar[i], at),  # type: ignore[misc]
            lambda i, at=at: coverage_at(bc[i], br[i], at),  # type: ignore[misc]
            len(known),
        )
    return found


def gain(key: str, paired: Paired) -> float:
    """Return by how much the second is better; negative if worse."""
    return -paired.difference if key in LOWER_IS_BETTER else paired.difference


def refusals(
    comparison: Comparison, *, stated_coverage: float, tolerance: float = TOLERANCE
) -> list[Refusal]:
    """Return the guard figures on which the second bundle is worse.

    Worse means: certainly (the whole interval of the difference on the wrong side), or by more
    than the tolerance, or than that of the figure itself in ``WIDE`` if it is wider. The conformal
    set is only worse if it falls below its stated coverage by more than two points; above it, less
    is better. Figures of fewer than ``LEAST`` tickets are not judged, see :func:`unchecked`.
    """
    found = []
    for key in GUARDS:
        paired = comparison.figures.get(key)
        if paired is None or not _shows_something(paired):
            continue
        if key == "conformal_coverage":
            if paired.second < min(stated_coverage - 0.02, paired.first):
                found.append(Refusal(key, paired, paired.high < 0))
            continue
        best = -paired.low if key in LOWER_IS_BETTER else paired.high
        certain = best < 0
        allowed = max(WIDE.get(key, tolerance), tolerance)
        if certain or gain(key, paired) < -allowed:
            found.append(Refusal(key, paired, certain))
    return found


def unchecked(comparison: Comparison) -> dict[str, int]:
    """Return the guard figures that the tickets say too little of, with how many tell of each."""
    figures = comparison.figures
    return {
        key: figures[key].n if key in figures else 0
        for key in GUARDS
        if key not in figures or not _shows_something(figures[key])
    }


def _shows_something(paired: Paired) -> bool:
    return paired.n >= LEAST and not math.isnan(paired.difference)
