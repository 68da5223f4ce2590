"""``jiesu catalogue``: show and search the catalogue; check, exchange and compare it."""

from __future__ import annotations

import typer

_app = typer.Typer(no_args_is_help=True, help="派单目录：查看、检索、检查、导入导出、比较。")


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.add_typer(_app, name="catalogue")


@_app.command("placeholder", hidden=True)
def _placeholder() -> None:
    """Replaced."""
