"""``jiesu model``: list, inspect, verify, build and switch bundles."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from jiesu_nlp.bundle import Registry, open_bundle
from jiesu_nlp.cli.console import bundle_named, out, say, say_table, stage_progress
from jiesu_nlp.dispatcher import DEFAULT_BUNDLE, build_default
from jiesu_nlp.errors import BundleError, UsageError
from jiesu_nlp.home import models_dir

_app = typer.Typer(no_args_is_help=True, help="模型包：查看、校验、启用、退回。")


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.add_typer(_app, name="model")


@_app.command("list", help="列出全部模型包。")
def list_bundles() -> None:
    """List all bundles."""
    registry = Registry(models_dir())
    names = registry.names()
    if not names:
        say("还没有模型包；运行 jiesu model build 构建默认模型包。")
        return
    active = registry.active() or DEFAULT_BUNDLE
    table = Table("启用", "名称", "生成时间", "目录版本", "大小（MB）", box=None)
    for name in names:
        try:
            bundle = open_bundle(registry.path(name))
        except BundleError as fault:
            table.add_row("", name, Text(str(fault), style="red"))
            continue
        size = sum(f["bytes"] for f in bundle.manifest["files"].values()) / 1e6
        table.add_row(
            "●" if name == active else "",
            name,
            str(bundle.manifest["created_at"]),
            bundle.versions.get("catalogue", ""),
            f"{size:.1f}",
        )
    say_table(table)


@_app.command("info", help="查看一个模型包的来历、版本与文件。")
def info(
    name: Annotated[str | None, typer.Argument(help="名称或文件夹；省略时为启用中的。")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="输出清单 JSON。")] = False,
) -> None:
    """Show a bundle's manifest."""
    bundle = bundle_named(name, build=False)
    if as_json:
        out.print_json(json.dumps(bundle.manifest, ensure_ascii=False))
        return
    table = Table(show_header=False, box=None)
    table.add_row("名称", bundle.name)
    table.add_row("位置", str(bundle.path))
    table.add_row("生成时间", str(bundle.manifest["created_at"]))
    for key, value in bundle.versions.items():
        table.add_row(f"版本 {key}", value)
    for key, value in bundle.manifest["parameters"].items():
        table.add_row(f"参数 {key}", str(value))
    for file, entry in bundle.manifest["files"].items():
        table.add_row(f"文件 {file}", f"{entry['bytes']:,} 字节  {entry['sha256'][:12]}…")
    say_table(table)


@_app.command("verify", help="逐个文件核对校验和。")
def verify(
    name: Annotated[str | None, typer.Argument(help="名称或文件夹；省略时为启用中的。")] = None,
) -> None:
    """Check every file of a bundle."""
    bundle = bundle_named(name, build=False)
    bundle.verify()
    say(f"：{bundle.path}（{len(bundle.manifest['files'])} 个文件）", head="完好")


@_app.command("use", help="启用一个模型包（先校验，原子切换）。")
def use(
    name: Annotated[str | None, typer.Argument(help="名称。")] = None,
    back: Annotated[bool, typer.Option("--back", help="退回上一个。")] = False,
) -> None:
    """Make a bundle the active one, or go back to the one before."""
    registry = Registry(models_dir())
    if back == (name is not None):
        raise UsageError("请给出模型包名称，或用 --back 退回上一个")
    bundle = registry.use(name) if name is not None else registry.roll_back()
    say(f" {bundle.name}（{bundle.path}）", head="已启用")


@_app.command("build", help="用派单目录（重新）构建默认模型包。")
def build() -> None:
    """Build the default bundle from the taxonomy."""
    with stage_progress("构建默认模型包") as moved:
        bundle = build_default(progress=moved)
    say(f" {bundle.path}", head="已生成")
