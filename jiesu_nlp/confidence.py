"""Confidence and decision: how likely the lead unit is right, and what to do about it.

The raw score is the probability mass of the candidate leaves that lead to the same unit, times
the confidence of the place where the unit depends on it. A monotone table fitted on unseen
tickets turns it into a probability; two thresholds, chosen for a stated precision, turn that into
a decision. A few words (违建举报) look surer than they are, so they have tables of their own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jiesu_nlp.vocabulary import Decision

# Texts of fewer characters are calls of a few words: about a tenth of the gold tickets.
BRIEF = 16


@dataclass(frozen=True, slots=True)
class MonotoneMap:
    """Piecewise-linear, non-decreasing map from a raw score to a probability."""

    x: tuple[float, ...] = (0.0, 1.0)
    y: tuple[float, ...] = (0.0, 1.0)

    def __call__(self, value: float) -> float:
        """Map one score; values outside the table are clipped to its ends."""
        if value <= self.x[0]:
            return self.y[0]
        if value >= self.x[-1]:
            return self.y[-1]
        i = bisect_right(self.x, value)
        x0, x1, y0, y1 = self.x[i - 1], self.x[i], self.y[i - 1], self.y[i]
        return y0 if x1 == x0 else y0 + (y1 - y0) * (value - x0) / (x1 - x0)

    def to_json(self) -> dict[str, list[float]]:
        """Return plain lists."""
        return {"x": list(self.x), "y": list(self.y)}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[float]]) -> MonotoneMap:
        """Rebuild from :meth:`to_json`."""
        return cls(tuple(data["x"]), tuple(data["y"]))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Maps and thresholds of a bundle.

    Attributes
    ----------
    leaf, level1, unit
        From raw probability to calibrated confidence of the best leaf, the best class, the unit.
    runners_up
        How often, where the best leaf is wrong, another of the candidates shown is right.
    auto_at, suggest_at
        Least unit confidence for ``auto`` and ``suggest``; below is ``review``.
    fitted_on
        What the maps were fitted on, for the model card.
    brief
        The same for texts of fewer than ``BRIEF`` characters; ``None`` if there were too few to
        fit it.
    """

    leaf: MonotoneMap = MonotoneMap()
    level1: MonotoneMap = MonotoneMap()
    unit: MonotoneMap = MonotoneMap()
    runners_up: float = 1.0
    auto_at: float = 1.01
    suggest_at: float = 0.5
    fitted_on: str = ""
    brief: Calibration | None = None

    def of(self, text: str) -> Calibration:
        """Return what holds for a text of this length."""
        return self.brief if self.brief is not None and len(text) < BRIEF else self

    def leaves(self, probabilities: Sequence[float]) -> tuple[float, ...]:
        """Return the confidence of each candidate leaf, best first; together at most one.

        The map says how often the best leaf is right; ``runners_up`` of what is left is shared by
        the others in proportion to their probabilities.
        """
        best = self.leaf(probabilities[0])
        others = probabilities[1:]
        share = (1 - best) * self.runners_up / max(sum(others), 1e-9)
        return best, *[min(p * share, best) for p in others]

    def decide(self, confidence: float, *, complete: bool, settled: bool = True) -> str:
        """Return the decision.

        Without a definite unit (``complete``) it is always ``review``; while something must still
        be asked or advised before the unit can act (not ``settled``), never ``auto``.
        """
        if not complete or confidence < self.suggest_at:
            return Decision.REVIEW.value
        sure = settled and confidence >= self.auto_at
        return Decision.AUTO.value if sure else Decision.SUGGEST.value

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a bundle."""
        return {
            "leaf": self.leaf.to_json(),
            "level1": self.level1.to_json(),
            "unit": self.unit.to_json(),
            "runners_up": self.runners_up,
            "auto_at": self.auto_at,
            "suggest_at": self.suggest_at,
            "fitted_on": self.fitted_on,
            "brief": self.brief.to_json() if self.brief is not None else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Rebuild from :meth:`to_json`."""
        brief = data.get("brief")
        return cls(
            leaf=MonotoneMap.from_json(data["leaf"]),
            level1=MonotoneMap.from_json(data["level1"]),
            unit=MonotoneMap.from_json(data["unit"]),
            runners_up=data.get("runners_up", 1.0),
            auto_at=data["auto_at"],
            suggest_at=data["suggest_at"],
            fitted_on=data["fitted_on"],
            brief=cls.from_json(brief) if brief is not None else None,
        )
