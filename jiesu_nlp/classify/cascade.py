"""Fast first, encoder for the unsure share.

Most tickets are plain; the fast classifier answers them in microseconds. The encoder is asked
only where the fast one is less sure than ``threshold``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jiesu_nlp.bundle import Bundle, json_bytes
from jiesu_nlp.classify.classifier import Classifier
from jiesu_nlp.classify.conformal import SetRule
from jiesu_nlp.classify.encoder import OnnxEncoder
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.classify.predictor import LeafPredictor, softmax
from jiesu_nlp.errors import BundleError
from jiesu_nlp.suggestion import Span

SETTINGS = "cascade.json"


@dataclass(frozen=True)
class Cascade(LeafPredictor):
    """Two classifiers of the same leaves.

    Attributes
    ----------
    fast, strong
        The first asked and the one asked where the first is unsure; both calibrated, since their
        probabilities stand side by side.
    threshold
        The strong one is asked where the best probability of the fast one is below it.
    temperature
        Logits of the outcome are divided by it.
    """

    fast: LeafPredictor
    strong: LeafPredictor
    threshold: float
    temperature: float = 1.0
    set_rule: SetRule = SetRule()

    def __post_init__(self) -> None:
        if not np.array_equal(self.fast.class_of, self.strong.class_of):
            raise BundleError("快速模型与编码器的目录不同，不能级联；请用同一目录重新训练两者")

    @property
    def class_of(self) -> Ints:  # type: ignore[override]
        """Row of the level-1 class of each leaf."""
        return self.fast.class_of

    def unsure(self, logits: Floats) -> Ints:
        """Return the rows of the fast classifier's logits that the strong one must judge."""
        p = self.fast.leaf_probabilities(logits.copy())
        return np.flatnonzero(p.max(axis=1) < self.threshold)

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return log-probabilities of whoever judged each text, divided by the temperature."""
        found = self.fast.logits(texts)
        asked = self.unsure(found)
        if len(asked):
            found[asked] = self.strong.logits([texts[i] for i in asked])
        found = np.log(np.maximum(softmax(found), 1e-30))
        found /= np.float32(self.temperature)
        return found

    def tempered(self, temperature: float) -> Cascade:
        """Return the same cascade with the logits of its outcome divided by ``temperature``."""
        return replace(self, temperature=self.temperature * temperature)

    def evidence(
        self, texts: Sequence[str], leaves: Sequence[int], *, most: int = 5
    ) -> list[tuple[Span, ...]]:
        """Return the words that speak for the leaves, as the fast classifier sees them."""
        return self.fast.evidence(texts, leaves, most=most)

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle: those of both and the threshold."""
        settings = {
            "threshold": self.threshold,
            "temperature": self.temperature,
            "set_rule": self.set_rule.to_json(),
        }
        return {
            **self.fast.to_files(),
            **self.strong.to_files(),
            SETTINGS: json_bytes(settings),
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Cascade:
        """Load from a bundle."""
        s = bundle.read_json(SETTINGS)
        try:
            threshold, temperature = float(s["threshold"]), float(s["temperature"])
            set_rule = SetRule.from_json(s["set_rule"])
        except (KeyError, TypeError, ValueError) as fault:
            raise BundleError(
                f"模型包文件内容不全：{bundle.path / SETTINGS}（{fault}）；请重新生成该模型包"
            ) from None
        return cls(
            fast=Classifier.from_bundle(bundle),
            strong=OnnxEncoder.from_bundle(bundle),
            threshold=threshold,
            temperature=temperature,
            set_rule=set_rule,
        )
