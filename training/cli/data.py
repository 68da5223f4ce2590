"""``jiesu data check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from jiesu_nlp.cli.console import check_folder_of, say, say_table, stage_progress
from jiesu_nlp.home import taxonomy_dir
from training.cli.shared import ColumnOption, JsonFile, TaxonomyOption, columns_of, write_json

if TYPE_CHECKING:
    from training.data_check import DataReport, Problem


def data_check(
    files: Annotated[list[Path], typer.Argument(help="文件或文件夹，可多个。")],
    column: ColumnOption = None,
    taxonomy: TaxonomyOption = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="对照数据（如训练用过的）：查有没有重复的工单。")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option("--rejected", help="把不能用的行（已脱敏）写到这个 JSONL。")
    ] = None,
    as_json: JsonFile = None,
) -> None:
    """Check labelled tickets; exit code 1 if some rows cannot be used."""
    from training.data_check import check_data
    from training.labels import LabelBook
    from training.taxonomies import catalogue_for

    check_folder_of(rejected, as_json)
    columns = columns_of(column)
    catalogue = catalogue_for(taxonomy, taxonomy_dir(), files, columns=columns)
    with stage_progress("检查工单") as moved:
        found = check_data(
            files,
            LabelBook(catalogue),
            columns=columns,
            against=against or (),
            rejected_to=rejected,
            report=lambda rows: moved(f"已读 {rows} 行", 0.0),
        )
        moved(f"已读 {found.rows} 行", 1.0)
    _print_data_report(found)
    if rejected is not None:
        say(f"不能用的行 → {rejected}")
    if as_json is not None:
        write_json(as_json, found.to_json())
    if found.rejected:
        raise typer.Exit(1)


def _print_data_report(found: DataReport) -> None:
    for file, encoding in found.encodings.items():
        say(f"文件 {file}：{encoding}")
    bad = found.rows - found.usable
    say(f"共 {found.rows} 行，可用 {found.usable}，不能用 {bad}")
    _print_problems("不能用的行", found.rejected, "red")
    _print_problems("需要人看的", found.doubts, "yellow")
    if not found.near_duplicates_checked:
        say("工单太多，没有查近似重复；训练时会归组")
    if found.personal:
        kinds = "、".join(f"{kind} {n}" for kind, n in found.personal.most_common())
        say(f"个人信息（查了 {found.personal_checked} 件）：{kinds}；训练用的词表只存散列")
    if found.retired:
        total = sum(found.retired.values())
        shown = "、".join(f"{k}（{n}）" for k, n in list(found.retired.items())[:5])
        say(f"退役编码已换算 {total} 件：{shown}")
    lengths = "，".join(f"{name} {n}" for name, n in found.lengths.items())
    say(f"字数：{lengths or '—'}")
    if found.first:
        say(
            f"时间：{found.first} 至 {found.last}"
            + (f"，{found.undated} 件没有时间" if found.undated else "")
        )
    else:
        say("时间：没有时间列，训练时只能随机划分")
    say(f"有承办单位的 {found.with_unit} 件")
    say(
        f"细项：{found.leaves} 个里 {found.leaves_with_tickets} 个有工单，其中 {found.leaves_rare} 个不足 10 件"
    )
    table = Table("一级类", "名称", "件数", "占比", box=None)
    for code, name, n in found.classes:
        table.add_row(code, name, str(n), f"{n / max(found.usable, 1):.1%}")
    say_table(table)


def _print_problems(title: str, problems: dict[str, Problem], style: str) -> None:
    if not problems:
        return
    say(f"{title}（例已脱敏）：")
    for name, problem in sorted(problems.items(), key=lambda item: -item[1].count):
        say(f" {problem.count}", head=f"  {name}", style=style)
        for example in problem.examples:
            say(f"      {example}")
