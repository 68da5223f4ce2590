"""Workbooks for people to fill in: a table with a bold header, and cells that are text only."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jiesu_nlp.errors import UsageError
from jiesu_nlp.files import replace_file

_LAST_ROW = 1_048_576
# Excel counts UTF-16 units: a character beyond the basic plane is two.
_MOST_IN_CELL = 32_767


def check_filled_in(path: Path) -> None:
    """Refuse what cannot be a workbook that people filled in.

    Raises
    ------
    UsageError
        If there is no such file, or it is of another kind.
    """
    if not path.is_file():
        raise UsageError(f"文件不存在：{path}")
    if path.suffix.lower() != ".xlsx":
        raise UsageError(f"应为填好的 .xlsx 表：{path}；别的格式请先另存为 .xlsx")


def fitting(text: str) -> str:
    """Return as much of a text as a cell holds, no character cut in half."""
    units = text.encode("utf-16-le", "ignore")[: 2 * _MOST_IN_CELL]
    return units.decode("utf-16-le", "ignore")


def write_workbook(
    path: Path,
    title: str,
    columns: Mapping[str, float],
    rows: Iterable[Sequence[str | float | None]],
    *,
    choices: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a workbook of one sheet, whole or not at all.

    Parameters
    ----------
    path, title
        The file and the name of its sheet.
    columns
        Header → width in characters.
    rows
        Cells in the order of the columns; no text of theirs is taken for a formula, and of one
        that is too long :func:`fitting` is written.
    choices
        Header → what may be entered there.

    Raises
    ------
    UsageError
        If the disk refuses.
    """
    from openpyxl import Workbook  # noqa: PLC0415 - slow to import, rarely needed
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: PLC0415
    from openpyxl.styles import Alignment, Font  # noqa: PLC0415
    from openpyxl.utils import get_column_letter  # noqa: PLC0415
    from openpyxl.worksheet.datavalidation import DataValidation  # noqa: PLC0415

    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    bold, wrapped = Font(bold=True), Alignment(wrap_text=True, vertical="top")

    def cell(value: str | float | None) -> Any:
        if isinstance(value, str):
            made = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", fitting(value)))
            made.data_type = "s"  # a ticket that begins with = is no formula
        else:
            made = WriteOnlyCell(sheet, value)
        made.alignment = wrapped
        return made

    for number, (header, width) in enumerate(columns.items(), start=1):
        letter = get_column_letter(number)
        sheet.column_dimensions[letter].width = width
        if choices and header in choices:
            listed = DataValidation("list", f'"{",".join(choices[header])}"', allow_blank=True)
            listed.add(f"{letter}2:{letter}{_LAST_ROW}")
            sheet.data_validations.append(listed)
    head = [WriteOnlyCell(sheet, header) for header in columns]
    for made in head:
        made.font = bold
    sheet.append(head)
    for row in rows:
        sheet.append([cell(value) for value in row])
    whole = io.BytesIO()
    try:
        book.save(whole)  # through a temporary file of its own
    except OSError as fault:
        raise UsageError(f"无法写入 {path}：{fault.strerror or fault}") from None
    replace_file(path, whole.getvalue())
