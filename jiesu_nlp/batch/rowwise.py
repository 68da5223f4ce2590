"""CSV, JSONL, XLSX and SQL: rows one by one, gathered into typed batches.

CSV keeps every field as the text it is (``007`` stays ``007``). The others take the types of the
first rows; a later row that does not fit is a bad row, not a lost run.
"""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from jiesu_nlp.batch.address import parsed
from jiesu_nlp.batch.extras import arrow, need
from jiesu_nlp.batch.rows import BadRow
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.stream import Line, json_objects, open_lines

Record = tuple[int, dict[str, Any] | None, str]
Batch = tuple[Any, Sequence[int], list[BadRow], float | None]
_TYPED_BY = 2000
_FIELD_LIMIT = 4_000_000
RUN_TOGETHER = "引号里的各行都像单独的一行，多半是引号没有配对"
_HAN = re.compile("[\u4e00-\u9fff]")
_TOO_MANY_FOR_CHANCE = 3
# What comes of reading a damaged workbook; a fault of its XML is a SyntaxError.
_DAMAGE = (AttributeError, EOFError, LookupError, SyntaxError, TypeError, ValueError)


class RowSource:
    """Base: subclasses yield records ``(row number, fields or None, why not)``."""

    def __init__(self) -> None:
        self._share: float | None = None

    def records(self) -> Iterator[Record]:
        """Yield the rows; a row that cannot be read comes with ``None`` and the reason."""
        raise NotImplementedError

    def schema(self) -> Any:
        """Return the schema that the first rows show."""
        pa = arrow()
        values: dict[str, list[Any]] = {}
        fault = ""
        for number, row, reason in islice(self.records(), _TYPED_BY):
            fault = fault or (f"，如第 {number} 行：{reason}" if row is None else "")
            for name, value in (row or {}).items():
                values.setdefault(name, []).append(value)
        if not values:
            raise UsageError(f"输入里没有能读的数据行{fault}")
        return pa.schema([pa.field(name, _type_of(seen)) for name, seen in values.items()])

    def batches(self, schema: Any, size: int) -> Iterator[Batch]:
        """Yield typed batches of at most ``size`` rows, good and bad together."""
        records = self.records()
        while part := list(islice(records, size)):
            numbers: list[int] = []
            rows: list[dict[str, Any]] = []
            bad: list[BadRow] = []
            for number, row, reason in part:
                if row is None:
                    bad.append(BadRow(number, reason, {}))
                else:
                    numbers.append(number)
                    rows.append(row)
            yield (*_typed(schema, numbers, rows, bad), self._share)


def _type_of(values: Iterable[Any]) -> Any:
    pa = arrow()
    known = [v for v in values if v is not None]
    kinds = {type(v) for v in known}
    if kinds == {bool}:
        return pa.bool_()
    kind = pa.int64() if kinds == {int} else pa.float64()
    # A number that does not fit (a ticket number of 20 digits) is a name: the column is text.
    numbers = kinds and kinds <= {int, float} and all(_fits(v, kind, pa) for v in known)
    return kind if numbers else pa.string()


def _typed(
    schema: Any, numbers: list[int], rows: list[dict[str, Any]], bad: list[BadRow]
) -> tuple[Any, list[int], list[BadRow]]:
    pa = arrow()
    names = set(schema.names)
    odd = [[n for n in row if n not in names] for row in rows]
    why = {i: f"多出前面没有的列：{'、'.join(more[:3])}" for i, more in enumerate(odd) if more}
    columns: list[list[Any]] = []
    for field in schema:
        values = []
        for i, row in enumerate(rows):
            try:
                values.append(_as(row.get(field.name), field.type, pa))
            except (TypeError, ValueError, OverflowError, RecursionError):
                values.append(None)
                odd[i].append(field.name)
                why.setdefault(i, f"列 {field.name} 的值与前面的类型（{field.type}）不符")
        columns.append(values)
    if why:
        bad += [BadRow(numbers[i], reason, rows[i], tuple(odd[i])) for i, reason in why.items()]
        bad.sort(key=lambda b: b.row)
        columns = [[v for i, v in enumerate(c) if i not in why] for c in columns]
        numbers = [n for i, n in enumerate(numbers) if i not in why]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema), numbers, bad


