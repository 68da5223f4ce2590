"""Export to ONNX, quantise to int8, and check that both say what torch said."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jiesu_nlp.classify.encoder import INPUTS, OnnxEncoder, padded
from jiesu_nlp.classify.features import Floats, Ints
from jiesu_nlp.errors import DataError

# fp32 differs from torch only by the order of sums.
FP32_BOUND = 1e-3
_OPSET = 18
_BATCH = 16
MOST_PARITY_TEXTS = 1000


@dataclass(frozen=True, slots=True)
class Parity:
    """How far an exported model is from torch on the same texts.

    ``max_difference`` and ``mean_difference`` are of logits; ``agreement`` is the share of texts
    with the same best leaf; ``megabytes`` the size of the model.
    """

    texts: int
    max_difference: float
    mean_difference: float
    agreement: float
    megabytes: float

    def to_json(self) -> dict[str, float]:
        """Return plain values."""
        return asdict(self)


def export_network(network: Any, sample: tuple[Ints, Ints]) -> bytes:
    """Export a network in eval mode; batch and length stay free.

    Parameters
    ----------
    sample
        Tokens and mask of at least two texts.
    """
    import torch  # noqa: PLC0415

    if network.training:
        raise ValueError("the network must be in eval mode: dropout would be exported")
    arguments = tuple(torch.from_numpy(a) for a in sample)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=4096)
    free = {name: {0: batch, 1: length} for name in INPUTS}
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            path = Path(folder) / "model.onnx"
            torch.onnx.export(
                network,
                arguments,
                str(path),
                input_names=list(INPUTS),
                output_names=["logits"],
                dynamic_shapes=free,
                opset_version=_OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            return path.read_bytes()
    except (OSError, MemoryError) as fault:
        raise DataError(f"导出 ONNX 失败：{fault}", remedy="检查磁盘与内存后重试") from None
    except Exception as fault:  # the exporter raises its own kinds
        raise DataError(
            f"这个架构不能导出为 ONNX：{' '.join(str(fault).split())[:160]}",
            remedy="换用 bert、roberta、electra 一类的编码器",
        ) from None
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def quantise(model: bytes) -> bytes:
    """Return the model with int8 weights; activations are quantised as they come."""
    import onnx  # noqa: PLC0415
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    graph = onnx.load_from_string(model)
    # The quantiser turns weights over; shapes written down for them would contradict it.
    graph.graph.ClearField("value_info")

    root = logging.getLogger()
    level = root.level
    try:
        root.setLevel(logging.ERROR)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "int8.onnx"
            quantize_dynamic(
                graph,
                str(target),
                weight_type=QuantType.QInt8,
                per_channel=True,
                extra_options={"DefaultTensorType": 1},
            )
            return target.read_bytes()
    finally:
        root.setLevel(level)


def torch_logits(network: Any, ids: Sequence[Sequence[int]], pad_id: int) -> Floats:
    """Return what torch says, shape ``(len(ids), outputs)``."""
    import torch  # noqa: PLC0415

    found = []
    with torch.no_grad():
        for start in range(0, len(ids), _BATCH):
            tokens, mask = padded(ids[start : start + _BATCH], pad_id)
            found.append(network(torch.from_numpy(tokens), torch.from_numpy(mask)).numpy())
    return np.concatenate(found)


def parity(served: OnnxEncoder, texts: Sequence[str], expected: Floats) -> Parity:
    """Compare an exported model with torch's logits of the same texts."""
    found = served.raw_logits(texts)
    difference = np.abs(found - expected)
    same = found.argmax(axis=1) == expected.argmax(axis=1)
    return Parity(
        texts=len(texts),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        agreement=float(same.mean()),
        megabytes=round(len(served.load_model()) / 1e6, 3),
    )
