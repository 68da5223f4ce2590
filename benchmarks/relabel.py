"""Relabelling from Parquet to Parquet with all columns: speed, memory, and a plain loop beside it.

    .venv/bin/python benchmarks/relabel.py [--rows 60000] [--workers 2] [--spark] [--folder DIR]

Tickets are the gold tickets joined to 120 characters. The plain loop is jieba and fastText (trained
for one epoch on the gold tickets: only its cost counts) on the same rows in one process, before the
run. Memory is the sum of the proportional set sizes of the reader and its workers, sampled all
along; the highest of every tenth of the run is shown: flat memory shows as equal figures.

``--spark`` then relabels the same rows by Spark on a local cluster of two workers and shows the
ratio of the two. With ``--folder`` input and output stay, and a second run continues the first:
``--rows 10000000 --folder DIR`` takes hours and may be killed on the way.
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
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
LENGTH = 120
BLOCK = 50_000


def write_tickets(path: Path, count: int) -> None:
    lines = (ROOT / "tests" / "gold" / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    gold = [json.loads(line) for line in lines]
    rng = random.Random(1)
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("old", pa.string())])
    temporary = path.with_suffix(".tmp")
    with pq.ParquetWriter(temporary, schema) as writer:
        for start in range(0, count, BLOCK):
            numbers = range(start, min(start + BLOCK, count))
            texts = []
            for i in numbers:
                text = gold[i % len(gold)]["text"]
                while len(text) < LENGTH:
                    text += rng.choice(gold)["text"]
                texts.append(text[:LENGTH])
            old = [gold[i % len(gold)]["code"] for i in numbers]
            columns = [[f"T{i}" for i in numbers], texts, old]
            writer.write_table(pa.table(columns, schema=schema))
    temporary.replace(path)


def memory_mb(parent: int) -> float:
    """Proportional set size of a process and its children, MB."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name in brackets may hold blanks; the parent is the second field after it.
            after_name = (folder / "stat").read_text().rpartition(")")[2]
            if parent not in (int(folder.name), int(after_name.split()[1])):
                continue
            rollup = (folder / "smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(li.split()[1]) for li in rollup.splitlines() if li.startswith("Pss:"))
    return total / 1024


@dataclass
class Run:
    """A finished command: exit code, wall and CPU seconds, memory of each tenth in MB."""

    code: int
    seconds: float
    cpu: float
    memory: list[float]


def relabel(source: Path, output: Path, *options: str, watch: Path | None = None) -> Run:
    command = [
        sys.executable, "-c", "from jiesu_nlp.cli.main import run; run()", "relabel", str(source),
        "--output", str(output), "--text-column", "text", *options,
    ]  # fmt: skip
    start, before = time.perf_counter(), os.times()
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    seen = []
    while process.poll() is None:
        seen.append(memory_mb(process.pid))
        past = time.perf_counter() - start
        if watch is not None:
            with watch.open("a") as stream:
                stream.write(f"{past:.0f}\t{seen[-1]:.0f}\n")
        time.sleep(min(0.5 + past / 100, 10))
    after = os.times()
    seconds = time.perf_counter() - start
    cpu = after.children_user + after.children_system - before.children_user
    tenths = [seen[len(seen) * i // 10 : len(seen) * (i + 1) // 10] for i in range(10)]
    memory = [max(part) for part in tenths if part]
    return Run(process.returncode, seconds, cpu - before.children_system, memory)


def plain_loop(source: Path, rows: int = 5000) -> tuple[float, float]:
    """Return tickets per second and per CPU second of jieba and fastText in one process."""
    import fasttext
    import jieba

    jieba.initialize()
    table = next(pq.ParquetFile(source).iter_batches(rows))
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--spark", action="store_true")
    parser.add_argument("--folder", type=Path, help="keep input, output and memory.tsv here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / f"in-{args.rows}.parquet"
        if not source.exists():
            write_tickets(source, args.rows)
        bundle = ("--bundle", str(args.bundle))
        print(f"rows {args.rows:,}, workers {args.workers}, load {os.getloadavg()[0]:.1f}")
        plain, plain_cpu = plain_loop(source)
        print(f"jieba + fastText, one process: {plain:,.0f} tickets/s, {plain_cpu:,.0f} per CPU s")
        got = relabel(
            source, folder / f"out-{args.rows}", "--workers", str(args.workers), *bundle,
            watch=folder / "memory.tsv",
        )  # fmt: skip
        print(
            f"relabel: exit {got.code}, {args.rows / got.seconds:,.0f} tickets/s start included, "
            f"{args.rows / got.cpu:,.0f} per CPU second"
        )
        print(f"  to jieba + fastText, per CPU second: {args.rows / got.cpu / plain_cpu:.2f}")
        print(f"  memory MB by tenths of the run: {' '.join(f'{m:.0f}' for m in got.memory)}")
        if args.spark:
            cluster = ("--engine", "spark", "--master", "local-cluster[2,1,1024]")
            by_spark = relabel(source, folder / f"spark-{args.rows}", *cluster, *bundle)
            print(
                f"Spark, two workers: exit {by_spark.code}, "
                f"{args.rows / by_spark.seconds:,.0f} tickets/s start included"
            )
            print(f"  time to the local engine's: {by_spark.seconds / got.seconds:.2f}")


if __name__ == "__main__":
    main()
