"""Relabelling from Parquet to Parquet with all columns: speed, memory, and a plain loop beside it.

    .venv/bin/python benchmarks/relabel.py [--rows 40000] [--bundle DIR] [--workers 2]

Tickets are the gold tickets joined to 120 characters. The plain loop is jieba and fastText (trained
for one epoch on the gold tickets: only its cost counts) on the same rows in one process. Memory is
the sum of the proportional set sizes of the reader and its workers, sampled twice a second, in the
first and in the last third of the run: flat memory shows as equal figures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
LENGTH = 120


def write_tickets(path: Path, count: int) -> None:
    lines = (ROOT / "tests" / "gold" / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    gold = [json.loads(line) for line in lines]
    rng = random.Random(1)
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("old", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 50_000):
            rows = []
            for i in range(start, min(start + 50_000, count)):
                text = gold[i % len(gold)]["text"]
                while len(text) < LENGTH:
                    text += rng.choice(gold)["text"]
                rows.append(
                    {"id": f"T{i}", "text": text[:LENGTH], "old": gold[i % len(gold)]["code"]}
                )
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def memory_mb(parent: int) -> float:
    """Proportional set size of a process and its children, MB."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if parent not in (int(folder.name), int((folder / "stat").read_text().split()[3])):
                continue
            rollup = (folder / "smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(li.split()[1]) for li in rollup.splitlines() if li.startswith("Pss:"))
    return total / 1024


def relabel(source: Path, output: Path, bundle: Path, workers: int) -> dict[str, float]:
    command = [
        sys.executable, "-c", "from jiesu_nlp.cli.main import run; run()", "relabel", str(source),
        "-o", str(output), "--bundle", str(bundle), "--workers", str(workers), "--text-column", "text",
    ]  # fmt: skip
    start, before = time.perf_counter(), os.times()
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    seen = []
    while process.poll() is None:
        seen.append(memory_mb(process.pid))
        time.sleep(0.5)
    after = os.times()
    third = max(len(seen) // 3, 1)
    return {
        "seconds": time.perf_counter() - start,
        "cpu": after.children_user - before.children_user,
        "first": max(seen[:third]),
        "last": max(seen[-third:]),
        "code": float(process.returncode),
    }


def plain_loop(source: Path, rows: int = 5000) -> tuple[float, float]:
    """Return tickets per second and per CPU second of jieba and fastText in one process."""
    import fasttext
    import jieba

    jieba.initialize()
    table = pq.read_table(source).slice(0, rows)
    texts, labels = table.column("text").to_pylist(), table.column("old").to_pylist()
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as train:
        for text, label in zip(texts, labels, strict=True):
            train.write(f"__label__{label} {' '.join(' '.join(jieba.lcut(text)).split())}\n")
        train.flush()
        model = fasttext.train_supervised(
            train.name, dim=100, wordNgrams=2, epoch=1, thread=1, bucket=200_000, verbose=0
        )
    start, cpu = time.perf_counter(), time.process_time()
    for text in texts:
        model.predict(" ".join(jieba.lcut(text)).replace("\n", " "), k=5)
    return len(texts) / (time.perf_counter() - start), len(texts) / (time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "default")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.parquet"
        write_tickets(source, args.rows)
        plain, plain_cpu = plain_loop(source)
        got = relabel(source, Path(folder) / "out", args.bundle, args.workers)
    print(
        f"rows {args.rows}, workers {args.workers}, load {os.getloadavg()[0]:.1f}, exit {got['code']:.0f}"
    )
    print(f"relabel: {args.rows / got['seconds']:,.0f} tickets/s, start included")
    print(f"relabel: {args.rows / got['cpu']:,.0f} tickets per CPU second")
    print(f"jieba + fastText, one process: {plain:,.0f} tickets/s, {plain_cpu:,.0f} per CPU second")
    print(f"memory MB, first third {got['first']:.0f}, last third {got['last']:.0f}")


if __name__ == "__main__":
    main()
