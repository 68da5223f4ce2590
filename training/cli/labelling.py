"""``jiesu audit`` and ``jiesu sample``: what people should label, and label anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.cli.console import BundleOption, bundle_named, check_folder_of, note, say
from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.errors import UsageError
from training.cli.shared import (
    MOST_TO_LEARN,
    ColumnOption,
    Data,
    columns_of,
    stages,
    unlabelled_tickets,
    usable_tickets,
)


def audit(
    data: Data,
    target: Annotated[
        Path, typer.Option("--output", "-o", help="导出 .xlsx（核对表）；收回结论时为 .jsonl。")
    ],
    bundle: BundleOption = None,
    column: ColumnOption = None,
    most: Annotated[int, typer.Option(min=1, help="最多导出几件。")] = 500,
    folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="交叉验证折数：每件由没见过它的模型来判；0 表示直接用 --bundle（它须没见过这些工单）。",
        ),
    ] = 3,
    verdicts: Annotated[
        Path | None, typer.Option(help="填好的核对表：按结论改正 --data，写成 JSONL。")
    ] = None,
) -> None:
    """Find tickets that are probably mislabelled, or apply people's verdicts."""
    from training.audit import export_suspects, suspects
    from training.cross_fit import score_across_folds
    from training.scoring import score

    check_folder_of(target)
    if verdicts is None and target.suffix.lower() != ".xlsx":
        raise UsageError(f"--output 应为 .xlsx 核对表，现为 {target}")
    dispatcher = Dispatcher.from_bundle(bundle_named(bundle))
    if verdicts is not None:
        _correct(data, verdicts, dispatcher.catalogue, column, target)
        return
    tickets = usable_tickets(data, dispatcher.catalogue, column, most=MOST_TO_LEARN)
    with stages("逐件判断") as progress:
        if folds:
            scored = score_across_folds(
                dispatcher, tickets, folds=folds, report=lambda done: progress("交叉验证", done)
            )
        else:
            scored = score(
                dispatcher, tickets, end_to_end=False, report=lambda d: progress("逐件判断", d)
            )
    found = suspects(scored)
    sure = sum(s.confident for s in found)
    export_suspects(found[:most], dispatcher.catalogue, target)
    say(
        f"{len(tickets)} 件里疑似错标 {sure} 件（模型对另一细项有把握），导出最可疑的 {min(len(found), most)} 件 → {target}",
    )
    say(
        f"填“结论”一栏后：jiesu audit --data … --verdicts {target} --output 改正后.jsonl",
    )


def _correct(
    data: list[Path],
    verdicts: Path,
    catalogue: Catalogue,
    column: list[str] | None,
    target: Path,
) -> None:
    """Write all tickets as they stand after the verdicts."""
    from training.audit import correct, read_verdicts
    from training.labels import LabelBook
    from training.rows_file import rows_file

    decided = read_verdicts(verdicts, catalogue)
    with rows_file(target) as write:
        done = correct(data, LabelBook(catalogue), decided, write, columns=columns_of(column))
    say(
        f"结论 {len(decided)} 条：改标 {done.changed} 件，剔除 {done.dropped} 件，共 {done.written} 件 → {target}",
    )
    if done.missing:
        note(f"{done.missing} 条结论在 --data 里找不到对应的行；没有它们的数据就补上 --data 再来")
    if done.unusable:
        note(f"{done.unusable} 行不能用，没有写出；详情见 jiesu data check")


def sample(
    source: Annotated[
        Path,
        typer.Option(
            "--input", "-i", help="未标注工单：与 --data 同样的格式，不要编码列；.txt 为每行一件。"
        ),
    ],
    target: Annotated[Path, typer.Option("--output", "-o", help="写成 .jsonl。")],
    count: Annotated[int, typer.Option("-n", min=1, help="挑几件。")] = 200,
    bundle: BundleOption = None,
    column: ColumnOption = None,
    seed: Annotated[int, typer.Option(min=0, help="随机种子，不小于 0。")] = 0,
) -> None:
    """Pick the unlabelled tickets most worth labelling."""
    from jiesu_nlp.text.redact import redact
    from training.rows_file import rows_file
    from training.run_record import RECORD_FILE
    from training.sampling import choose

    check_folder_of(target)
    opened = bundle_named(bundle)
    dispatcher = Dispatcher.from_bundle(opened)
    record = opened.read_json(RECORD_FILE) if RECORD_FILE in opened else {}
    tickets = unlabelled_tickets(source, column)
    chosen = choose(
        dispatcher,
        [t.text for t in tickets],
        count,
        leaf_counts=record.get("leaf_counts"),
        seed=seed,
    )
    codes = dispatcher.catalogue.codes
    rows = [
        {
            "id": tickets[c.row].id,
            "text": redact(tickets[c.row].text),
            "why": c.why,
            "candidates": [
                {
                    "code": codes[leaf],
                    "name": dispatcher.catalogue.leaves[leaf].name,
                    "p": round(p, 4),
                }
                for leaf, p in zip(c.leaves, c.probabilities, strict=True)
            ],
        }
        for c in chosen
    ]
    with rows_file(target) as write:
        for row in rows:
            write(row)
    kinds = "、".join(
        f"{why} {sum(c.why == why for c in chosen)}" for why in dict.fromkeys(c.why for c in chosen)
    )
    say(f"从 {len(tickets)} 件里挑出 {len(chosen)} 件（{kinds}）→ {target}")
