"""What an encoder is trained on, and how."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from hashlib import sha256
from typing import Any

import numpy as np

from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.errors import DataError, UsageError


class LongTail(StrEnum):
    """How rare leaves are kept from being crowded out; see ``docs/编码器.md``."""

    BALANCED_SOFTMAX = "balanced-softmax"
    CLASS_WEIGHTS = "class-weights"
    NONE = "none"


class Precision(StrEnum):
    """Arithmetic of the forward pass; ``AUTO`` is bf16 or fp16 on a GPU and fp32 on a CPU."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


@dataclass(frozen=True, slots=True)
class EncoderData:
    """Training and held-out texts, normalised as tickets are.

    Attributes
    ----------
    texts, leaf_of, weights
        Training texts, the leaf row of each (``len(class_of)`` for *no matter*), and how much each
        counts (``None``: all alike).
    class_of, group_of
        Rows of the level-1 class and of the group of each leaf, shape ``(leaves,)``.
    held_out_texts, held_out_leaf_of
        Unseen texts for early stopping and for the parity of the export; may be empty, then
        all epochs are run and parity is taken on training texts.
    """

    texts: Sequence[str]
    leaf_of: Ints
    class_of: Ints
    group_of: Ints
    weights: Floats | None = None
    held_out_texts: Sequence[str] = ()
    held_out_leaf_of: Ints | None = None

    @property
    def outputs(self) -> int:
        """Number of leaves and *no matter*."""
        return len(self.class_of) + 1

    def check(self) -> None:
        """Raise :class:`DataError` if nothing can be learned from it or lengths differ."""
        if len(self.texts) != len(self.leaf_of):
            raise DataError(f"训练文本 {len(self.texts)} 条，标签 {len(self.leaf_of)} 个，数目不符")
        if self.weights is not None and len(self.weights) != len(self.texts):
            raise DataError(f"训练文本 {len(self.texts)} 条，权重 {len(self.weights)} 个，数目不符")
        if self.held_out_texts and (
            self.held_out_leaf_of is None or len(self.held_out_leaf_of) != len(self.held_out_texts)
        ):
            raise DataError("留出文本与其标签数目不符")
        if len(self.class_of) != len(self.group_of):
            raise DataError("每个细项都应有一级类和小类")
        if len(np.unique(self.leaf_of)) < 2:
            raise DataError("训练文本不足两类，学不到区别；请检查标签列")
        own = [self.leaf_of]
        if self.held_out_leaf_of is not None:
            own.append(self.held_out_leaf_of)
        rows = np.concatenate(own)
        if rows.min() < 0 or rows.max() >= self.outputs:
            raise DataError(f"标签行号应在 0 与 {self.outputs - 1} 之间")
        if self.weights is not None and (
            not np.isfinite(self.weights).all() or self.weights.min() < 0 or not self.weights.sum()
        ):
            raise DataError("权重应为不小于 0 的有限数，且不全为 0")


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """Hyper-parameters.

    Attributes
    ----------
    batch
        Texts per step, over all processes together.
    max_length
        Longest input in tokens; what comes after is not read.
    learning_rate, head_factor, layer_decay
        Rate of the top layer; of the head as a multiple of it; of each layer below as a multiple
        of the layer above.
    warmup
        Share of all steps in which the rate grows; then it falls as a cosine to zero.
    clip
        Greatest norm of the gradient.
    class_loss, group_loss
        Weights of the parent-level losses.
    patience
        Stop after so many epochs without improvement on the held-out texts.
    save_every
        Steps between two saved states; one is saved after each epoch anyway.
    int8, least_agreement
        Whether to quantise, and the share of texts whose best leaf must stay the same for it.
    """

    epochs: int = 5
    batch: int = 64
    max_length: int = 192
    learning_rate: float = 5e-5
    head_factor: float = 10.0
    layer_decay: float = 0.9
    weight_decay: float = 0.01
    warmup: float = 0.06
    clip: float = 1.0
    dropout: float = 0.1
    smoothing: float = 0.05
    class_loss: float = 0.3
    group_loss: float = 0.3
    long_tail: LongTail = LongTail.BALANCED_SOFTMAX
    precision: Precision = Precision.AUTO
    patience: int = 2
    save_every: int = 500
    int8: bool = True
    least_agreement: float = 0.97
    seed: int = 0

    def check(self) -> None:
        """Raise :class:`UsageError` for values that make no sense."""
        for name, low in (
            ("epochs", 1), ("batch", 1), ("max_length", 8), ("patience", 1), ("save_every", 1)
        ):  # fmt: skip
            if getattr(self, name) < low:
                raise UsageError(f"编码器选项 {name} 至少为 {low}，现为 {getattr(self, name)}")
        for name in ("learning_rate", "head_factor", "layer_decay", "clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"编码器选项 {name} 应为正数，现为 {getattr(self, name)}")
        for name in ("weight_decay", "class_loss", "group_loss"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"编码器选项 {name} 不应小于 0，现为 {getattr(self, name)}")
        for name in ("warmup", "dropout", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"编码器选项 {name} 应在 0 与 1 之间，现为 {getattr(self, name)}")


def options_from_words(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs of the command line as fields of :class:`EncoderOptions`.

    Raises
    ------
    UsageError
        If there is no such option or the value is of another kind.
    """
    defaults = EncoderOptions()
    known = [f.name for f in fields(EncoderOptions)]
    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = (part.strip() for part in pair.partition("="))
        if not sign or name not in known:
            raise UsageError(
                f"不认识的编码器选项“{pair}”；写成 名称=值，名称可为 {'、'.join(known)}"
            )
        default = getattr(defaults, name)
        try:
            if isinstance(default, bool):
                found[name] = {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            else:
                found[name] = type(default)(text)
        except (KeyError, ValueError):
            kinds = {bool: "true 或 false", int: "整数", float: "数"}
            wanted = kinds.get(type(default)) or "、".join(str(v) for v in type(default))
            raise UsageError(f"编码器选项 {name} 应为 {wanted}，现为“{text}”") from None
    return found


# These change how a run goes, not what it computes.
_NO_MATTER_TO_RESUME = ("save_every", "int8", "least_agreement")


def fingerprint(data: EncoderData, options: EncoderOptions, checkpoint: str) -> str:
    """Return a hash of all that decides the weights; a saved state of another run is refused."""
    own = {k: v for k, v in asdict(options).items() if k not in _NO_MATTER_TO_RESUME}
    digest = sha256(json.dumps(own, sort_keys=True).encode())
    digest.update(checkpoint.encode())
    held_out = data.held_out_leaf_of
    for array in (data.leaf_of, data.class_of, data.group_of, data.weights, held_out):
        digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    for text in (*data.texts, *data.held_out_texts):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
