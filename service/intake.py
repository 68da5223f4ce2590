"""Take in a day's tickets from a table and store them, answered, for the queue."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Engine

from jiesu_nlp.batch.rowwise import RUN_TOGETHER, run_together
from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.errors import UsageError
from jiesu_nlp.locate.xlsx import xlsx_rows
from jiesu_nlp.stream import Line, open_lines, parse_line
from jiesu_nlp.ticket import Ticket, check_text
from service.records import suggestion_row
from service.settings import Settings
from service.store.engine import insert_once
from service.store.tables import new_id, suggestion

_COLUMNS = {
    "text": ("text", "诉求内容", "内容", "工单内容"),
    "id": ("id", "工单编号", "编号"),
    "channel": ("channel", "渠道", "来源"),
    "created_at": ("created_at", "受理时间", "来电时间"),
    "requester": ("requester", "来电人", "来电号码"),
    "address": ("address", "地址", "诉求地址"),
}
_PAGE = 200
# A quote open for longer was never closed.
_MOST_LINES_IN_CELL = 1000
_BAD_CSV = "引号没有配对、单元格过长或单元格里有回车符；请检查这一行"
# A row with its number, or what is wrong with it.
Row = tuple[int, Iterable[Any] | str]


def read_table_of_tickets(path: Path) -> Iterator[Ticket | str]:
    """Yield tickets, or what is wrong with a line.

    Raises
    ------
    UsageError
        If the file is missing, of another kind, or has no column of texts.
    """
    if not path.is_file():
        raise UsageError(f"文件不存在：{path}")
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".txt"):
        yield from _of_lines(path)
    elif suffix in (".csv", ".tsv"):
        with open_lines(str(path)) as lines:
            delimiter = "\t" if suffix == ".tsv" else ","
            yield from _of_rows(_csv_rows(lines, delimiter), path)
    elif suffix == ".xlsx":
        yield from _of_rows(((i, _filled(c)) for i, c in enumerate(xlsx_rows(path), 1)), path)
    else:
        raise UsageError(f"不认识的文件类型：{path}；可用 csv、tsv、xlsx、jsonl")


def _of_lines(path: Path) -> Iterator[Ticket | str]:
    with open_lines(str(path)) as lines:
        for line in lines:
            if not line.text.strip() and line.fault is None:
                continue
            try:
                yield parse_line(line)
            except UsageError as fault:
                yield f"第 {line.number} 行：{fault}"


def _filled(cells: list[str]) -> list[str]:
    """Leave out the blank cells at the end: a workbook may keep any number of them."""
    return cells[: max((i for i, c in enumerate(cells, start=1) if c.strip()), default=0)]


def _csv_rows(lines: Iterator[Line], delimiter: str) -> Iterator[Row]:
    """Yield the rows numbered by their first line.

    A quote that is never closed spoils its own line only: reading goes on with the next one. Rows
    that a pair of such quotes made one are refused as :func:`run_together` tells.
    """
    ahead: deque[Line] = deque()

    def take(taken: list[Line]) -> Iterator[str]:
        while len(taken) < _MOST_LINES_IN_CELL:
            line = ahead.popleft() if ahead else next(lines, None)
            if line is None:
                return
            taken.append(line)
            yield line.text if line.fault is None else "\n"

    while True:
        taken: list[Line] = []
        cells: list[str] | None
        try:
            # Strict: else an open quote would swallow lines up to the next quote, or all of them.
            cells = next(csv.reader(take(taken), delimiter=delimiter, strict=True))
        except StopIteration:
            return
        except csv.Error:
            first, *others = taken
            ahead.extendleft(reversed(others))
            taken = [first]
            cells = _loose_cells(first.text, delimiter)
        fault = next((line for line in taken if line.fault is not None), None)
        if fault is not None:
            yield fault.number, f"{fault.fault}；请另存为 UTF-8 再导入"
        elif cells is not None and run_together(cells, delimiter):
            lost = f"第 {taken[0].number}–{taken[-1].number} 行"
            yield taken[0].number, f"{RUN_TOGETHER}；请检查{lost}"
        else:
            yield taken[0].number, _BAD_CSV if cells is None else cells


def _loose_cells(text: str, delimiter: str) -> list[str] | None:
    """Return the cells of a line that has quotes within its cells, ``None`` if one stays open."""
    asked_for_more = False

    def only() -> Iterator[str]:
        nonlocal asked_for_more
        yield text
        asked_for_more = True

    try:
        cells = next(csv.reader(only(), delimiter=delimiter))
    except csv.Error:
        return None
    return None if asked_for_more else cells


def _of_rows(rows: Iterable[Row], path: Path) -> Iterator[Ticket | str]:
    where: dict[str, int] | None = None
    width = 0
    for number, row in rows:
        if isinstance(row, str):
            if where is None:
                raise UsageError(f"{path} 第 {number} 行（列名）：{row}")
            yield f"第 {number} 行：{row}"
            continue
        cells = ["" if c is None else str(c).strip() for c in row]
        if not any(cells):
            continue
        if where is None:
            where = {
                field: cells.index(name)
                for field, names in _COLUMNS.items()
                for name in reversed(names)
                if name in cells
            }
            if "text" not in where:
                # What stands there instead is not shown: without a header it is a citizen's row.
                names = "、".join(f"“{name}”" for name in _COLUMNS["text"])
                raise UsageError(
                    f"{path} 第 {number} 行应为列名，这 {len(cells)} 列里没有诉求内容列；"
                    f"请把诉求内容列命名为 {names} 之一，没有列名的补上列名"
                )
            width = len(cells)
            continue
        if len(cells) > width:
            # Nobody knows which cell belongs to which column.
            yield (
                f"第 {number} 行：有 {len(cells)} 列，表头只有 {width} 列；"
                "内容里的分隔符要连同整格放进一对引号"
            )
            continue
        values = {f: cells[i] or None for f, i in where.items() if i < len(cells)}
        text = values.pop("text", None) or ""
        try:
            check_text(text)
        except UsageError as fault:
            yield f"第 {number} 行：{fault}"
            continue
        yield Ticket(text=text, **values)


def store_tickets(
    engine: Engine,
    settings: Settings,
    dispatcher: Dispatcher,
    tickets: Iterable[Ticket | str],
) -> tuple[int, list[str]]:
    """Answer tickets and store them; return how many, and what was wrong with the others."""
    bad: list[str] = []
    done = 0
    page: list[Ticket] = []

    def flush() -> None:
        nonlocal done
        rows = []
        for ticket, answer in zip(page, dispatcher.suggest_many(page), strict=True):
            identity = new_id()
            whole = to_json({**answer.to_dict(), "suggestion_id": identity}).decode()
            rows.append(
                suggestion_row(
                    settings.secret, identity, ticket, answer, whole, "cli:import", "import"
                )
            )
        if rows:
            with engine.begin() as c:
                c.execute(insert_once(engine, suggestion), rows)
        done += len(rows)
        page.clear()

    for item in tickets:
        if isinstance(item, str):
            bad.append(item)
            continue
        page.append(item)
        if len(page) >= _PAGE:
            flush()
    flush()
    return done, bad
