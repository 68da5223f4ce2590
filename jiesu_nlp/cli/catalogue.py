"""``jiesu catalogue``: show, search, check, export, import and compare the catalogue."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from jiesu_nlp.catalogue import Catalogue, Leaf, read_catalogue, write_catalogue
from jiesu_nlp.catalogue.checks import Finding, check_catalogue
from jiesu_nlp.catalogue.diff import LABELS, diff
from jiesu_nlp.catalogue.exchange import export_catalogue, import_catalogue, read_mapping
from jiesu_nlp.catalogue.search import search
from jiesu_nlp.catalogue.store import catalogue_files
from jiesu_nlp.cli.console import say, say_table
from jiesu_nlp.errors import UsageError
from jiesu_nlp.home import is_packaged, taxonomy_dir
from jiesu_nlp.vocabulary import Tier

app = typer.Typer(no_args_is_help=True, help="派单目录：查看、检索、检查、导入导出、比较。")
Folder = Annotated[Path | None, typer.Option("--dir", help="目录文件夹；省略时为现行目录。")]
_MAX_SHOWN = 40


def add_to(root: typer.Typer) -> None:
    """Add the verb to the command."""
    root.add_typer(app, name="catalogue")


def catalogue_dir(folder: Path | None) -> Path:
    """Return the given folder, or that of the catalogue in use.

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise UsageError(f"没有文件夹 {folder}；请给出放目录的文件夹，如 taxonomy/catalogue")
    return folder or taxonomy_dir() / "catalogue"


@app.command("show", help="查看一级类、小类或细项。例：jiesu catalogue show 09-02-003")
def show(
    code: Annotated[str | None, typer.Argument(help="编码；省略时列出一级类。")] = None,
    folder: Folder = None,
) -> None:
    """Show the whole, a class, a group or a leaf."""
    catalogue = read_catalogue(catalogue_dir(folder))
    if code is None:
        table = Table("编码", "一级类", "细项数", "范围", box=None)
        for c in catalogue.classes:
            table.add_row(c.code, c.name, str(c.budget), c.scope)
        say(f"{catalogue.title}，版本 {catalogue.version}，细项 {len(catalogue)}")
        say_table(table)
    elif code in catalogue:
        _show_leaf(catalogue, catalogue.by_code[code])
    elif code in catalogue.retired_by_code:
        successors = "、".join(f"{s} {catalogue.name_of(s)}" for s in catalogue.successors(code))
        say(f"{code} {catalogue.retired_by_code[code].name} 已退役 → {successors}")
    elif catalogue.name_of(code):
        table = Table("编码", "细项", "派单方向", "时限", "定义", box=None)
        for leaf in catalogue.leaves_under(code):
            table.add_row(leaf.code, leaf.name, leaf.unit, leaf.limit, leaf.definition)
        say_table(table)
    else:
        raise UsageError(f"没有编码 {code}；可用 jiesu catalogue search 检索")


def _show_leaf(catalogue: Catalogue, leaf: Leaf) -> None:
    table = Table(show_header=False, box=None)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("编码", leaf.code)
    table.add_row("路径", " › ".join(catalogue.path(leaf.code)))
    table.add_row("定义", leaf.definition)
    for n in leaf.neighbours:
        table.add_row("不属于", f"{n.when} → {n.code} {catalogue.name_of(n.code) or '？'}")
    table.add_row("诉求类型", "、".join(leaf.types))
    table.add_row("派单方向", leaf.unit)
    table.add_row("协办", "、".join(leaf.co_units))
    table.add_row("时限", Tier(leaf.limit).label)
    table.add_row("依据", leaf.basis)
    table.add_row("方向说明", leaf.route)
    for i, line in enumerate(leaf.says):
        table.add_row("例句" if i == 0 else "", line)
    say_table(table)


@app.command("search", help="按名称、拼音首字母或含义检索。例：jiesu catalogue search 占道")
def search_command(
    words: Annotated[str, typer.Argument(help="名称的一部分、拼音首字母（zdjy）或一句话。")],
    folder: Folder = None,
    most: Annotated[int, typer.Option("-n", help="最多显示几项。")] = 15,
) -> None:
    """Find leaves by name, pinyin initials or meaning."""
    catalogue = read_catalogue(catalogue_dir(folder))
    table = Table("编码", "细项", "一级类", "派单方向", "定义", box=None)
    found = search(catalogue, words, most=most)
    for leaf in found:
        table.add_row(
            leaf.code, leaf.name, catalogue.path(leaf.code)[0], leaf.unit, leaf.definition
        )
    if not found:
        say(f"没有找到与“{words}”有关的细项")
        raise typer.Exit(1)
    say_table(table)


