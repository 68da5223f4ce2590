"""Places in complaint sentences: ours beside cpca, addressparser and jionlp, in one run.

Usage: ``python benchmarks/locate.py [--sentences FILE] [--ours-python .venv/bin/python]``

Peers are used where they can be imported; install them in a scratch environment, not in the
project's: ``pip install cpca addressparser jionlp``. Ours needs ``jiesu_nlp`` on the path; with
``--ours-python`` it runs in another interpreter, so that both can be measured from one.

The sentences in ``benchmarks/data/locate.tsv`` are made up, were written before the rules and were
looked at only as a total.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
Answer = tuple[str, str, str, tuple[str, ...]]  # district, town, status, candidate districts

OVERLAY = "北京经济技术开发区"


def sentences(path: Path) -> list[tuple[str, list[str], list[str]]]:
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines()[2:]:
        text, district, town = [*line.split("\t"), "", ""][:3]
        rows.append((text, district.split("|"), town.split("|") if town else []))
    return rows


def ours() -> Callable[[str], Answer]:
    sys.path.insert(0, str(ROOT))
    from jiesu_nlp.locate.gazetteer import read_places
    from jiesu_nlp.locate.locator import Locator
    from jiesu_nlp.text.normalise import normalise

    locator = Locator(read_places(ROOT / "taxonomy" / "places"))

    def answer(text: str) -> Answer:
        place = locator.locate(normalise(text).text).place()
        candidates = tuple({c.district or "" for c in place.candidates})
        return place.district or "", place.town or "", place.status, candidates

    return answer


def cpca_peer() -> Callable[[str], Answer]:
    import cpca

    def answer(text: str) -> Answer:
        row = cpca.transform([text]).iloc[0]
        return str(row["区"] or "") if row["省"] == "北京市" else "", "", "", ()

    return answer


def addressparser_peer() -> Callable[[str], Answer]:
    import addressparser

    def answer(text: str) -> Answer:
        row = addressparser.transform([text]).iloc[0]
        return str(row["区"] or "") if "北京" in str(row["省"]) else "", "", "", ()

    return answer


def jionlp_peer() -> Callable[[str], Answer]:
    import jionlp

    def answer(text: str) -> Answer:
        found = jionlp.parse_location(text, town_village=True)
        if found["province"] != "北京市":
            return "", "", "", ()
        return found["county"] or "", found.get("town") or "", "", ()

    return answer


PEERS = {"cpca": cpca_peer, "addressparser": addressparser_peer, "jionlp": jionlp_peer}


def measure(
    answer: Callable[[str], Answer], rows: list[tuple[str, list[str], list[str]]]
) -> dict[str, float]:
    for text, _, _ in rows[:40]:  # once before, for what is built at the first question
        answer(text)
    answer(rows[-1][0])
    placed = right = wrong = towned = town_right = empty = kept_empty = 0
    spent = 0.0
    for text, districts, towns in rows:
        started = time.perf_counter()
        district, town, status, candidates = answer(text)
        spent += time.perf_counter() - started
        if districts == ["-"]:
            empty += 1
            kept_empty += not district and status in ("", "none")
            continue
        placed += 1
        several = [d for d in districts if d != "-"]
        # Where several districts are right, to name them as candidates is right too.
        ok = (
            district in several
            or ("-" in districts and not district)
            or bool(len(several) > 1 and not district and set(candidates) & set(several))
        )
        right += ok
        wrong += bool(district) and not ok
        if towns:
            towned += 1
            town_right += ok and town in towns
    return {
        "district": right / placed,
        "wrong": wrong / placed,
        "town": town_right / towned,
        "none_kept": kept_empty / empty,
        "us": spent / len(rows) * 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=Path, default=HERE / "data" / "locate.tsv")
    parser.add_argument("--ours-python", help="另一个装有 jiesu-nlp 的解释器")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = sentences(options.sentences)
    if options.only:
        print(json.dumps(measure(ours(), rows)))
        return
    results: dict[str, dict[str, float]] = {}
    if options.ours_python:
        command = [
            options.ours_python,
            __file__,
            "--only",
            "ours",
            "--sentences",
            str(options.sentences),
        ]
        results["jiesu-nlp"] = json.loads(
            subprocess.run(command, check=True, capture_output=True).stdout
        )
    else:
        results["jiesu-nlp"] = measure(ours(), rows)
    for name, make in PEERS.items():
        try:
            results[name] = measure(make(), rows)
        except ImportError as error:
            print(f"{name}: skipped ({error})", file=sys.stderr)
    print(f"{len(rows)} sentences, {sum(r[1] == ['-'] for r in rows)} without a place in Beijing")
    print(f"{'':14}{'district':>10}{'wrong':>8}{'town':>8}{'none kept':>11}{'µs/text':>10}")
    for name, r in results.items():
        print(
            f"{name:14}{r['district']:>10.1%}{r['wrong']:>8.1%}{r['town']:>8.1%}"
            f"{r['none_kept']:>11.1%}{r['us']:>10.0f}"
        )


if __name__ == "__main__":
    main()