def _as(value: Any, kind: Any, pa: Any) -> Any:
    """Return the value as the column's type; raise where that would change it."""
    if value is None:
        return None
    if kind == pa.string():
        if not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False, default=str)
        value.encode()  # a lone surrogate is no text
        return value
    if isinstance(value, bool) != (kind == pa.bool_()) or isinstance(value, str):
        raise TypeError
    if kind == pa.int64():
        if not isinstance(value, int) or not -(2**63) <= value < 2**63:
            raise TypeError
        return value
    if kind == pa.float64():
        number = float(value)
        if isinstance(value, int) and int(number) != value:
            raise TypeError
        return number
    return value


def _fits(value: Any, kind: Any, pa: Any) -> bool:
    try:
        _as(value, kind, pa)
    except (TypeError, OverflowError):
        return False
    return True


class CsvRows(RowSource):
    """A CSV file with a header line; UTF-8, GB18030 and UTF-16, also mixed line by line."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def schema(self) -> Any:
        """Return the header: every column is text."""
        pa = arrow()
        with open_lines(str(self._path)) as lines:
            header = self._header(lines)[0]
        return pa.schema([pa.field(name, pa.string()) for name in header])

    def _header(self, lines: Iterator[Line]) -> tuple[list[str], str]:
        first = next(lines, None)
        if first is None or not first.text.strip():
            raise DataError("首行应为列名", path=self._path, line=1, remedy="补上列名")
        delimiter = max(",\t;，", key=first.text.count)
        try:
            names = next(csv.reader([first.text], delimiter=delimiter, strict=True))
        except csv.Error:
            raise DataError(
                "首行的列名读不出来",
                path=self._path,
                line=1,
                remedy="检查引号是否成对、换行是否正常",
            ) from None
        header = [h.strip() for h in names]
        twice = sorted({h for h in header if header.count(h) > 1 or not h})
        if twice:
            raise DataError(
                f"列名重复或为空：{'、'.join(t or '（空）' for t in twice)}",
                path=self._path,
                line=1,
                remedy="每列一个不同的名字",
            )
        return header, delimiter

    def records(self) -> Iterator[Record]:
        """Yield the rows, numbered by the line where they end.

        Where quotes do not pair, only the line that begins there is lost; the lines after it are
        read anew.
        """
        csv.field_size_limit(_FIELD_LIMIT)
        size = max(self._path.stat().st_size, 1)
        with open_lines(str(self._path)) as lines:
            header, delimiter = self._header(lines)
            seen = _Seen(lines)
            reader = csv.reader(seen, delimiter=delimiter, strict=True)
            while True:
                seen.held = []
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    yield seen.held[0].number, None, "引号不配对或单元格过长"
                    seen.again()
                    continue
                self._share = min(seen.read / size, 1.0)
                held = seen.held
                first, last = held[0].number, held[-1].number
                where = f"（第 {first}–{last} 行）" if first < last else ""
                fault = next((line.fault for line in held if line.fault is not None), None)
                if fault is not None:
                    yield last, None, fault + where
                elif cells and len(cells) != len(header):
                    yield last, None, f"有 {len(cells)} 列，表头有 {len(header)} 列{where}"
                elif run_together(cells, delimiter):
                    yield last, None, RUN_TOGETHER + where
                elif cells:
                    yield last, dict(zip(header, cells, strict=True)), ""


class _Seen:
    """Hands the text of lines on, holds those of the row under way, and can take them back."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self.held: list[Line] = []
        self.read = 0

    def __iter__(self) -> _Seen:
        return self

    def __next__(self) -> str:
        if self._again:
            line = self._again.popleft()
        else:
            line = next(self._lines)
            self.read += len(line.text) * 2
        self.held.append(line)
        return line.text if line.fault is None else "\n"

    def again(self) -> None:
        """Take all lines of the row but the first back."""
        self._again.extendleft(reversed(self.held[1:]))


def run_together(cells: Sequence[str], delimiter: str) -> bool:
    """Say whether the lines of a cell look like the rows of several tickets.

    Where a quote lacks its partner, the next such quote may by chance end a cell as it should: the
    marks alone then show nothing. So the lines are cut as if that pair of quotes were not there.
    They are rows if each has exactly all the columns, if no column has Chinese words in one line
    and only figures or Latin letters in another, and if one of the other columns is filled in
    every line: with figures or Latin letters, or in three lines and more with anything.

    Two rows whose other columns hold nothing but Chinese words cannot be told from a cell of two
    lines and are taken for one.

    Parameters
    ----------
    cells
        The cells of one row as strict CSV reads it.
    delimiter
        What separates them.
    """
    broken = [i for i, cell in enumerate(cells) if "\n" in cell]
    if len(broken) != 1:
        return False
    where = broken[0]
    rows = [line.split(delimiter) for line in cells[where].split("\n")]
    rows[0] = [*cells[:where], *rows[0]]
    rows[-1] += cells[where + 1 :]
    if any(len(row) != len(cells) for row in rows):
        return False
    columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]
    han = [{_HAN.search(cell) is not None for cell in column if cell} for column in columns]
    if any(len(kinds) > 1 for kinds in han):
        return False
    return any(
        all(column) and (kinds == {False} or len(rows) >= _TOO_MANY_FOR_CHANCE)
        for i, (column, kinds) in enumerate(zip(columns, han, strict=True))
        if i != where
    )


