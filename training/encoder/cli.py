"""Verbs for what an encoder is used for: ``jiesu cascade`` and ``jiesu distil``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jiesu_nlp.cli.console import out
from training import cli as shared


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command("cascade", help="把快速模型与编码器合成一个模型包：没把握的才问编码器。")(cascade)
    app.command("distil", help="让快速模型跟编码器学：用未标注的诉求。")(distil)


def cascade(
    fast: Annotated[str, typer.Argument(help="快速模型的模型包。")],
    encoder: Annotated[str, typer.Argument(help="编码器的模型包。")],
    data: shared.Data,
    target: Annotated[str, typer.Option("--out", "-o", help="模型包名称，或文件夹路径。")],
    most_asked: Annotated[float, typer.Option(help="最多把多少比例的工单交给编码器。")] = 0.3,
    column: shared.ColumnOption = None,
) -> None:
    """Join a fast bundle and an encoder bundle."""
    from jiesu_nlp.knowledge import knowledge_of  # noqa: PLC0415
    from training.encoder.bundles import write_cascade  # noqa: PLC0415

    first = shared._bundle(fast)
    tickets = shared._tickets(data, knowledge_of(first).catalogue, column)
    folder = shared._target(target)
    with shared._stages("级联") as progress:
        record = write_cascade(
            first,
            shared._bundle(encoder),
            tickets,
            folder,
            most_asked=most_asked,
            progress=progress,
        )
    out.print(
        f"[green]已生成[/] {folder}：阈值 {record['threshold']:.3f}，"
        f"{record['asked']:.1%} 的工单问编码器，细项首位正确 {record['top1']:.1%}"
        f"（{record['tickets']} 件未见过的工单，一半定阈值、一半校准）",
        soft_wrap=True,
    )


def distil(
    teacher: Annotated[str, typer.Argument(help="教师：编码器的模型包。")],
    texts: Annotated[Path, typer.Option("--texts", help="未标注的诉求，每行一条。")],
    target: Annotated[str, typer.Option("--out", "-o", help="模型包名称，或文件夹路径。")],
    data: shared.Data,
    calibrate: Annotated[float, typer.Option(help="留作校准的比例（较晚的工单）。")] = 0.2,
    weight: Annotated[float, typer.Option(help="一条未标注诉求相当于几件工单。")] = 1.0,
    column: shared.ColumnOption = None,
) -> None:
    """Distil an encoder bundle into a fast one."""
    from jiesu_nlp.knowledge import knowledge_of  # noqa: PLC0415
    from training.encoder.bundles import write_distilled  # noqa: PLC0415
    from training.split import split_tickets  # noqa: PLC0415

    bundle = shared._bundle(teacher)
    tickets = shared._tickets(data, knowledge_of(bundle).catalogue, column)
    parts = split_tickets(tickets, calibrate=calibrate, test=0.0)
    folder = shared._target(target)
    with shared._stages("蒸馏") as progress:
        record = write_distilled(
            bundle,
            [tickets[i] for i in parts.train],
            shared._lines(texts),
            [tickets[i] for i in parts.calibrate],
            folder,
            unlabelled_weight=weight,
            progress=progress,
        )
    out.print(
        f"[green]已生成[/] {folder}：跟 {record['teacher']} 学了 {record['unlabelled']} 条未标注诉求，"
        f"连同 {record['labelled']} 件标注工单",
        soft_wrap=True,
    )
