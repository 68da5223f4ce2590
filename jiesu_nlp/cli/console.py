"""What every verb shares: the two consoles, messages, progress, opening a bundle, reading a text."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from jiesu_nlp.bundle import Bundle, Registry, open_bundle
from jiesu_nlp.dispatcher import DEFAULT_BUNDLE, Dispatcher, build_default
from jiesu_nlp.errors import UsageError
from jiesu_nlp.home import models_dir
from jiesu_nlp.stream import open_lines

BundleOption = Annotated[
    str | None, typer.Option("--bundle", "-b", help="模型包名称或文件夹；省略时为启用中的。")
]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def error(message: str) -> None:
    """Print an error in the user's language."""
    err.print(f"[bold red]错误[/] {escape(message)}", soft_wrap=True)


def note(message: str) -> None:
    """Print a remark beside the result."""
    err.print(f"[dim]{escape(message)}[/]", soft_wrap=True)


def say(message: str, *, head: str = "", style: str = "green") -> None:
    """Print a line of the result, its head in colour; brackets are text, paths are not broken."""
    out.print(Text.assemble((head, style), message), soft_wrap=True)


def say_table(table: Table) -> None:
    """Print a table whose cells are text, whatever stands in them."""
    out.print(table, markup=False)


@contextmanager
def stage_progress(title: str) -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar on standard error while a block runs; yield what moves it."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        console=err,
    ) as bar:
        row = bar.add_task(title, total=1.0)
        yield lambda stage, done: bar.update(row, description=stage, completed=done)


def is_bundle_name(name: str) -> bool:
    """Tell a bare name of a bundle from a path."""
    return not {"/", os.sep} & set(name) and name not in (".", "..")


def bundle_named(name: str | None, *, build: bool = True) -> Bundle:
    """Open a bundle by name or folder.

    Parameters
    ----------
    name
        ``None`` for the one in use.
    build
        Build the default one, with a progress bar, if it is wanted and there is none.

    Raises
    ------
    BundleError
        If there is no such bundle, or it is damaged.
    """
    if name is not None and (Path(name).is_dir() or not is_bundle_name(name)):
        return open_bundle(Path(name))
    registry = Registry(models_dir())
    if name is None:
        name = registry.active() or DEFAULT_BUNDLE
        if build and name == DEFAULT_BUNDLE and name not in registry.names():
            note("还没有模型包，现在用派单目录构建默认模型包（只需一次）")
            with stage_progress("构建默认模型包") as moved:
                return build_default(progress=moved)
    return open_bundle(registry.path(name))


def load_dispatcher(bundle: str | None) -> Dispatcher:
    """Load the bundle that :func:`bundle_named` opens."""
    return Dispatcher.from_bundle(bundle_named(bundle))


def text_or_standard_input(text: str | None, verb: str) -> str:
    """Return the words of one ticket: the argument, or all of standard input.

    Raises
    ------
    UsageError
        If there are neither, or they are in no known encoding.
    """
    if text is not None:
        return text
    if sys.stdin.isatty():
        raise UsageError(f'请给出诉求内容，例：jiesu {verb} "小区停水两天了"')
    with open_lines("-") as lines:
        read = list(lines)
    for line in read:
        if line.fault is not None:
            raise UsageError(f"标准输入第 {line.number} 行{line.fault}；请转成 UTF-8 再试")
    return "".join(line.text for line in read)


def check_folder_of(*targets: Path | None) -> None:
    """Refuse, before hours of work, to write into a folder that is not there.

    Raises
    ------
    UsageError
        Naming the folder.
    """
    for target in targets:
        if target is not None and not target.parent.is_dir():
            raise UsageError(f"没有文件夹 {target.parent}，写不了 {target.name}；请先建好它")