@app.command("check", help="检查目录：数量、编码、相邻项、单位、时限、例句质量。")
def check(
    folder: Folder = None,
    everything: Annotated[bool, typer.Option("--all", help="列出全部发现，不截短。")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="提醒也算未通过。")] = False,
) -> None:
    """Judge the catalogue; exit code 1 if there are errors."""
    catalogue = read_catalogue(catalogue_dir(folder))
    findings = check_catalogue(catalogue)
    _print_findings(findings, None if everything else _MAX_SHOWN)
    says = sum(len(leaf.says) for leaf in catalogue.leaves)
    count = Counter(f.severity for f in findings)
    say(f"细项 {len(catalogue)}，例句 {says}，错误 {count['error']}，提醒 {count['warning']}")
    if count["error"] or (strict and count["warning"]):
        raise typer.Exit(1)


def _print_findings(findings: list[Finding], most: int | None) -> None:
    for finding in findings[:most]:
        style = "red" if finding.severity == "error" else "yellow"
        label = "错误" if finding.severity == "error" else "提醒"
        say(f" {finding.check} {finding.code} {finding.message}", head=label, style=style)
    if most is not None and len(findings) > most:
        say(f"……另有 {len(findings) - most} 条，加 --all 查看")


@app.command("export", help="导出为 .xlsx（供业务人员编辑）或 .jsonl。")
def export(
    path: Annotated[Path, typer.Argument(help="目标文件，如 派单目录.xlsx。")],
    folder: Folder = None,
) -> None:
    """Write the catalogue as a spreadsheet or JSON lines."""
    catalogue = read_catalogue(catalogue_dir(folder))
    export_catalogue(catalogue, path)
    say(f"已导出 {len(catalogue)} 个细项 → {path}")


@app.command("import", help="导入正式目录表（.xlsx、.csv、.jsonl）；有一处问题就整表不写入。")
def import_command(
    path: Annotated[Path, typer.Argument(help="正式目录表。")],
    version: Annotated[str, typer.Option(help="新目录的版本号，如 2027.1。")],
    title: Annotated[str | None, typer.Option(help="新目录的名称。")] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="列名对照（YAML，每行“字段: 列名”）。")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只检查，不写入。")] = False,
    folder: Folder = None,
) -> None:
    """Replace the catalogue by an official table, wholly or not at all."""
    directory = catalogue_dir(folder)
    if is_packaged(directory) and not dry_run:
        raise UsageError(
            f"{directory} 属于安装好的程序，升级时会被换掉，不往里导入。处理办法：先复制整套知识，"
            f"如 cp -r {directory.parent} ~/jiesu-taxonomy；再设 JIESU_TAXONOMY 为复制出的文件夹"
            "（服务也要设），然后重新导入"
        )
    base = read_catalogue(directory)
    catalogue, problems = import_catalogue(
        path,
        base=base,
        version=version,
        title=title,
        mapping=read_mapping(mapping) if mapping else None,
    )
    for problem in problems[:200]:
        say(f" {problem}", head="问题", style="red")
    if catalogue is None:
        say(f"共 {len(problems)} 个问题，没有写入任何内容")
        raise typer.Exit(3)
    catalogue_files(catalogue)  # A dry run too refuses what cannot be written.
    changes = Counter(c.kind for c in diff(base, catalogue))
    summary = "，".join(f"{LABELS[k]} {n}" for k, n in changes.items()) or "没有变化"
    if dry_run:
        say(f"检查通过：细项 {len(catalogue)}；与现行目录相比：{summary}。未写入（--dry-run）")
        return
    write_catalogue(catalogue, directory)
    say(f"已导入 {len(catalogue)} 个细项；{summary}。请运行 jiesu model build 重建模型包")


@app.command("diff", help="比较两个目录文件夹：新增、退役、调整、更名、方向与时限变化。")
def diff_command(
    old: Annotated[Path, typer.Argument(help="旧目录文件夹。")],
    new: Annotated[Path, typer.Argument(help="新目录文件夹。")],
) -> None:
    """Show what changed between two catalogues."""
    changes = diff(read_catalogue(catalogue_dir(old)), read_catalogue(catalogue_dir(new)))
    table = Table("变化", "编码", "名称", "原", "现", box=None)
    for c in changes:
        table.add_row(LABELS[c.kind], c.code, c.name, c.before, c.after)
    say_table(table)
    say(f"共 {len(changes)} 处变化")
