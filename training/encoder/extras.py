"""The extra ``encoder`` is there, or a clear word that it is not."""

from __future__ import annotations

from importlib.util import find_spec

from jiesu_nlp.errors import UsageError

NEEDED = ("torch", "transformers", "safetensors", "onnx", "onnxscript", "onnxruntime", "tokenizers")


def missing_modules() -> list[str]:
    """Return the modules of the extra that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def require_encoder_extra() -> None:
    """Raise :class:`UsageError` naming what is missing."""
    missing = missing_modules()
    if missing:
        raise UsageError(f"训练编码器还缺少 {'、'.join(missing)}；请安装 jiesu-nlp[encoder] 后再试")
