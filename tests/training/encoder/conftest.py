"""A tiny random encoder built on the spot, and a toy task it can learn. Nothing is downloaded."""

from __future__ import annotations

import numpy as np
import pytest

from training.encoder.extras import missing_modules
from training.encoder.options import EncoderData, EncoderOptions

# Without the extra there is nothing to test here but the message that says so.
collect_ignore_glob = ["test_*.py"] if missing_modules() else []

# Six leaves in three groups in two classes, each with its own words; row 6 is no matter.
WORDS = (
    ("占道", "摆摊", "小贩"),
    ("垃圾", "清运", "脏乱"),
    ("井盖", "破损", "塌陷"),
    ("暖气", "不热", "供暖"),
    ("停水", "水压", "水管"),
    ("停电", "电表", "跳闸"),
)
NOTHING = ("您好", "谢谢", "再见")
FRAMES = ("我家门口{}没人管", "请问{}怎么办", "小区里{}好几天了", "来电人反映{}", "{}太严重")
CLASS_OF = np.array([0, 0, 0, 1, 1, 1])
GROUP_OF = np.array([0, 0, 1, 2, 3, 3])


def sentences(repeat: int, seed: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    texts, rows = [], []
    for _ in range(repeat):
        for row, words in enumerate((*WORDS, NOTHING)):
            a, b = rng.choice(len(words), 2)
            texts.append(str(rng.choice(FRAMES)).format(words[a] + words[b]))
            rows.append(row)
    return texts, np.array(rows, dtype=np.int64)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny matrices gain nothing from a second thread and lose much on a busy machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy() -> EncoderData:
    texts, rows = sentences(24, 0)
    held, held_rows = sentences(8, 1)
    return EncoderData(texts, rows, CLASS_OF, GROUP_OF, None, held, held_rows)


@pytest.fixture(scope="session")
def quick() -> EncoderOptions:
    return EncoderOptions(
        head_factor=1.0, epochs=8, batch=16, max_length=48, learning_rate=3e-3, patience=8
    )


def build_checkpoint(folder, *, kind: str = "bert"):
    """Write a random encoder of two layers with a vocabulary of at most 200 entries."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast, ElectraConfig, ElectraModel

    characters = sorted(set("".join("".join(w) for w in (*WORDS, NOTHING)) + "".join(FRAMES)))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    vocabulary += [f"[unused{i}]" for i in range(200 - len(vocabulary))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    torch.manual_seed(0)
    if kind == "electra":
        model = ElectraModel(ElectraConfig(embedding_size=16, **sizes))
    else:
        model = BertModel(BertConfig(**sizes))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return build_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-bert")
