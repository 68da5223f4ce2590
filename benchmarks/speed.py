"""Speed and memory of the main job, beside plain jieba on the same tickets in the same run.

    .venv/bin/python benchmarks/speed.py [--bundle DIR] [--tickets FILE] [--rounds 5]

Tickets are the gold tickets joined to about 150 characters. Timings on shared cores are noisy and
differ twofold between hours on one machine: read the ratios, medians over rounds in which every
way runs once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from jiesu_nlp import Dispatcher
from jiesu_nlp.bundle import Registry
from jiesu_nlp.home import models_dir

ROOT = Path(__file__).resolve().parent.parent
LENGTH = 150
_LOAD = """
import time; start = time.perf_counter()
from jiesu_nlp import Dispatcher
imported = time.perf_counter()
Dispatcher.load(%r)
print(imported - start, time.perf_counter() - imported)
"""


def tickets(path: Path, count: int) -> list[str]:
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    endless = cycle(texts)
    found = []
    while len(found) < count:
        text = ""
        while len(text) < LENGTH:
            text += next(endless)
        found.append(text[:LENGTH])
    return found


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rates(dispatcher: Dispatcher, texts: list[str], rounds: int) -> dict[str, list[float]]:
    """Tickets per second of each way, once a round: a core that slows down slows all of them."""
    import jieba

    jieba.initialize()
    cores = os.cpu_count() or 1

    def answer(**options: Any) -> None:
        for _ in dispatcher.suggest_many(texts, **options):
            pass

    ways: dict[str, Callable[[], object]] = {
        "jieba.lcut alone, 1 process": lambda: [jieba.lcut(text) for text in texts],
        "suggest_many, 1 process": answer,
        f"suggest_many, {cores} processes": lambda: answer(workers=cores),
        f"suggest_many, {cores} processes, no evidence": lambda: answer(
            workers=cores, evidence=False
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(len(texts) / seconds(way))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path, default=None)
    parser.add_argument("--tickets", type=Path, default=ROOT / "tests" / "gold" / "tickets.jsonl")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    dispatcher = Dispatcher.load(args.bundle)
    texts = tickets(args.tickets, 3000)
    for text in texts[:200]:
        dispatcher.suggest(text)
    single = [seconds(partial(dispatcher.suggest, text)) * 1e3 for text in texts]
    by_way = rates(dispatcher, texts, args.rounds)
    jieba_alone = by_way["jieba.lcut alone, 1 process"]
    loads = []
    for _ in range(3):
        out = subprocess.run(
            [sys.executable, "-c", _LOAD % (str(args.bundle) if args.bundle else None)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        loads.append((float(out[0]), float(out[1])))
    best = min(loads, key=sum)
    folder = args.bundle or Registry(models_dir()).path("default")
    size = sum(p.stat().st_size for p in folder.iterdir()) / 1e6
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print(f"| one ticket, median ms | {statistics.median(single):.3f} |")
    print(f"| one ticket, p99 ms | {percentile(single, 0.99):.3f} |")
    for name, found in by_way.items():
        ratio = statistics.median(a / b for a, b in zip(found, jieba_alone, strict=True))
        print(f"| {name}, tickets/s | {statistics.median(found):,.0f} | {ratio:.2f} × jieba |")
    print(f"| import s | {best[0]:.2f} |\n| bundle load s | {best[1]:.2f} |")
    print(f"| resident MB | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} |")
    print(f"| bundle MB | {size:.1f} |")


if __name__ == "__main__":
    main()
