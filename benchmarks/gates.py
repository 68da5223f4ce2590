"""How well the gates (分流) are raised: found, false alarms, and what is taken for what.

    python benchmarks/gates.py [--bundle NAME] [--data tests/gold/tickets.jsonl]
    python benchmarks/gates.py --data tests/gold/gates.tsv

Tickets are JSON lines with ``text`` and ``gate`` (``none emergency statutory …``), or lines of gate
and text with a tab between.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from jiesu_nlp import Dispatcher
from jiesu_nlp.vocabulary import Gate

GOLD = Path(__file__).resolve().parent.parent / "tests" / "gold" / "tickets.jsonl"


def read(path: Path) -> list[dict[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix != ".tsv":
        return [json.loads(line) for line in lines]
    return [dict(zip(("gate", "text"), line.split("\t"), strict=True)) for line in lines[1:]]


def main() -> None:
    """Answer the tickets and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", help="folder of a bundle; the active one if left out")
    parser.add_argument("--data", type=Path, default=GOLD)
    args = parser.parse_args()
    dispatcher = Dispatcher.load(args.bundle)
    tickets = read(args.data)
    answers = dispatcher.suggest_many([t["text"] for t in tickets], evidence=False)
    pairs = Counter((t["gate"], a.gate.kind) for t, a in zip(tickets, answers, strict=True))
    for gate in Gate:
        if gate == Gate.NONE:
            continue
        truth = sum(n for (true, _), n in pairs.items() if true == gate)
        raised = sum(n for (_, said), n in pairs.items() if said == gate)
        right = pairs[gate.value, gate.value]
        wrong = raised - right
        print(
            f"{gate.value:10} 应报 {truth:4}  报对 {right:4}  误报 {wrong:4}"
            f"（每千件其余工单 {1000 * wrong / max(len(tickets) - truth, 1):.1f}）"
        )
    for (true, said), n in sorted(pairs.items()):
        if true != said:
            print(f"  {true} → {said}：{n}")


if __name__ == "__main__":
    main()
