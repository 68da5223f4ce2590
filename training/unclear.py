"""Texts without a matter, to see whether a model knows that it does not know."""

from __future__ import annotations

import random
from collections.abc import Sequence

_KEYS = "asdfghjklqwertyuiopzxcvbnm"
_RARE = "氘氚瓩鼐彧罘囧觑缂旮赟镳蕖苘嵴髹钐砗胂耄"


def unclear_texts(tickets: Sequence[str], *, count: int = 120, seed: int = 0) -> list[str]:
    """Return seeded gibberish: keyboard mashing, numbers, rare and mixed characters, mere sounds.

    Parameters
    ----------
    tickets
        Some of the texts are drawn from their characters, in no order.
    """
    rng = random.Random(seed)
    characters = list("".join(tickets[:2000]).replace("\n", "")) or list(_RARE)
    texts = []
    for i in range(count):
        kind = i % 5
        if kind == 0:
            text = "".join(rng.choices(_KEYS, k=rng.randint(4, 30)))
        elif kind == 1:
            text = " ".join(str(rng.randint(0, 10**6)) for _ in range(rng.randint(2, 8)))
        elif kind == 2:
            text = "".join(rng.choices(_RARE, k=rng.randint(4, 20)))
        elif kind == 3:
            text = "".join(rng.choices(characters, k=rng.randint(6, 16)))
        else:
            text = rng.choice(
                ("喂喂喂", "嗯嗯", "听得见吗", "啊？", "算了算了", "等一下")
            ) + "。" * (i % 3)
        texts.append(text if text.strip() else "……嗯")
    return texts
