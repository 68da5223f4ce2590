"""Swap the catalogue with business people: XLSX or JSONL out, XLSX, CSV or JSONL in.

One row or line is one leaf. An import is judged as a whole: nothing is returned unless every row
is sound, and each problem names sheet, row, column and reason.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter

from jiesu_nlp.catalogue.model import (
    LEAF_CODE,
    Catalogue,
    Group,
    Leaf,
    LevelOneClass,
    Neighbour,
    RetiredLeaf,
)
from jiesu_nlp.catalogue.store import ARROW
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.files import replace_file
from jiesu_nlp.stream import decode
from jiesu_nlp.vocabulary import UNIT_CLASS_SET, RequestType, Tier
from jiesu_nlp.yaml_nodes import compose_file

# Field → column title in a spreadsheet.
COLUMNS = {
    "code": "编码",
    "class": "一级类",
    "group": "二级类",
    "name": "细项名称",
    "is": "定义",
    "not": "不属于（情形 → 编码）",
    "types": "诉求类型",
    "unit": "派单方向",
    "with": "协办",
    "limit": "办理时限",
    "basis": "依据",
    "route": "方向说明",
    "says": "例句",
}
REQUIRED = ("code", "class", "group", "name", "is", "types", "unit", "limit")
_WIDTHS = {"is": 40, "not": 40, "says": 60, "route": 30, "name": 24, "basis": 24}
_SHEET, _RETIRED_SHEET, _CLASS_SHEET = "派单目录", "退役编码", "一级类"
_LISTS = {"types": "、", "with": "、", "not": "\n", "says": "\n"}
# A longer cell is a quotation mark without its partner.
_LONGEST_CELL = 100_000


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row cannot be taken: sheet, one-based row, field and reason."""

    sheet: str
    row: int
    field: str
    reason: str

    def __str__(self) -> str:
        column = COLUMNS.get(self.field, self.field)
        return f"{self.sheet} 第 {self.row} 行（{column}）：{self.reason}"


def _row_of(catalogue: Catalogue, leaf: Leaf) -> dict[str, Any]:
    class_name, group_name, _ = catalogue.path(leaf.code)
    return {
        "code": leaf.code,
        "class": class_name,
        "group": group_name,
        "name": leaf.name,
        "is": leaf.definition,
        "not": [n.when + ARROW + n.code for n in leaf.neighbours],
        "types": list(leaf.types),
        "unit": leaf.unit,
        "with": list(leaf.co_units),
        "limit": leaf.limit,
        "basis": leaf.basis,
        "route": leaf.route,
        "says": list(leaf.says),
    }


def export_catalogue(catalogue: Catalogue, path: Path) -> None:
    """Write a catalogue as ``.xlsx`` or ``.jsonl``, complete or not at all.

    Raises
    ------
    UsageError
        If the extension is another.
    """
    if path.suffix == ".jsonl":
        lines = []
        for leaf in catalogue.leaves:
            row = _row_of(catalogue, leaf)
            row["path"] = [row.pop("class"), row.pop("group"), leaf.name]
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        replace_file(path, "".join(lines).encode())
    elif path.suffix == ".xlsx":
        buffer = io.BytesIO()
        _workbook(catalogue).save(buffer)
        replace_file(path, buffer.getvalue())
    else:
        raise UsageError(f"不认识的扩展名“{path.suffix}”，请用 .xlsx 或 .jsonl")


def _workbook(catalogue: Catalogue) -> Workbook:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = _SHEET
    rows: list[list[str | int]] = []
    for leaf in catalogue.leaves:
        row = _row_of(catalogue, leaf)
        rows.append([_LISTS[f].join(row[f]) if f in _LISTS else str(row[f]) for f in COLUMNS])
    _fill(sheet, list(COLUMNS.values()), rows)
    for i, field in enumerate(COLUMNS, start=1):
        sheet.column_dimensions[get_column_letter(i)].width = _WIDTHS.get(field, 14)
    _fill(
        book.create_sheet(_CLASS_SHEET),
        ["编码", "名称", "项数", "范围", "边界"],
        [[c.code, c.name, c.budget, c.scope, c.boundary] for c in catalogue.classes],
    )
    _fill(
        book.create_sheet(_RETIRED_SHEET),
        ["编码", "名称", "后继编码", "退役日期", "原因"],
        [[r.code, r.name, "、".join(r.successors), r.since, r.why] for r in catalogue.retired],
    )
    return book


