"""Open a Hugging Face encoder folder: local files only, no pickle, no foreign code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from jiesu_nlp.errors import DataError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
)
_REMEDY = "--checkpoint 指向 Hugging Face 编码器文件夹（config.json、model.safetensors、分词器）"


@dataclass(frozen=True)
class Checkpoint:
    """A checked folder.

    ``tokenizer`` is a :class:`tokenizers.Tokenizer`, the same that serves the exported model.
    ``max_length`` is the longest input the encoder takes, ``hash`` that of config and weights.
    """

    path: Path
    config: Any
    tokenizer: Any
    pad_id: int
    max_length: int
    hash: str

    def encoder(self) -> Any:
        """Load the pretrained encoder (a torch module, fp32, without its pooler).

        Raises
        ------
        DataError
            If the weights are damaged or of another shape than the configuration says.
        """
        import torch  # noqa: PLC0415
        from transformers import AutoModel  # noqa: PLC0415
        from transformers.utils import logging  # noqa: PLC0415

        # Its bars would run through ours.
        logging.disable_progress_bar()
        try:
            encoder, info = AutoModel.from_pretrained(
                self.path,
                config=self.config,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                # The other kernels cannot all be exported.
                attn_implementation="eager",
                output_loading_info=True,
            )
        except Exception as fault:  # transformers raises a dozen kinds
            raise DataError(
                f"编码器权重无法载入：{_short(fault)}", path=self.path, remedy=_REMEDY
            ) from None
        absent = [key for key in info["missing_keys"] if "pooler" not in key]
        if absent or info["mismatched_keys"]:
            raise DataError(
                f"权重文件与 config.json 不符：缺 {len(absent)} 个张量（如 {next(iter(absent), '无')}），"
                f"形状不符 {len(info['mismatched_keys'])} 个",
                path=self.path,
                remedy="换成配套的 config.json 与 model.safetensors",
            )
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None
        return encoder


def open_checkpoint(path: Path) -> Checkpoint:
    """Check a folder and read configuration and tokenizer.

    Raises
    ------
    DataError
        If a file is missing, the architecture is unknown or is not an encoder.
    """
    if not path.is_dir():
        raise DataError("没有这个编码器文件夹", path=path, remedy=_REMEDY)
    config = _config(path)
    weights = next((path / name for name in _WEIGHTS if (path / name).is_file()), None)
    if weights is None:
        if any((path / name).exists() for name in _PICKLED):
            raise DataError(
                "只有 pytorch_model.bin：载入它会执行文件里的代码，不予使用",
                path=path,
                remedy="换用带 model.safetensors 的同名模型，或在可信环境中用 save_pretrained 另存",
            )
        raise DataError("缺少权重 model.safetensors", path=path, remedy=_REMEDY)
    tokenizer, pad_id = _tokenizer(path)
    vocabulary = int(getattr(config, "vocab_size", 0))
    if tokenizer.get_vocab_size() > vocabulary:
        raise DataError(
            f"分词器有 {tokenizer.get_vocab_size()} 个词，编码器只有 {vocabulary} 个，两者不配套",
            path=path,
            remedy="换成配套的分词器文件",
        )
    digest = sha256((path / "config.json").read_bytes())
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    digest.update(tokenizer.to_str().encode())
    positions = int(getattr(config, "max_position_embeddings", 512) or 512)
    # RoBERTa and its kin count positions from the padding index on.
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"):
        positions -= 2
    return Checkpoint(path, config, tokenizer, pad_id, positions, digest.hexdigest())


def _config(path: Path) -> Any:
    from transformers import AutoConfig  # noqa: PLC0415
    from transformers.models.auto import modeling_auto  # noqa: PLC0415

    file = path / "config.json"
    if not file.is_file():
        raise DataError("缺少 config.json", path=path, remedy=_REMEDY)
    try:
        plain = json.loads(file.read_bytes())
        kind = plain["model_type"] if isinstance(plain, dict) else None
    except (ValueError, KeyError):
        kind = None
    if not isinstance(kind, str):
        raise DataError(
            "config.json 不是有效的模型配置（没有 model_type）", path=file, remedy=_REMEDY
        )
    encoders = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if kind not in encoders:
        raise DataError(
            f"不支持的架构“{kind}”：需要双向编码器（如 bert、roberta、electra、modernbert）",
            path=file,
            remedy=_REMEDY,
        )
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as fault:
        raise DataError(
            f"config.json 无法使用：{_short(fault)}", path=file, remedy=_REMEDY
        ) from None
    if getattr(config, "is_encoder_decoder", False) or getattr(config, "is_decoder", False):
        raise DataError(
            f"架构“{kind}”带解码器，不是双向编码器",
            path=file,
            remedy="换成编码器，如 bert、roberta",
        )
    return config


def _tokenizer(path: Path) -> tuple[Any, int]:
    import tokenizers  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    if not any((path / name).is_file() for name in _TOKENIZERS):
        raise DataError("缺少分词器文件（tokenizer.json 或 vocab.txt）", path=path, remedy=_REMEDY)
    try:
        whole = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        fast = tokenizers.Tokenizer.from_str(whole.backend_tokenizer.to_str())
    except Exception as fault:
        raise DataError(f"分词器无法载入：{_short(fault)}", path=path, remedy=_REMEDY) from None
    fast.no_padding()
    fast.no_truncation()
    return fast, int(whole.pad_token_id or 0)


def _short(fault: Exception) -> str:
    return " ".join(str(fault).split())[:160]
