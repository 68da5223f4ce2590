"""What every verb shares: the two consoles, messages, progress, loading the bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from jiesu_nlp.dispatcher import Dispatcher

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def error(message: str) -> None:
    """Print an error in the user's language."""
    err.print(f"[bold red]错误[/] {_escape(message)}", soft_wrap=True)


def note(message: str) -> None:
    """Print a remark beside the result."""
    err.print(f"[dim]{_escape(message)}[/]", soft_wrap=True)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


@contextmanager
def stage_progress(title: str) -> Iterator[Progress]:
    """Show a progress bar on standard error while a block runs."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        console=err,
        transient=False,
    ) as progress:
        progress.add_task(title, total=1.0)
        yield progress


def load_dispatcher(bundle: Path | None) -> Dispatcher:
    """Load the bundle; build the default one with a progress bar if there is none."""
    bar: Progress | None = None

    def report(stage: str, done: float) -> None:
        nonlocal bar
        if bar is None:
            note("还没有模型包，现在用派单目录构建默认模型包（只需一次）")
            bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                console=err,
            )
            bar.add_task(stage, total=1.0)
            bar.start()
        bar.update(bar.task_ids[0], description=stage, completed=done)

    try:
        return Dispatcher.load(bundle, progress=report)
    finally:
        if bar is not None:
            bar.stop()