def _fill(sheet: Any, titles: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    sheet.append(titles)
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    for number, row in enumerate(rows, start=2):
        for column, value in enumerate(row, start=1):
            cell = sheet.cell(number, column, value)
            # Text that starts like a formula stays text.
            if isinstance(value, str):
                cell.data_type = "s"
            cell.alignment = Alignment(wrap_text=True, vertical="top")
    sheet.freeze_panes = "A2"


def read_mapping(path: Path) -> dict[str, str]:
    """Read a column mapping: YAML ``字段: 列名``, e.g. ``code: 事项编码``.

    Raises
    ------
    DataError
        If a field is unknown or required ones are missing.
    """
    root = compose_file(path)
    mapping = {field: node.text(field) for field, node in root.items(frozenset(COLUMNS)).items()}
    missing = [f for f in REQUIRED if f not in mapping]
    if missing:
        raise DataError(f"缺少字段：{'、'.join(missing)}", path=path, remedy="每行写“字段: 列名”")
    return mapping


def import_catalogue(
    path: Path,
    *,
    base: Catalogue,
    version: str,
    title: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> tuple[Catalogue | None, list[Problem]]:
    """Read an official table.

    Parameters
    ----------
    path
        ``.xlsx``, ``.csv`` or ``.jsonl``.
    base
        The catalogue it replaces. Codes that vanish must be declared retired in the sheet
        “退役编码”; scope and boundary of classes are kept where the table has none.
    version
        Version of the new catalogue.
    mapping
        Field → column title, where titles differ from ours.

    Returns
    -------
    catalogue, problems
        The catalogue is ``None`` if there is any problem.
    """
    table = _read(path, {**COLUMNS, **(mapping or {})})
    problems = list(table.problems)
    leaves: list[Leaf] = []
    class_names: dict[str, str] = {}
    group_names: dict[str, str] = {}
    seen: dict[str, int] = {}
    # A row without a readable code may be that of any leaf.
    unknown = bool(problems)
    for number, row in table.rows:
        leaf, found = _leaf(table.sheet, number, row)
        problems += found
        if leaf is None:
            unknown = True
            continue
        if leaf.code in seen:
            problems.append(
                Problem(
                    table.sheet, number, "code", f"编码 {leaf.code} 与第 {seen[leaf.code]} 行重复"
                )
            )
        seen[leaf.code] = number
        for names, code, field in (
            (class_names, leaf.class_code, "class"),
            (group_names, leaf.group_code, "group"),
        ):
            name = _text(row.get(field))
            names[code] = names.get(code) or name
            if name and names[code] != name:
                problems.append(
                    Problem(
                        table.sheet, number, field, f"{code} 有两个名称：“{names[code]}”“{name}”"
                    )
                )
        leaves.append(leaf)
    problems += _check_classes(table, class_names)
    budgets = Counter(leaf.class_code for leaf in leaves)
    known = {**base.class_by_code, **{c.code: c for _, c in table.classes}}
    catalogue = Catalogue(
        version=version,
        title=title or base.title,
        classes=tuple(
            replace(
                known.get(code) or LevelOneClass(code, name, 0), name=name, budget=budgets[code]
            )
            for code, name in sorted(class_names.items())
        ),
        groups=tuple(Group(code, name) for code, name in sorted(group_names.items())),
        leaves=tuple(sorted(leaves, key=lambda leaf: leaf.code)),
        retired=tuple(table.retired) if table.retired is not None else base.retired,
    )
    problems += _cross_check(catalogue, table.sheet, seen)
    if not unknown:
        problems += _absent(catalogue, base, table.sheet, seen)
    return (None if problems else catalogue), problems


def _check_classes(table: _Table, names: Mapping[str, str]) -> Iterator[Problem]:
    """Find rows of the sheet of classes that are repeated, contradict the table or lead nowhere."""
    used = {_text(row.get("code"))[:2] for _, row in table.rows}
    seen: set[str] = set()
    for number, c in table.classes:
        name = names.get(c.code) or c.name
        if c.code not in used:
            reason = f"没有 {c.code} 类的细项，请删去这一行或改正编码"
            yield Problem(_CLASS_SHEET, number, "编码", reason)
        elif c.code in seen:
            yield Problem(_CLASS_SHEET, number, "编码", f"编码 {c.code} 重复，请删去一行")
        elif name != c.name:
            reason = f"{c.code} 在“{table.sheet}”里是“{name}”，这里是“{c.name}”，请改成一样的"
            yield Problem(_CLASS_SHEET, number, "名称", reason)
        seen.add(c.code)


def _cross_check(new: Catalogue, sheet: str, rows: Mapping[str, int]) -> Iterator[Problem]:
    """Find names given twice and retired codes in use."""
    names: dict[str, str] = {}
    for leaf in new.leaves:
        other = names.setdefault(leaf.name, leaf.code)
        if leaf.name and other != leaf.code:
            yield Problem(sheet, rows[leaf.code], "name", f"名称“{leaf.name}”与 {other} 相同")
    for r in new.retired:
        if r.code in new.by_code:
            yield Problem(sheet, rows[r.code], "code", f"编码 {r.code} 已退役，不能再用")


def _absent(
    new: Catalogue, base: Catalogue, sheet: str, rows: Mapping[str, int]
) -> Iterator[Problem]:
    """Find codes that are pointed to, or were there before, and have no row now."""
    for leaf in new.leaves:
        for n in leaf.neighbours:
            if new.name_of(n.code) is None:
                yield Problem(sheet, rows[leaf.code], "not", f"指向不存在的编码 {n.code}")
    for leaf in base.leaves:
        if leaf.code not in new.by_code and leaf.code not in new.retired_by_code:
            yield Problem(
                _RETIRED_SHEET,
                1,
                "code",
                f"原有编码 {leaf.code} {leaf.name} 不见了，也没有写明后继",
            )
    for r in new.retired:
        if not new.successors(r.code):
            yield Problem(_RETIRED_SHEET, 1, "code", f"退役编码 {r.code} 的后继编码不存在")


@dataclass(slots=True)
class _Table:
    sheet: str
    rows: list[tuple[int, dict[str, Any]]]
    problems: list[Problem]
    classes: list[tuple[int, LevelOneClass]]
    retired: list[RetiredLeaf] | None = None


def _read(path: Path, titles: Mapping[str, str]) -> _Table:
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise UsageError(f"无法读取 {path}：{fault.strerror or fault}") from None
    if path.suffix == ".jsonl":
        return _read_jsonl(data, path)
    if path.suffix == ".csv":
        try:
            text = decode(data).removeprefix("﻿")
        except UnicodeDecodeError:
            raise DataError("既不是 UTF-8 也不是 GB18030 编码", path=path) from None
        # The limit is the process's, and other readers set it to theirs.
        csv.field_size_limit(_LONGEST_CELL)
        # As it stands: the reader knows each kind of line end, and those within a cell.
        lines = csv.reader(io.StringIO(text, newline=""))
        try:
            cells: list[list[Any]] = [list(r) for r in lines]
        except csv.Error as fault:
            raise DataError(
                f"不是有效的 CSV（{fault}）",
                path=path,
                line=lines.line_num,
                remedy="检查这一行的引号是否成对，或另存为 .xlsx 再导入",
            ) from None
        return _table(path.name, cells, titles, path)
    if path.suffix != ".xlsx":
        raise UsageError(f"不认识的扩展名“{path.suffix}”，请用 .xlsx、.csv 或 .jsonl")
    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except Exception as fault:
        raise DataError(f"不是有效的 XLSX 文件（{fault}）", path=path) from None
    first = _SHEET if _SHEET in book.sheetnames else book.sheetnames[0]
    table = _table(first, [list(r) for r in book[first].iter_rows(values_only=True)], titles, path)
    # The number of leaves is shown to the reader; the rows themselves count.
    for number, (code, name, _, scope, boundary) in _further_sheet(book, _CLASS_SHEET):
        table.classes.append((number, LevelOneClass(code, name, 0, scope, boundary)))
    if _RETIRED_SHEET in book.sheetnames:
        table.retired = []
        for number, (code, name, successors, since, why) in _further_sheet(book, _RETIRED_SHEET):
            if not LEAF_CODE.fullmatch(code):
                table.problems.append(Problem(_RETIRED_SHEET, number, "code", _malformed(code)))
            table.retired.append(RetiredLeaf(code, name, _split(successors, "、"), since, why))
    return table


def _further_sheet(book: Workbook, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a sheet by number, as five texts; none if there is no such sheet."""
    if name not in book.sheetnames:
        return
    for number, values in enumerate(book[name].iter_rows(values_only=True), start=1):
        texts = [_text(value) for value in values]
        if number > 1 and texts and texts[0]:
            yield number, (texts + [""] * 5)[:5]


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _malformed(code: str) -> str:
    return f"编码“{code}”格式不对，形如 09-02-003"


def _table(sheet: str, cells: list[list[Any]], titles: Mapping[str, str], path: Path) -> _Table:
    if not cells:
        raise DataError("表是空的", path=path)
    header = [_text(c) for c in cells[0]]
    where = {field: header.index(title) for field, title in titles.items() if title in header}
    missing = [titles[f] for f in REQUIRED if f not in where]
    if missing:
        raise DataError(
            f"首行缺少列：{'、'.join(missing)}",
            path=path,
            line=1,
            remedy="补上这些列，或用 --mapping 写明对应的列名",
        )
    rows = [
        (number, {f: row[i] if i < len(row) else None for f, i in where.items()})
        for number, row in enumerate(cells[1:], start=2)
        if any(_text(c) for c in row)
    ]
    return _Table(sheet, rows, [], [])


def _read_jsonl(data: bytes, path: Path) -> _Table:
    rows: list[tuple[int, dict[str, Any]]] = []
    problems: list[Problem] = []
    for number, raw in enumerate(data.splitlines(), start=1):
        if not raw.strip():
            continue
        try:
            row = json.loads(decode(raw))
            # Half a surrogate pair can be escaped in JSON but not be written to any file.
            json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            problems.append(Problem(path.name, number, "行", "不是有效的 JSON"))
            continue
        if isinstance(row, dict) and isinstance(row.get("path"), list) and len(row["path"]) == 3:
            row["class"], row["group"], row["name"] = row.pop("path")
        if isinstance(row, dict):
            rows.append((number, row))
        else:
            problems.append(Problem(path.name, number, "行", "应为 JSON 对象"))
    return _Table(path.name, rows, problems, [])


def _split(value: Any, separator: str) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(v).strip() for v in value if str(v).strip())
    text = "" if value is None else str(value)
    if separator == "、":
        text = text.replace(",", "、").replace("，", "、").replace(";", "、").replace("；", "、")
    return tuple(p.strip() for p in text.split(separator) if p.strip())


def _leaf(sheet: str, number: int, row: Mapping[str, Any]) -> tuple[Leaf | None, list[Problem]]:
    """Return the leaf of a row and what is wrong with it.

    Whatever else is wrong, a row with a code is there: ``None`` only if the code is unreadable.
    """
    problems: list[Problem] = []

    def wrong(field: str, reason: str) -> None:
        problems.append(Problem(sheet, number, field, reason))

    text = {f: _text(row.get(f)) for f in COLUMNS}
    types, co_units = _split(row.get("types"), "、"), _split(row.get("with"), "、")
    for field in REQUIRED:
        if not (types if field == "types" else text[field]):
            wrong(field, "不能为空")
    if text["code"] and not LEAF_CODE.fullmatch(text["code"]):
        wrong("code", _malformed(text["code"]))
    for kind in types:
        if kind not in frozenset(RequestType):
            wrong("types", f"不认识的诉求类型“{kind}”")
    for field, units in (("unit", (text["unit"],) if text["unit"] else ()), ("with", co_units)):
        for unit in units:
            if unit not in UNIT_CLASS_SET:
                wrong(field, f"不认识的单位类别“{unit}”")
    if text["limit"] and text["limit"] not in frozenset(Tier):
        wrong("limit", f"不认识的时限“{text['limit']}”，应为 2h、24h、7d、15d")
    neighbours = []
    for line in _split(row.get("not"), "\n"):
        when, arrow, code = line.rpartition(ARROW.strip())
        if not arrow or not when.strip():
            wrong("not", f"“{line[:20]}”应写成“情形 → 编码”")
        else:
            neighbours.append(Neighbour(when.strip(), code.strip()))
    if not LEAF_CODE.fullmatch(text["code"]):
        return None, problems
    return (
        Leaf(
            code=text["code"],
            name=text["name"],
            definition=text["is"],
            types=types,
            unit=text["unit"],
            limit=text["limit"],
            neighbours=tuple(neighbours),
            co_units=co_units,
            basis=text["basis"],
            route=text["route"],
            says=_split(row.get("says"), "\n"),
        ),
        problems,
    )
