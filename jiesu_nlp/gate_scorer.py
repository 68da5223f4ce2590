"""How much a text sounds like a case for a gate (分流): danger going on, a court's business, ….

Words miss what callers put in their own way, and take for danger what is none (跳楼价, 上次着火).
Here a learned weight per hashed character n-gram and gate is added up; further weights tell which
line an emergency is for. A long letter is judged window by window: a cry for help in one sentence
must not drown in three pages.

:func:`gates_of` puts words and scores together. For emergencies a high score raises the gate alone,
a low one silences the words, except the combinations that are sure by themselves. The other gates
have no words of their own: lists of them found one case in fifteen of an unknown hand, the score
three in four (``docs/experiments.md``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jiesu_nlp.bundle import Bundle, json_bytes, tensor_bytes
from jiesu_nlp.classify.features import HASH_BITS, Floats, Ints, ngram_hashes, ngrams_of
from jiesu_nlp.classify.predictor import strongest_spans
from jiesu_nlp.gates import NO_GATE, GateBook
from jiesu_nlp.suggestion import GateAdvice, Span
from jiesu_nlp.vocabulary import Gate

TENSORS = "gate_scorer.safetensors"
SETTINGS = "gate_scorer.json"
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
    bounds = [0, *[match.end() for match in _PIECE.finditer(text)]]
    pieces = len(bounds) - 1
    spans: list[Span] = []
    stop = 0
    for i, start in enumerate(bounds[:-1]):
        if stop <= i:
            stop = i + 1
        while stop < pieces and bounds[stop + 1] - start <= WINDOW:
            stop += 1
        if not spans or bounds[stop] > spans[-1][1]:
            spans.append((start, bounds[stop]))
    return spans


@dataclass(frozen=True, slots=True)
class GateScores:
    """The scores of several texts.

    Attributes
    ----------
    gates
        Names of the columns.
    probabilities
        How likely each text is a case of each gate, shape ``(texts, gates)``.
    """

    gates: tuple[str, ...]
    probabilities: NDArray[np.float64]
    _spans: Sequence[Sequence[Span]]
    _logits: NDArray[np.float64]
    _starts: Ints

    def stretch(self, text: int, gate: str) -> Span:
        """Return the stretch of a text that sounds most like a case of a gate."""
        spans, first = self._spans[text], self._starts[text]
        own = self._logits[first : first + len(spans), self.gates.index(gate)]
        return spans[int(own.argmax())]


@dataclass(frozen=True)
class GateScorer:
    """Linear scorers over hashed character n-grams, one per gate.

    Attributes
    ----------
    gates
        Names of the gates, the emergency first.
    keys
        Buckets that carry a weight, shape ``(n,)``.
    weights
        Inverse text frequency of each, shape ``(n,)``.
    gains
        Weight of each for each gate, shape ``(n, gates)``.
    bias
        Bias of each gate, shape ``(gates,)``.
    thresholds
        Probability from which each gate is raised, shape ``(gates,)``.
    floor
        Probability of an emergency below which words alone do not raise that gate.
    lines
        Lines an emergency may be for (``110 119 120 122 gas``).
    line_weights, line_bias
        Weights of the lines, shapes ``(n, lines)`` and ``(lines,)``.
    """

    gates: tuple[str, ...]
    keys: NDArray[np.int32]
    weights: Floats
    gains: Floats
    bias: Floats
    thresholds: Floats
    floor: float
    lines: tuple[str, ...]
    line_weights: Floats
    line_bias: Floats

    @cached_property
    def _tables(self) -> Floats:
        """Weighted gain for each gate and, last, squared weight, of every bucket."""
        table = np.zeros((len(self.gates) + 1, 1 << BITS), dtype=np.float32)
        table[:-1, self.keys] = (self.weights[:, None] * self.gains).T
        table[-1, self.keys] = self.weights**2
        return np.ascontiguousarray(table.T)

    def _logits(self, texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> NDArray[np.float64]:
        """Return the logits of the stretches of all texts, shape ``(stretches, gates)``."""
        ngrams = ngrams_of(texts)
        found = self._tables[ngrams.hashes >> (HASH_BITS - BITS)]
        counts = [len(own) for own in spans]
        bounds = np.array([span for own in spans for span in own])
        a, b = (bounds + np.repeat(ngrams.offsets[:-1], counts)[:, None]).T
        size = int(ngrams.offsets[-1])
        sums = np.empty((len(self.gates) + 1, len(a)))
        for i, column in enumerate(found.T):
            # Sums up to each character; their differences are those of the stretches.
            until = np.append(0, np.cumsum(np.bincount(ngrams.starts, column, size)))
            sums[i] = until[b] - until[a]
        logits: NDArray[np.float64] = (
            sums[:-1] / np.sqrt(np.maximum(sums[-1], 1e-9))
        ).T + self.bias
        return logits

    def score(self, texts: Sequence[str]) -> GateScores:
        """Return how much each text sounds like a case of each gate."""
        spans = [windows(text) for text in texts]
        counts = np.array([len(own) for own in spans])
        starts = np.append(0, np.cumsum(counts)[:-1])
        logits = self._logits(texts, spans)
        best = np.maximum.reduceat(logits, starts, axis=0)
        # The best of many windows is high by chance: so much more it has to say.
        best -= np.log(counts)[:, None]
        return GateScores(self.gates, 1 / (1 + np.exp(-best)), spans, logits, starts)

    def raised(self, probabilities: NDArray[np.float64]) -> list[str]:
        """Return the gates that one text raises: an emergency first, then the clearest."""
        margins = dict(zip(self.gates, (probabilities / self.thresholds).tolist(), strict=True))
        found = [gate for gate in self.gates if margins[gate] >= 1]
        return sorted(found, key=lambda gate: (gate != Gate.EMERGENCY, -margins[gate]))

    @cached_property
    def _line_tables(self) -> Floats:
        """Weighted gain for each line of every bucket."""
        table = np.zeros((1 << BITS, len(self.lines)), dtype=np.float32)
        table[self.keys] = self.weights[:, None] * self.line_weights
        return table

    def line(self, text: str) -> str:
        """Return the line that an emergency is for."""
        found = buckets(text)[0]
        length = max(float(np.sqrt(self._tables[found, -1].sum())), 1e-9)
        return self.lines[
            int((self._line_tables[found].sum(axis=0) / length + self.line_bias).argmax())
        ]

    def evidence(self, text: str, span: Span, gate: str, *, most: int = 4) -> tuple[Span, ...]:
        """Return the spans of ``text`` within ``span`` that spoke most for a gate."""
        start, end = span
        part = text[start:end]
        found, starts, lengths = buckets(part)
        gain = self._tables[found, self.gates.index(gate)] / lengths
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
                {"gates": self.gates, "floor": self.floor, "lines": self.lines, "bits": BITS}
            ),
            TENSORS: tensor_bytes(
                {
                    "keys": self.keys,
                    "weights": self.weights,
                    "gains": self.gains.astype(np.float16),
                    "bias": self.bias,
                    "thresholds": self.thresholds,
                    "line_weights": self.line_weights.astype(np.float16),
                    "line_bias": self.line_bias,
                }
            ),
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> GateScorer | None:
        """Load from a bundle; ``None`` if it has none (a catalogue without ``says``)."""
        if SETTINGS not in bundle:
            return None
        s, t = bundle.read_json(SETTINGS), bundle.read_tensors(TENSORS)
        return cls(
            gates=tuple(s["gates"]),
            keys=t["keys"],
            weights=t["weights"],
            gains=t["gains"].astype(np.float32),
            bias=t["bias"],
            thresholds=t["thresholds"],
            floor=s["floor"],
            lines=tuple(s["lines"]),
            line_weights=t["line_weights"].astype(np.float32),
            line_bias=t["line_bias"],
        )


def gates_of(
    texts: Sequence[str], book: GateBook, scorer: GateScorer | None
) -> list[tuple[GateAdvice, tuple[str, ...]]]:
    """Return the gate of each normalised text and its sensitive tags: words and scores together."""
    if scorer is None:
        return [book.examine(text) for text in texts]
    scores = scorer.score(texts)
    raised = np.any(scores.probabilities >= scorer.thresholds, axis=1).tolist()
    emergency = scores.probabilities[:, scorer.gates.index(Gate.EMERGENCY)]
    doubted = (emergency < scorer.floor).tolist()
    found = []
    for i, text in enumerate(texts):
        gate, tags = book.examine(text, doubted=doubted[i])
        if raised[i] and gate.kind != Gate.EMERGENCY:
            scored = _scored_gate(text, i, scores, book, scorer)
            # Danger goes before any other gate, as it does among the gates of words.
            if gate.kind == Gate.NONE or scored.kind == Gate.EMERGENCY:
                gate = scored
        found.append((gate, tags))
    return found


def _scored_gate(
    text: str, number: int, scores: GateScores, book: GateBook, scorer: GateScorer
) -> GateAdvice:
    """Return the gate that the scores of a text raise, the ``number``-th of those scored."""
    for gate in scorer.raised(scores.probabilities[number]):
        span = scores.stretch(number, gate)
        part = text[slice(*span)]
        advice = book.advice_for(scorer.line(part) if gate == Gate.EMERGENCY else gate, part)
        if advice is not None and advice.called_off(part) is None:
            evidence = scorer.evidence(text, span, gate) or (span,)
            return GateAdvice(gate, advice.article, advice.advice, evidence)
    return NO_GATE
