"""How much a text sounds like danger to life or property that is going on now.

Word gates miss what callers put in their own words, and take words for danger that are none
(跳楼价, 上次着火). Here a learned weight per hashed character n-gram is added up; a second set of
weights tells which line the case is for. A long letter is judged window by window: a cry for help
in one sentence must not drown in three pages.

:func:`gates_of` puts words and score together: a high score raises the gate alone, a low one
silences the words, except the combinations that are sure by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.bundle import Bundle, json_bytes, tensor_bytes
from jiesu_nlp.classify.features import HASH_BITS, Floats, Ints, ngram_hashes, ngrams_of
from jiesu_nlp.classify.predictor import strongest_spans
from jiesu_nlp.gates import GateBook
from jiesu_nlp.suggestion import GateAdvice, Span
from jiesu_nlp.vocabulary import Gate

TENSORS = "emergency.safetensors"
SETTINGS = "emergency.json"
BITS = 18
# Longer texts are judged by windows of whole sentences, of about so many characters.
WHOLE = 100
WINDOW = 45
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
    floor
        Probability below which words alone do not raise it.
    """

    keys: NDArray[np.int32]
    weights: Floats
    danger: Floats
    bias: float
    kinds: tuple[str, ...]
    kind_weights: Floats
    kind_bias: Floats
    threshold: float
    floor: float = 0.0

    @cached_property
    def _tables(self) -> tuple[Floats, Floats]:
        """Weighted danger and squared weight of every bucket."""
        gain, square = np.zeros((2, 1 << BITS), dtype=np.float32)
        gain[self.keys] = self.weights * self.danger
        square[self.keys] = self.weights**2
        return gain, square

    def alarms(self, texts: Sequence[str]) -> list[Alarm]:
        """Return of each text the kind, probability and the stretch that sounds most dangerous."""
        ngrams = ngrams_of(texts)
        found = ngrams.hashes >> (HASH_BITS - BITS)
        gains, squares = (
            np.append(0, np.cumsum(np.bincount(ngrams.starts, table[found], ngrams.offsets[-1])))
            for table in self._tables
        )
        spans = [windows(text) for text in texts]
        counts = np.array([len(own) for own in spans])
        bounds = np.array([span for own in spans for span in own])
        a, b = (bounds + np.repeat(ngrams.offsets[:-1], counts)[:, None]).T
        logits = (gains[b] - gains[a]) / np.sqrt(np.maximum(squares[b] - squares[a], 1e-9))
        # The best of many windows is high by chance: so much more it has to say.
        logits -= np.repeat(np.log(counts), counts)
        probabilities = (1 / (1 + np.exp(-(logits + self.bias)))).tolist()
        alarms = []
        first = 0
        for text, own in zip(texts, spans, strict=True):
            best = max(range(len(own)), key=lambda i: probabilities[first + i])
            probability, span = probabilities[first + best], own[best]
            kind = self._kind(text[slice(*span)]) if probability >= self.threshold else "none"
            alarms.append(Alarm(kind, probability, span))
            first += len(own)
        return alarms

    def alarm(self, text: str) -> Alarm:
        """Return what :meth:`alarms` says of one text."""
        return self.alarms([text])[0]

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
        per_char = np.bincount(starts, weights=gain, minlength=size).astype(np.float64)
        per_char += np.bincount(starts[pairs] + 1, weights=gain[pairs], minlength=size)
        (strongest,) = strongest_spans(per_char, np.array([0, size]), most=most)
        return tuple((a + start, b + start) for a, b in strongest)

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle."""
        return {
            SETTINGS: json_bytes(
                {
                    "bias": self.bias,
                    "kinds": self.kinds,
                    "threshold": self.threshold,
                    "floor": self.floor,
                    "bits": BITS,
                }
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
            floor=s.get("floor", 0.0),
        )


def gates_of(
    texts: Sequence[str], book: GateBook, scorer: EmergencyScorer | None
) -> list[tuple[GateAdvice, tuple[str, ...]]]:
    """Return the gate of each normalised text and its sensitive tags: words and score together."""
    if scorer is None:
        return [book.examine(text) for text in texts]
    return [
        _gate_of(text, alarm, book, scorer)
        for text, alarm in zip(texts, scorer.alarms(texts), strict=True)
    ]


def _gate_of(
    text: str, alarm: Alarm, book: GateBook, scorer: EmergencyScorer
) -> tuple[GateAdvice, tuple[str, ...]]:
    gate, tags = book.examine(text, doubted=alarm.probability < scorer.floor)
    if gate.kind == Gate.EMERGENCY:
        return gate, tags
    # Danger goes before any other gate, as it does among the gates of words.
    kind = book.by_kind.get(alarm.kind)
    if kind is None or kind.called_off(text[slice(*alarm.span)]):
        return gate, tags
    spans = scorer.evidence(text, alarm.span) or (alarm.span,)
    return GateAdvice(Gate.EMERGENCY.value, kind.article, kind.advice, spans), tags
