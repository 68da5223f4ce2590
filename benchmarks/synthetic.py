"""Synthetic tickets of any number: real words of the catalogue's says, invented leaves.

    python benchmarks/synthetic.py --out 合成.parquet --tickets 200000

Sibling leaves share many of their words, priors are Zipf, lengths log-normal (about 125 characters),
a tenth of the labels is wrong (mostly a sibling). Labels are paths of three levels, so
``jiesu train --taxonomy labels-only`` reads the tree from the file. Absolute accuracies on such
texts mean nothing; costs and rankings do.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OPENINGS = (
    "市民来电反映",
    "来电人称",
    "您好，我想反映",
    "网友留言",
    "我要投诉",
    "咨询一下",
    "领导好",
)
MIDDLES = (
    "多次联系没有结果", "影响周边居民生活", "之前打过热线", "对方态度不好", "至今没有处理",
    "已经持续很长时间", "希望给个说法", "现场没有人管", "一直互相推",
)  # fmt: skip
CLOSINGS = ("请相关部门尽快处理", "望回复", "希望尽快解决", "对此不满，请核实", "谢谢", "盼复")
ROADS = ("路", "街", "大街", "胡同", "小区", "家园", "村", "东里", "医院", "学校")
SYLLABLES = "东西南北新安平永福长金龙凤华兴和泰阳湖海江桥城山河宁德仁义昌盛嘉瑞锦翠丽"


def words_of_the_catalogue() -> list[str]:
    """Words of two to four characters in the says, most frequent first."""
    import rjieba

    from jiesu_nlp.catalogue import read_catalogue

    catalogue = read_catalogue(ROOT / "taxonomy" / "catalogue")
    count: Counter[str] = Counter()
    for leaf in catalogue.leaves:
        for say in leaf.says:
            count.update(set(rjieba.cut(say)))
    good = re.compile(r"[\u4e00-\u9fff]{2,4}")
    return [w for w, n in count.most_common() if n >= 2 and good.fullmatch(w)]


@dataclass
class World:
    """An invented tree of leaves with the words each of them likes."""

    paths: list[str]
    group_of: list[int]
    class_of: list[int]
    leaf_words: list[list[str]]
    group_words: list[list[str]]
    class_words: list[list[str]]
    common: list[str]
    cumulative: list[float]
    siblings: dict[int, list[int]]
    cousins: dict[int, list[int]]


def make_world(leaves: int = 2240, seed: int = 7) -> World:
    rng = random.Random(seed)
    words = words_of_the_catalogue()
    common, rest = words[:1500], words[1500:]
    rng.shuffle(rest)
    classes, groups = max(2, leaves // 120), max(3, leaves // 11)
    class_of_group = sorted([*range(classes), *rng.choices(range(classes), k=groups - classes)])
    group_of = sorted([*range(groups), *rng.choices(range(groups), k=leaves - groups)])
    class_words = [rng.sample(rest, 120) for _ in range(classes)]
    group_words = [rng.sample(rest, 30) for _ in range(groups)]
    size = Counter(group_of)
    pools = [rng.sample(rest, min(60, 8 + 3 * size[g])) for g in range(groups)]
    leaf_words = [
        [*rng.sample(pools[g], min(7, len(pools[g]))), rng.choice(group_words[g])] for g in group_of
    ]
    ranks = list(range(leaves))
    rng.shuffle(ranks)
    siblings: dict[int, list[int]] = {}
    cousins: dict[int, list[int]] = {}
    for leaf, g in enumerate(group_of):
        siblings.setdefault(g, []).append(leaf)
        cousins.setdefault(class_of_group[g], []).append(leaf)
    return World(
        [
            f"大类{class_of_group[g]:02d} › 小类{g:03d} › 细项{i:04d}"
            for i, g in enumerate(group_of)
        ],
        group_of,
        [class_of_group[g] for g in group_of],
        leaf_words,
        group_words,
        class_words,
        common,
        list(accumulate(1.0 / (rank + 12.0) ** 1.05 for rank in ranks)),
        siblings,
        cousins,
    )


def _text(world: World, leaf: int, places: list[str], rng: random.Random) -> str:
    own = world.leaf_words[leaf]
    group, level_one = world.group_of[leaf], world.class_of[leaf]
    target = min(max(rng.lognormvariate(4.66, 0.5), 12), 700)
    parts = [rng.choice(OPENINGS)] if rng.random() < 0.8 else []
    if rng.random() < 0.8:
        parts.append(f"{rng.choice(places)}{rng.choice(ROADS)}{rng.randint(1, 400)}号")
    parts.append(rng.choice(own) + rng.choice(own))
    length = sum(map(len, parts))
    while length < target - 8:
        u = rng.random()
        if u < 0.20:
            part = rng.choice(own) + rng.choice(world.common)
        elif u < 0.36:
            part = rng.choice(world.group_words[group]) + rng.choice(world.common)
        elif u < 0.48:
            part = rng.choice(world.class_words[level_one]) + rng.choice(world.common)
        elif u < 0.76:
            part = rng.choice(world.common) + rng.choice(world.common)
        elif u < 0.84:
            near = rng.random() < 0.6
            other = rng.choice(world.siblings[group]) if near else rng.randrange(len(world.paths))
            part = rng.choice(world.leaf_words[other])
        elif u < 0.88:
            part = f"{rng.randint(1, 12)}月{rng.randint(1, 28)}日"
        else:
            part = rng.choice(MIDDLES)
        parts.append(part)
        length += len(part) + 1
    parts.append(rng.choice(CLOSINGS))
    return "，".join(parts) + "。"


def tickets(
    world: World, count: int, *, seed: int = 11, noise: float = 0.10, floor: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield ``text path clean created_at``; the first ``floor`` of every leaf are guaranteed."""
    rng = random.Random(seed)
    places = ["".join(rng.choices(SYLLABLES, k=2)) for _ in range(900)]
    leaves = range(len(world.paths))
    chosen = [leaf for leaf in leaves for _ in range(floor)][:count]
    chosen += rng.choices(leaves, cum_weights=world.cumulative, k=count - len(chosen))
    rng.shuffle(chosen)
    start = datetime(2025, 1, 1)
    step = timedelta(days=365) / max(count, 1)
    for i, leaf in enumerate(chosen):
        label = leaf
        if rng.random() < noise:
            u = rng.random()
            if u < 0.7:
                label = rng.choice(world.siblings[world.group_of[leaf]])
            elif u < 0.9:
                label = rng.choice(world.cousins[world.class_of[leaf]])
            else:
                label = rng.choice(leaves)
        yield {
            "id": f"S{i:07d}",
            "text": _text(world, leaf, places, rng),
            "path": world.paths[label],
            "clean": world.paths[leaf],
            "created_at": (start + step * i).isoformat(timespec="seconds"),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help=".parquet 或 .jsonl")
    parser.add_argument("--tickets", type=int, default=200_000)
    parser.add_argument("--leaves", type=int, default=2240)
    parser.add_argument("--noise", type=float, default=0.10)
    args = parser.parse_args()
    rows = tickets(make_world(args.leaves), args.tickets, noise=args.noise, floor=6)
    if args.out.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(list(rows)), args.out)
    else:
        import json

        with args.out.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    print(f"{args.tickets} 件 → {args.out}")


if __name__ == "__main__":
    main()
