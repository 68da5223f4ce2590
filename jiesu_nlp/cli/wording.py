"""What Typer itself shows, in Chinese: the help pages, and wrong use of the command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

# Patterns of Typer's (Click's) messages, as they stand in no table of its own.
_MESSAGES = tuple(
    (re.compile(pattern), chinese)
    for pattern, chinese in (
        (r"Missing argument '?(.+?)'?\.$", "缺少参数 {}"),
        (r"Missing (?:option|parameter):? (.+?)\.?$", "缺少选项 {}"),
        (r"No such option:? '?([^' ]+?)'?\.?(?: .*)?$", "没有选项 {}"),
        (r"No such command '(.+?)'.*", "没有命令 {}"),
        (r"Missing command\.", "缺少命令"),
        (r"Got unexpected extra argument\(?s?\)? \((.+)\)", "多出参数 {}"),
        (r"Option '(.+?)' requires .*arguments?\.", "选项 {} 后面应有值"),
        (r"Option '(.+?)' does not take a value\.", "选项 {} 后面不应有值"),
        (r"Invalid value for (.+?): .*?valid integer.*", "{} 应为整数"),
        (r"Invalid value for (.+?): .*?valid (?:number|float).*", "{} 应为数"),
        (r"Invalid value for (.+?): .*greater than or equal to (\S+?)\.?$", "{} 不应小于 {}"),
        (r"Invalid value for (.+?): .*less than or equal to (\S+?)\.?$", "{} 不应大于 {}"),
        (r"Invalid value for (.+?): .*not in the range (\S+?)\.?$", "{} 应在 {} 之内"),
        (r"Invalid value for (.+?): .*not one of (.+?)\.?$", "{} 只能是 {} 之一"),
        (r"Invalid value for (.+?): (.*)", "{} 的值不对：{}"),
    )
)  # fmt: skip


_ENGLISH_HELP, _HELP = "Show this message and exit.", "显示本页。"


class _FoldingTable(Table):
    """A table that breaks a long word, as Chinese sentences are to Rich, rather than cut it off."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*cells, **options)
        for column in self.columns:
            column.overflow = "fold"


def _one_text(parts: Iterable[Text]) -> Text:
    """Join help, default and mark to a text that wraps; Typer's own columns cut theirs off."""
    return Text(" ").join(Text(_HELP) if p.plain == _ENGLISH_HELP else p for p in parts)


_OURS: Mapping[str, Any] = {
    "ARGUMENTS_PANEL_TITLE": "参数",
    "OPTIONS_PANEL_TITLE": "选项",
    "COMMANDS_PANEL_TITLE": "命令",
    "DEFAULT_STRING": "[默认 {}]",
    "REQUIRED_LONG_STRING": "[必填]",
    "Table": _FoldingTable,
    "Columns": _one_text,
}


def show_help_in_chinese() -> None:
    """Give the boxes and marks of all help pages Chinese titles, and let Chinese wrap."""
    from typer import rich_utils  # slow to import, rarely needed

    for name, ours in _OURS.items():
        setattr(rich_utils, name, ours)


def in_chinese(message: str) -> str:
    """Return what Typer says of wrong use in Chinese, or as it is if it is not known."""
    for pattern, chinese in _MESSAGES:
        found = pattern.match(message)
        if found is not None:
            return chinese.format(*(g.replace("'", "") for g in found.groups("")))
    return message
