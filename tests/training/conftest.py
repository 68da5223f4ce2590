"""A small world of its own: six matters, invented tickets, a bundle trained in seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from jiesu_nlp import Dispatcher
from training.train import Trained, TrainOptions, train

MATTERS = {
    "市容 › 占道 › 游商占道": ("烧烤摊", "占道", "小贩", "摆摊", "油烟", "推车"),
    "市容 › 占道 › 店外经营": ("店外", "桌椅", "门前", "商户", "堆货", "经营"),
    "市容 › 垃圾 › 垃圾未清": ("垃圾桶", "清运", "满溢", "臭味", "垃圾", "蚊蝇"),
    "住房 › 供暖 › 暖气不热": ("暖气", "不热", "室温", "供暖", "冰凉", "热力"),
    "住房 › 漏水 › 屋顶漏雨": ("屋顶", "漏雨", "顶楼", "防水", "渗水", "发霉"),
    "交通 › 停车 › 违法停车": ("停车", "堵路", "车辆", "乱停", "消防通道", "僵尸车"),
}
UNITS = ("城管执法", "城管执法", "城市管理", "供热企业", "住建房管", "公安交管")
FILLERS = (
    "每天晚上",
    "好几个月了",
    "没有人管",
    "打过电话",
    "希望解决",
    "邻居都知道",
    "就在楼下",
    "影响休息",
)


def small_tickets(count: int, *, seed: int = 0, noise: float = 0.0) -> list[dict[str, str]]:
    """Rows of ``id text path unit created_at``; ``clean`` is the label before noise."""
    rng = random.Random(seed)
    names = list(MATTERS)
    rows = []
    for i in range(count):
        at = rng.randrange(len(names))
        words = rng.sample(MATTERS[names[at]], 3) + rng.sample(FILLERS, 3)
        rng.shuffle(words)
        label = rng.choice(names) if rng.random() < noise else names[at]
        rows.append(
            {
                "id": f"T{i}",
                "text": "，".join(words)
                + f"，在{rng.randint(1, 999)}号院{rng.choice('东南西北')}门",
                "path": label,
                "clean": names[at],
                "unit": UNITS[at],
                "created_at": f"2026-{1 + i * 12 // count:02d}-{1 + i % 28:02d}T08:00:00",
            }
        )
    return rows


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


@pytest.fixture(scope="session")
def small_file(tmp_path_factory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("tickets") / "工单.jsonl", small_tickets(600))


@pytest.fixture(scope="session")
def small(tmp_path_factory, small_file) -> Trained:
    folder = tmp_path_factory.mktemp("models") / "small"
    return train([small_file], folder, TrainOptions(taxonomy="labels-only"))


@pytest.fixture(scope="session")
def small_dispatcher(small) -> Dispatcher:
    return Dispatcher.from_bundle(small.bundle)
