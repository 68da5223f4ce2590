"""How much a text sounds like danger to life or property that is going on now.

Word gates miss what callers put in their own words. Here a learned weight per hashed character
n-gram is added up; a second set of weights tells which line the case is for. A long letter is
judged window by window: a cry for help in one sentence must not drown in three pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.bundle import Bundle, json_bytes, tensor_bytes
from jiesu_nlp.classify.features import HASH_BITS, Floats, Ints, ngram_hashes
from jiesu_nlp.classify.predictor import strongest_spans
from jiesu_nlp.suggestion import Span

TENSORS = "emergency.safetensors"
SETTINGS = "emergency.json"
BITS = 18
# Longer texts are judged by windows of whole sentences, of about so many characters.
WHOLE = 100
WINDOW = 80
# A sentence; speech recognition writes no full stops, so what has none for too long is cut.
_PIECE = re.compile(f"(?s)[^。！？!?；;\n]{{0,{WINDOW // 2 - 1}}}.")


def buckets(text: str) -> tuple[Ints, Ints, Ints]:
    """Return bucket, start and length of every n-gram."""
    hashes, starts, lengths = ngram_hashes(text)
    return hashes >> (HASH_BITS - BITS), starts, lengths


def windows(text: str) -> list[Span]:
    """Return the stretches that are judged on their own: overlapping runs of whole sentences."""
    if len(text) <= WHOLE:
        return [(0, len(text))]
    bounds = [0, *(match.end() for match in _PIECE.finditer(text))]
    starts = bounds[:-1]
    spans: list[Span] = []
    stop = 0
    for i, start in enumerate(starts):
        stop = max(stop, i + 1)
        while stop < len(starts) and bounds[stop + 1] - start <= WINDOW:
            stop += 1
        if not spans or bounds[stop] > spans[-1][1]:
            spans.append((start, bounds[stop]))
    return spans


class Alarm(NamedTuple):
    """What the scorer says of a text: the strongest window, the line and the probability."""

    kind: str
    probability: float
    span: Span


@dataclass(frozen=True)
class EmergencyScorer:
    """Linear scorer over hashed character n-grams.

    Attributes
    ----------
    keys
        Buckets that carry a weight, shape ``(n,)``.
    weights
        Inverse text frequency of each, shape ``(n,)``.
    danger
        Weight for *emergency, going on*, shape ``(n,)``.
    bias
        Bias of ``danger``.
    kinds
        Names of the kinds (``110 119 120 122 gas``).
    kind_weights, kind_bias
        Weights of the kinds, shapes ``(n, kinds)`` and ``(kinds,)``.
    threshold
        Probability from which the gate is raised.
    """

    keys: NDArray[np.int32]
    weights: Floats
    danger: Floats
    bias: float
    kinds: tuple[str, ...]
    kind_weights: Floats
    kind_bias: Floats
    threshold: float

    @cached_property
    def _tables(self) -> tuple[Floats, Floats]:
        """Weighted danger and squared weight of every bucket."""
        gain, square = np.zeros((2, 1 << BITS), dtype=np.float32)
        gain[self.keys] = self.weights * self.danger
        square[self.keys] = self.weights**2
        return gain, square

    def alarm(self, text: str) -> Alarm:
        """Return kind, probability and the stretch of text that sounds most dangerous."""
        found, starts, _ = buckets(text)
        gain, square = self._tables
        spans = [(0, len(text))] if len(text) <= WHOLE else windows(text)
        if len(spans) == 1:
            logit = _normed(float(gain[found].sum()), float(square[found].sum()))
            span = spans[0]
        else:
            size = len(text)
            gains = np.bincount(starts, weights=gain[found], minlength=size)
            squares = np.bincount(starts, weights=square[found], minlength=size)
            gains, squares = np.append(0, np.cumsum(gains)), np.append(0, np.cumsum(squares))
            a, b = np.array(spans).T
            logits = (gains[b] - gains[a]) / np.sqrt(np.maximum(squares[b] - squares[a], 1e-9))
            # The best of many windows is high by chance: so much more it has to say.
            logits -= np.log(len(spans))
            best = int(logits.argmax())
            logit, span = float(logits[best]), spans[best]
        probability = float(1 / (1 + np.exp(-(logit + self.bias))))
        if probability < self.threshold:
            return Alarm("none", probability, span)
        return Alarm(self._kind(text[span[0] : span[1]]), probability, span)

    def score(self, text: str) -> tuple[str, float]:
        """Return the kind (``none`` below the threshold) and the probability of an emergency."""
        kind, probability, _ = self.alarm(text)
        return kind, probability

    def _kind(self, text: str) -> str:
        at, known = self._columns(buckets(text)[0])
        weights = self.weights[at[known]]
        scores = weights @ self.kind_weights[at[known]]
        scores = scores / max(float(np.linalg.norm(weights)), 1e-9) + self.kind_bias
        return self.kinds[int(scores.argmax())]

    def _columns(self, found: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        at = np.minimum(np.searchsorted(self.keys, found), len(self.keys) - 1)
        return at, self.keys[at] == found

    def evidence(self, text: str, span: Span, *, most: int = 4) -> tuple[Span, ...]:
        """Return the spans of ``text`` within ``span`` that spoke most for an emergency."""
        start, end = span
        part = text[start:end]
        found, starts, lengths = buckets(part)
        gain = self._tables[0][found] / lengths
        pairs = lengths == 2
        size = len(part) + 1
        per_char = np.bincount(starts, weights=gain, minlength=size)
        per_char += np.bincount(starts[pairs] + 1, weights=gain[pairs], minlength=size)
        (strongest,) = strongest_spans(per_char, np.array([0, size]), most=most)
        return tuple((a + start, b + start) for a, b in strongest)

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle."""
        return {
            SETTINGS: json_bytes(
                {"bias": self.bias, "kinds": self.kinds, "threshold": self.threshold, "bits": BITS}
            ),
            TENSORS: tensor_bytes(
                {
                    "keys": self.keys,
                    "weights": self.weights,
                    "danger": self.danger,
                    "kind_weights": self.kind_weights.astype(np.float16),
                    "kind_bias": self.kind_bias,
                }
            ),
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> EmergencyScorer | None:
        """Load from a bundle; ``None`` if it was built before there was a scorer."""
        if SETTINGS not in bundle:
            return None
        s, t = bundle.read_json(SETTINGS), bundle.read_tensors(TENSORS)
        return cls(
            keys=t["keys"],
            weights=t["weights"],
            danger=t["danger"],
            bias=s["bias"],
            kinds=tuple(s["kinds"]),
            kind_weights=t["kind_weights"].astype(np.float32),
            kind_bias=t["kind_bias"],
            threshold=s["threshold"],
        )


def _normed(gain: float, square: float) -> float:
    return float(gain / max(square, 1e-9) ** 0.5)
