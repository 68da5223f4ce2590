"""Verbs for what an encoder is used for: ``jiesu cascade`` and ``jiesu distil``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jiesu_nlp.cli.console import bundle_named, note, say
from training.cli.shared import (
    MOST_TO_LEARN,
    ColumnOption,
    Data,
    bundle_folder,
    stages,
    unlabelled_tickets,
    usable_tickets,
)


def cascade(
    fast: Annotated[str, typer.Argument(help="快速模型的模型包。")],
    encoder: Annotated[str, typer.Argument(help="编码器的模型包。")],
    data: Data,
    target: Annotated[str, typer.Option("--out", "-o", help="模型包名称，或文件夹路径。")],
    most_asked: Annotated[
        float, typer.Option(min=0, max=1, help="最多把多少比例的工单交给编码器。")
    ] = 0.3,
    column: ColumnOption = None,
) -> None:
    """Join a fast bundle and an encoder bundle."""
    from jiesu_nlp.knowledge import knowledge_of
    from training.encoder.bundles import write_cascade

    first = bundle_named(fast)
    tickets = usable_tickets(data, knowledge_of(first).catalogue, column, most=MOST_TO_LEARN)
    folder = bundle_folder(target)
    with stages("级联") as progress:
        record = write_cascade(
            first,
            bundle_named(encoder),
            tickets,
            folder,
            most_asked=most_asked,
            progress=progress,
        )
    say(
        f" {folder}：阈值 {record['threshold']:.3f}，"
        f"{record['asked']:.1%} 的工单问编码器，细项首位正确 {record['top1']:.1%}"
        f"（{record['tickets']} 件未见过的工单，一半定阈值、一半校准）",
        head="已生成",
    )


def distil(
    teacher: Annotated[str, typer.Argument(help="教师：编码器的模型包。")],
    texts: Annotated[
        Path,
        typer.Option(
            "--texts", help="未标注的诉求：与 --data 同样的格式，不要编码列；.txt 为每行一条。"
        ),
    ],
    target: Annotated[str, typer.Option("--out", "-o", help="模型包名称，或文件夹路径。")],
    data: Data,
    calibrate: Annotated[
        float, typer.Option(min=0, max=0.9, help="留作校准的比例（较晚的工单）。")
    ] = 0.2,
    weight: Annotated[float, typer.Option(min=0, help="一条未标注诉求相当于几件工单。")] = 1.0,
    column: ColumnOption = None,
) -> None:
    """Distil an encoder bundle into a fast one."""
    from jiesu_nlp.knowledge import knowledge_of
    from training.encoder.bundles import write_distilled
    from training.split import split_tickets

    bundle = bundle_named(teacher)
    tickets = usable_tickets(data, knowledge_of(bundle).catalogue, column, most=MOST_TO_LEARN)
    parts = split_tickets(tickets, calibrate=calibrate, test=0.0)
    unlabelled = [t.text for t in unlabelled_tickets(texts, column)]
    folder = bundle_folder(target)
    with stages("蒸馏") as progress:
        record = write_distilled(
            bundle,
            [tickets[i] for i in parts.train],
            unlabelled,
            [tickets[i] for i in parts.calibrate],
            folder,
            unlabelled_weight=weight,
            progress=progress,
        )
    say(
        f" {folder}：跟 {record['teacher']} 学了 {record['unlabelled']} 条未标注诉求，"
        f"连同 {record['labelled']} 件标注工单",
        head="已生成",
    )
    if record["seen_left_out"]:
        note(f"{record['seen_left_out']} 件校准工单是教师训练时见过的，没有用来校准")
    if record["unlabelled_left_out"]:
        note(f"{record['unlabelled_left_out']} 条未标注诉求就是校准工单，没有学")
    say(f"校准：{record['calibrated_on']}")
