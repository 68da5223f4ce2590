"""Verbs of the ML engineer, added to ``jiesu`` through the entry point ``jiesu.commands``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jiesu_nlp.catalogue import read_catalogue
from jiesu_nlp.cli import catalogue as catalogue_cli
from jiesu_nlp.cli.console import check_folder_of, say, stage_progress
from jiesu_nlp.files import replace_file
from training.cli import data, encoder, judge, labelling, train

_data = typer.Typer(no_args_is_help=True, help="标注工单：检查。")


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    catalogue_cli.app.command(
        "confusable", help="交叉验证例句，列出分类器分不清的细项（约两分钟）。"
    )(confusable)
    _data.command(
        "check", help="训练前检查标注工单：编码、重复、冲突、泄漏、长度、个人信息、分布。"
    )(data.data_check)
    app.add_typer(_data, name="data")
    app.command("train", help="用标注工单（连同目录例句）训练一个模型包。", epilog=train.EPILOG)(
        train.train
    )
    app.command("evaluate", help="在标注工单上评测一个模型包，出数字和网页报告。")(judge.evaluate)
    app.command("compare", help="两个模型包在同一批工单上比较，带配对检验。")(judge.compare)
    app.command("promote", help="候选模型包不差于现用的才启用；差在哪里会说明。")(judge.promote)
    app.command("audit", help="找出疑似错标的工单，导出给人核对，收回结论。")(labelling.audit)
    app.command("sample", help="从未标注工单里挑出最值得标注的。")(labelling.sample)
    app.command("cascade", help="把快速模型与编码器合成一个模型包：没把握的才问编码器。")(
        encoder.cascade
    )
    app.command("distil", help="让快速模型跟编码器学：用未标注的诉求。")(encoder.distil)


def confusable(
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="写成 Markdown 报告。")
    ] = None,
    least: Annotated[float, typer.Option(help="互混率不低于此值才列出。")] = 0.15,
    folder: catalogue_cli.Folder = None,
) -> None:
    """List the leaves a cross-validated classifier confuses."""
    from training.confusability import confusability, to_markdown

    check_folder_of(target)
    catalogue = read_catalogue(catalogue_cli.catalogue_dir(folder))
    with stage_progress("交叉验证") as moved:
        report = confusability(
            catalogue, least_share=least, report=lambda done: moved("交叉验证", done)
        )
    text = to_markdown(report, catalogue)
    if target is not None:
        replace_file(target, text.encode())
        say(f"易混细项 {len(report.pairs)} 对 → {target}")
    else:
        say(text)
