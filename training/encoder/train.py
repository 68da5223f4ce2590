"""Fine-tune, export, check: from texts and a checkpoint folder to an encoder that can be served."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jiesu_nlp.classify.encoder import OnnxEncoder, padded
from jiesu_nlp.classify.features import Floats
from jiesu_nlp.errors import DataError
from jiesu_nlp.files import replace_file
from training.encoder.extras import require_encoder_extra
from training.encoder.options import EncoderData, EncoderOptions, LongTail

Progress = Callable[[str, float], None]
REPORT = "encoder-report.json"
# Shares of the log prior that are tried on the held-out texts.
_PRIOR_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_FIT_SHARE = 0.9


@dataclass(frozen=True)
class TrainedEncoder:
    """An encoder ready to serve.

    Attributes
    ----------
    classifier
        Uncalibrated; its ``to_files()`` are those of a bundle.
    report
        Plain values: history, parity, options, device — for run record and model card.
    """

    classifier: OnnxEncoder
    report: dict[str, Any]


def train_encoder(
    data: EncoderData,
    checkpoint: Path,
    out: Path,
    options: EncoderOptions = EncoderOptions(),
    progress: Progress = lambda stage, done: None,
) -> TrainedEncoder | None:
    """Fine-tune the encoder in ``checkpoint`` and export it.

    Started by ``torchrun``, all processes train together; all but the first return ``None``.

    Parameters
    ----------
    data
        Texts, leaf rows and the tree.
    checkpoint
        Hugging Face encoder folder; nothing is fetched.
    out
        Working folder of the run: saved states, best weights, report. Calling again with the same
        data and options takes an interrupted run up; a finished one is only exported again.
    progress
        Called with a stage (Chinese) and the share done, 0 to 1.

    Raises
    ------
    UsageError
        If the extra ``encoder`` is not installed or an option makes no sense.
    DataError
        If data or checkpoint cannot be used, the disk refuses, or the export differs from torch.
    """
    require_encoder_extra()
    from training.encoder.checkpoint import open_checkpoint  # noqa: PLC0415
    from training.encoder.export import (  # noqa: PLC0415
        FP32_BOUND,
        MOST_PARITY_TEXTS,
        export_network,
        parity,
        quantise,
        torch_logits,
    )
    from training.encoder.loop import fit_network, token_ids  # noqa: PLC0415

    options.check()
    data.check()
    opened = open_checkpoint(checkpoint)
    fitted = fit_network(
        data, opened, out, options, lambda stage, done: progress(stage, _FIT_SHARE * done)
    )
    if fitted is None:
        return None
    progress("导出 ONNX", _FIT_SHARE)
    limit = min(options.max_length, opened.max_length)
    texts = list(data.held_out_texts or data.texts)[:MOST_PARITY_TEXTS]
    ids = token_ids(opened.tokenizer, texts, limit)
    model = export_network(fitted.network, padded((ids * 2)[:2], opened.pad_id))
    opened.tokenizer.no_truncation()
    served = OnnxEncoder(
        load_model=lambda: model,
        tokenizer=opened.tokenizer.to_str(),
        bias=np.zeros(data.outputs, np.float32),
        class_of=data.class_of,
        max_length=limit,
        pad_id=opened.pad_id,
    )
    progress("核对导出结果", 0.93)
    expected = torch_logits(fitted.network, ids, opened.pad_id)
    exact = parity(served, texts, expected)
    if exact.max_difference > FP32_BOUND * max(1.0, float(np.abs(expected).max())):
        raise DataError(
            f"导出的 ONNX 与原模型不一致：logit 最大相差 {exact.max_difference:.4f}",
            remedy="换用 bert、roberta、electra 一类的编码器，或升级 onnxruntime",
        )
    report: dict[str, Any] = {
        "options": asdict(options),
        "checkpoint": {"model_type": opened.config.model_type, "sha256": opened.hash},
        "history": fitted.history,
        "best_epoch": fitted.best_epoch,
        "steps": fitted.steps,
        "resumed_at": fitted.resumed_at,
        "device": fitted.device,
        "precision": fitted.precision,
        "processes": fitted.processes,
        "parity_fp32": exact.to_json(),
    }
    if options.int8:
        progress("量化为 int8", 0.95)
        small = quantise(model)
        quantised = replace(served, load_model=lambda: small, quantised=True)
        found = parity(quantised, texts, expected)
        report["parity_int8"] = found.to_json()
        if found.agreement >= options.least_agreement:
            served = quantised
    report["serves"] = "int8" if served.quantised else "fp32"
    served, report["prior_share"] = with_prior(served, data, options)
    replace_file(out / REPORT, json.dumps(report, ensure_ascii=False, indent=2).encode())
    progress("完成", 1.0)
    return TrainedEncoder(served, report)


def with_prior(
    encoder: OnnxEncoder, data: EncoderData, options: EncoderOptions
) -> tuple[OnnxEncoder, float]:
    """Give the encoder the share of the training prior that suits the held-out texts best.

    A network trained with the balanced softmax speaks as if all leaves were alike frequent. How
    much of the true frequencies to add back is a question of what is asked: it is answered by the
    likelihood of the held-out labels, without training again.
    """
    from training.encoder.network import leaf_prior  # noqa: PLC0415

    truth = data.held_out_leaf_of
    if options.long_tail is not LongTail.BALANCED_SOFTMAX or truth is None or not len(truth):
        return encoder, 0.0
    logits = encoder.raw_logits(list(data.held_out_texts))
    log_prior = np.log(leaf_prior(data))
    losses = [_loss(logits + np.float32(share) * log_prior, truth) for share in _PRIOR_SHARES]
    share = _PRIOR_SHARES[int(np.argmin(losses))]
    return replace(encoder, bias=(share * log_prior).astype(np.float32)), share


def _loss(logits: Floats, truth: Any) -> float:
    top = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float((total - logits[np.arange(len(truth)), truth]).mean())
