"""Verbs of the ML engineer, added to ``jiesu`` through the entry point ``jiesu.commands``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jiesu_nlp.catalogue import read_catalogue
from jiesu_nlp.cli import catalogue as catalogue_cli
from jiesu_nlp.cli.console import out, stage_progress
from jiesu_nlp.files import replace_file


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    catalogue_cli.app.command(
        "confusable", help="交叉验证例句，列出分类器分不清的细项（约两分钟）。"
    )(confusable)


def confusable(
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="写成 Markdown 报告。")
    ] = None,
    least: Annotated[float, typer.Option(help="互混率不低于此值才列出。")] = 0.15,
    folder: catalogue_cli.Folder = None,
) -> None:
    """List the leaves a cross-validated classifier confuses."""
    from training.confusability import confusability, to_markdown

    catalogue = read_catalogue(catalogue_cli.catalogue_dir(folder))
    with stage_progress("交叉验证") as bar:
        report = confusability(
            catalogue,
            least_share=least,
            report=lambda done: bar.update(bar.task_ids[0], completed=done),
        )
    text = to_markdown(report, catalogue)
    if target is not None:
        replace_file(target, text.encode())
        out.print(f"易混细项 {len(report.pairs)} 对 → {target}")
    else:
        out.print(text, soft_wrap=True)
