"""A fine-tuned encoder, served by onnxruntime: no torch, no transformers.

The network was exported with tokens in and logits out; this module tokenises, pads, runs it and
adds the bias that turns the balanced logits into those of the tickets' own distribution.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from jiesu_nlp.bundle import Bundle, json_bytes
from jiesu_nlp.classify.conformal import SetRule
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.classify.predictor import LeafPredictor, strongest_spans
from jiesu_nlp.errors import BundleError, UsageError
from jiesu_nlp.suggestion import Span

MODEL = "encoder.onnx"
TOKENIZER = "tokenizer.json"
SETTINGS = "encoder.json"
KIND = "encoder"
INPUTS = ("input_ids", "attention_mask")
_BATCH = 32
# Evidence asks the encoder once per stretch left out; more stretches cost time, not insight.
_MOST_STRETCHES = 24
_SHORTEST_STRETCH = 2


@dataclass(frozen=True)
class OnnxEncoder(LeafPredictor):
    """Leaf probabilities from an exported encoder.

    Attributes
    ----------
    load_model
        Gives the bytes of the ONNX model; called once per process.
    tokenizer
        The text of ``tokenizer.json``.
    bias
        Added to the logits, shape ``(leaves + 1,)``.
    class_of
        Row of the level-1 class of each leaf, shape ``(leaves,)``.
    max_length, pad_id
        Longest input in tokens, and the padding token.
    temperature
        Logits are divided by it.
    threads
        Threads of one run.
    quantised
        Whether the model is int8.
    """

    load_model: Callable[[], bytes]
    tokenizer: str
    bias: Floats
    class_of: Ints
    max_length: int
    pad_id: int = 0
    temperature: float = 1.0
    threads: int = 1
    quantised: bool = False
    set_rule: SetRule = SetRule()

    @cached_property
    def _sessions(self) -> dict[int, Any]:
        """Sessions by process: onnxruntime's threads do not survive a fork."""
        return {}

    @property
    def _session(self) -> Any:
        session = self._sessions.get(os.getpid())
        if session is None:
            session = _open_session(self.load_model(), self.threads)
            self._sessions[os.getpid()] = session
        return session

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizers = _tokenizers()
        try:
            tokenizer = tokenizers.Tokenizer.from_str(self.tokenizer)
        except Exception as fault:  # the library raises plain Exception
            raise BundleError(f"分词器 {TOKENIZER} 无法读取：{fault}；请重新生成该模型包") from None
        tokenizer.enable_truncation(self.max_length)
        tokenizer.no_padding()
        return tokenizer

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return logits, shape ``(len(texts), leaves + 1)``; the last column is *no matter*."""
        found = self.raw_logits(texts)
        found += self.bias
        found /= np.float32(self.temperature)
        return found

    def raw_logits(self, texts: Sequence[str]) -> Floats:
        """Return what the network says, before bias and temperature."""
        ids = [e.ids for e in self._tokenizer.encode_batch(list(texts))]
        found = np.zeros((len(texts), len(self.bias)), np.float32)
        # Texts of like length go together: padding costs as much as words.
        order = np.argsort([len(i) for i in ids], kind="stable")
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            tokens, mask = padded([ids[i] for i in chosen], self.pad_id)
            (out,) = self._session.run(["logits"], dict(zip(INPUTS, (tokens, mask), strict=True)))
            found[chosen] = out
        return found

    def tempered(self, temperature: float) -> OnnxEncoder:
        """Return the same classifier with its logits divided by ``temperature``."""
        return replace(self, temperature=self.temperature * temperature)

    def evidence(
        self, texts: Sequence[str], leaves: Sequence[int], *, most: int = 5
    ) -> list[tuple[Span, ...]]:
        """Return the stretches of each text without which its leaf loses most.

        A text is cut into at most 24 stretches; each is left out in turn. It costs as much as
        classifying so many texts.
        """
        return [self._evidence(t, leaf, most) for t, leaf in zip(texts, leaves, strict=True)]

    def _evidence(self, text: str, leaf: int, most: int) -> tuple[Span, ...]:
        encoding = self._tokenizer.encode(text)
        read = max((end for _, end in encoding.offsets), default=0)
        if read <= _SHORTEST_STRETCH:
            return ()
        length = max(_SHORTEST_STRETCH, -(-read // _MOST_STRETCHES))
        cuts = [(a, min(a + length, read)) for a in range(0, read, length)]
        p = self.probabilities([text, *(text[:a] + text[b:] for a, b in cuts)])[:, leaf]
        scores = np.log(np.maximum(p, 1e-9))
        per_char = np.zeros(len(text) + 1, np.float32)
        for (a, b), score in zip(cuts, scores[1:], strict=True):
            per_char[a:b] = scores[0] - score
        return strongest_spans(per_char, np.array([0, len(per_char)]), most=most)[0]

    def to_files(self) -> dict[str, bytes]:
        """Return the files of a bundle."""
        settings = {
            "kind": KIND,
            "max_length": self.max_length,
            "pad_id": self.pad_id,
            "temperature": self.temperature,
            "quantised": self.quantised,
            "class_of": self.class_of.tolist(),
            "bias": self.bias.tolist(),
            "set_rule": self.set_rule.to_json(),
        }
        return {
            SETTINGS: json_bytes(settings),
            TOKENIZER: self.tokenizer.encode(),
            MODEL: self.load_model(),
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, threads: int = 1) -> OnnxEncoder:
        """Load from a bundle.

        Raises
        ------
        BundleError
            If a file is missing, altered or not what it should be.
        UsageError
            If onnxruntime or tokenizers is not installed.
        """
        s = bundle.read_json(SETTINGS)
        try:
            encoder = cls(
                load_model=lambda: bundle.read_bytes(MODEL),
                tokenizer=bundle.read_bytes(TOKENIZER).decode(),
                bias=np.array(s["bias"], dtype=np.float32),
                class_of=np.array(s["class_of"], dtype=np.int64),
                max_length=int(s["max_length"]),
                pad_id=int(s["pad_id"]),
                temperature=float(s["temperature"]),
                threads=threads,
                quantised=bool(s["quantised"]),
                set_rule=SetRule.from_json(s["set_rule"]),
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise BundleError(
                f"模型包文件内容不全：{bundle.path / SETTINGS}（{fault}）；请重新生成该模型包"
            ) from None
        if len(encoder.bias) != len(encoder.class_of) + 1:
            raise BundleError(
                f"模型包文件前后不一：{bundle.path / SETTINGS} 有 {len(encoder.class_of)} 个细项、"
                f"{len(encoder.bias)} 个偏置；请重新生成该模型包"
            )
        # Tokenizer and session now, so that a damaged bundle is refused at once.
        try:
            encoder.raw_logits(["诉求"])
        except ValueError:
            raise BundleError(
                f"编码器 {bundle.path / MODEL} 的细项数与 {SETTINGS} 不符；请重新生成该模型包"
            ) from None
        return encoder


def padded(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[Ints, Ints]:
    """Return tokens and attention mask, shape ``(len(ids), longest)``."""
    longest = max((len(i) for i in ids), default=1) or 1
    tokens = np.full((len(ids), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(ids), longest), dtype=np.int64)
    for row, own in enumerate(ids):
        tokens[row, : len(own)] = own
        mask[row, : len(own)] = 1
    return tokens, mask


def _tokenizers() -> Any:
    try:
        import tokenizers  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "使用编码器需要 tokenizers；请安装 jiesu-nlp[encoder-serving]，或改用快速模型的模型包"
        ) from None
    return tokenizers


def _open_session(model: bytes, threads: int) -> Any:
    try:
        import onnxruntime  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "使用编码器需要 onnxruntime；请安装 jiesu-nlp[encoder-serving]，或改用快速模型的模型包"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as fault:  # onnxruntime's errors share no base but Exception
        raise BundleError(
            f"编码器 {MODEL} 无法载入：{str(fault)[:120]}；请用本机版本的程序重新生成该模型包"
        ) from None
    if tuple(sorted(i.name for i in session.get_inputs())) != tuple(sorted(INPUTS)):
        raise BundleError(f"编码器 {MODEL} 的输入不是 {'、'.join(INPUTS)}；请重新生成该模型包")
    return session
