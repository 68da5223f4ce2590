"""Take in a day's tickets from a table and store them, answered, for the queue."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Engine

from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.errors import UsageError
from jiesu_nlp.locate.xlsx import xlsx_rows
from jiesu_nlp.stream import open_lines, parse_line
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
            yield from _of_rows(csv.reader((ln.text for ln in lines), delimiter=delimiter), path)
    elif suffix == ".xlsx":
        yield from _of_rows(xlsx_rows(path), path)
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


def _of_rows(rows: Iterable[Any], path: Path) -> Iterator[Ticket | str]:
    where: dict[str, int] | None = None
    for number, row in enumerate(rows, start=1):
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
                raise UsageError(f"{path} 首行没有“text”或“诉求内容”列；有：{'、'.join(cells)}")
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
