"""Speed and memory of the main job, beside plain jieba on the same tickets in the same run.

    .venv/bin/python benchmarks/speed.py [--bundle DIR] [--tickets FILE]

Tickets are the gold tickets joined to about 150 characters. Timings on shared cores are noisy:
read the ratios.
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
from itertools import cycle, islice
from pathlib import Path

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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path, default=None)
    parser.add_argument("--tickets", type=Path, default=ROOT / "tests" / "gold" / "tickets.jsonl")
    args = parser.parse_args()

    from jiesu_nlp import Dispatcher

    dispatcher = Dispatcher.load(args.bundle)
    texts = tickets(args.tickets, 6000)
    for text in texts[:200]:
        dispatcher.suggest(text)
    single = []
    for text in texts[:2000]:
        start = time.perf_counter()
        dispatcher.suggest(text)
        single.append((time.perf_counter() - start) * 1e3)
    rows = [
        ("one ticket, median ms", f"{statistics.median(single):.3f}"),
        ("one ticket, p99 ms", f"{percentile(single, 0.99):.3f}"),
    ]
    cores = os.cpu_count() or 1
    rates = {}
    for name, options in {
        "suggest_many, 1 process": {},
        f"suggest_many, {cores} processes": {"workers": cores},
        f"suggest_many, {cores} processes, no evidence": {"workers": cores, "evidence": False},
    }.items():
        start = time.perf_counter()
        count = sum(1 for _ in dispatcher.suggest_many(texts, batch_size=256, **options))
        rates[name] = count / (time.perf_counter() - start)
    try:
        import jieba

        jieba.initialize()
        start = time.perf_counter()
        for text in islice(texts, 3000):
            jieba.lcut(text)
        rates["jieba.lcut alone, 1 process"] = 3000 / (time.perf_counter() - start)
    except ImportError:
        pass
    rows += [(f"{name}, tickets/s", f"{rate:,.0f}") for name, rate in rates.items()]
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
    rows += [("import s", f"{best[0]:.2f}"), ("bundle load s", f"{best[1]:.2f}")]
    rows.append(("resident MB", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}"))
    from jiesu_nlp.bundle import Registry
    from jiesu_nlp.home import models_dir

    folder = args.bundle or Registry(models_dir()).path("default")
    size = sum(p.stat().st_size for p in folder.iterdir()) / 1e6
    rows.append(("bundle MB", f"{size:.1f}"))
    print(
        f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