class JsonRows(RowSource):
    """One JSON object per line; nested values become JSON text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def records(self) -> Iterator[Record]:
        """Yield the objects, numbered by line; blank lines are none."""
        size, read = max(self._path.stat().st_size, 1), 0
        with open_lines(str(self._path)) as lines:
            for line, row, fault in json_objects(lines):
                read += len(line.text) * 2
                self._share = min(read / size, 1.0)
                yield line.number, row, fault


class XlsxRows(RowSource):
    """The first (or named) sheet of a workbook; its first row names the columns."""

    def __init__(self, path: Path, sheet: str | None) -> None:
        super().__init__()
        self._path = path
        self._sheet = sheet

    def records(self) -> Iterator[Record]:
        """Yield the rows under the header, numbered as in the sheet."""
        from openpyxl import load_workbook  # noqa: PLC0415 - slow to import, rarely needed
        from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

        damage = (BadZipFile, InvalidFileException, zlib.error, *_DAMAGE)
        try:
            book = load_workbook(self._path, read_only=True, data_only=True)
        except (OSError, *damage):
            raise DataError("不是有效的 XLSX 文件", path=self._path) from None
        try:
            if self._sheet is not None and self._sheet not in book.sheetnames:
                raise UsageError(f"没有工作表“{self._sheet}”；现有：{'、'.join(book.sheetnames)}")
            sheet = book[self._sheet or book.sheetnames[0]]
            sheet.reset_dimensions()  # some programs note too small ones
            rows = sheet.iter_rows(values_only=True)
            header = [str(c).strip() if c is not None else "" for c in next(rows, ())]
            while header and not header[-1]:
                header.pop()
            if not header or "" in header or len(set(header)) < len(header):
                raise DataError("首行应为互不相同的列名", path=self._path, line=1)
            for number, cells in enumerate(rows, start=2):
                beyond = [c for c in cells[len(header) :] if c is not None and str(c).strip()]
                if beyond:
                    yield number, None, f"表头的 {len(header)} 列之外还有 {len(beyond)} 格有内容"
                elif any(c is not None for c in cells):
                    row = dict.fromkeys(header)
                    row |= zip(header, map(_cell, cells), strict=False)
                    yield number, row, ""
        except damage:
            raise DataError(
                "工作表损坏", path=self._path, remedy="用 Excel 或 WPS 打开并另存一份"
            ) from None
        finally:
            book.close()


def _cell(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, timedelta):
        return str(value)
    return value.isoformat() if isinstance(value, datetime | date | time) else value


class SqlRows(RowSource):
    """The rows of a query, streamed."""

    def __init__(self, url: str, query: str) -> None:
        super().__init__()
        self._url = url
        self._query = query

    def records(self) -> Iterator[Record]:
        """Yield the rows in the order of the query."""
        sql = need("sqlalchemy", "tables", "读数据库")
        url = parsed(self._url, "读数据库")
        engine = None
        try:
            engine = sql.create_engine(url)
            with engine.connect().execution_options(yield_per=5000) as connection:
                result = connection.execute(sql.text(self._query))
                names = list(result.keys())
                twice = sorted({n for n in names if names.count(n) > 1})
                if twice:
                    raise UsageError(
                        f"查询结果里有重名的列：{'、'.join(twice)}；"
                        "请在 --query 里用 AS 给每列一个不同的名字"
                    )
                for number, row in enumerate(result.mappings(), start=1):
                    yield number, {k: _sql(v) for k, v in row.items()}, ""
        except (sql.exc.SQLAlchemyError, ImportError) as fault:
            first = str(getattr(fault, "orig", None) or fault).splitlines()[0]
            raise UsageError(f"数据库读取失败：{first}；请检查地址、驱动与查询语句") from None
        finally:
            if engine is not None:
                engine.dispose()


def _sql(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
