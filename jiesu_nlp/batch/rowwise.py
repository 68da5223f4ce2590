"""CSV, JSONL, XLSX and SQL: rows one by one, gathered into typed batches.

CSV keeps every field as the text it is (``007`` stays ``007``). The others take the types of the
first rows; a later row that does not fit is a bad row, not a lost run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from jiesu_nlp.batch.extras import arrow, need
from jiesu_nlp.batch.rows import BadRow
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.stream import Line, json_objects, open_lines

Record = tuple[int, dict[str, Any] | None, str]
Batch = tuple[Any, Sequence[int], list[BadRow], float | None]
_TYPED_BY = 2000
_FIELD_LIMIT = 4_000_000


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
        for _, row, _ in islice(self.records(), _TYPED_BY):
            for name, value in (row or {}).items():
                values.setdefault(name, []).append(value)
        if not values:
            raise UsageError("输入里没有数据行")
        return pa.schema([pa.field(name, _type_of(seen)) for name, seen in values.items()])

    def batches(self, schema: Any, size: int) -> Iterator[Batch]:
        """Yield typed batches of at most ``size`` rows, good and bad together."""
        records = self.records()
        names = set(schema.names)
        while part := list(islice(records, size)):
            numbers: list[int] = []
            rows: list[dict[str, Any]] = []
            bad: list[BadRow] = []
            for number, row, reason in part:
                if row is None:
                    bad.append(BadRow(number, reason, {}))
                elif odd := [n for n in row if n not in names]:
                    why = f"多出前面没有的列：{'、'.join(odd[:3])}"
                    bad.append(BadRow(number, why, row))
                else:
                    numbers.append(number)
                    rows.append(row)
            yield (*_typed(schema, numbers, rows, bad), self._share)


def _type_of(values: Iterable[Any]) -> Any:
    pa = arrow()
    kinds = {type(v) for v in values if v is not None}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return pa.string()


def _typed(
    schema: Any, numbers: list[int], rows: list[dict[str, Any]], bad: list[BadRow]
) -> tuple[Any, list[int], list[BadRow]]:
    pa = arrow()
    fit: list[bool] = [True] * len(rows)
    columns: list[list[Any]] = []
    for field in schema:
        values = []
        for i, row in enumerate(rows):
            value = row.get(field.name)
            try:
                values.append(_as(value, field.type, pa))
            except (TypeError, ValueError):
                values.append(None)
                if fit[i]:
                    reason = f"列 {field.name} 的值与前面的类型（{field.type}）不符"
                    bad.append(BadRow(numbers[i], reason, row))
                fit[i] = False
        columns.append(values)
    if not all(fit):
        columns = [[v for v, ok in zip(c, fit, strict=True) if ok] for c in columns]
        numbers = [n for n, ok in zip(numbers, fit, strict=True) if ok]
        bad.sort(key=lambda b: b.row)
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
    return float(value) if kind == pa.float64() else value


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
        header = [h.strip() for h in next(csv.reader([first.text], delimiter=delimiter))]
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
        """Yield the rows, numbered by the line where they end."""
        csv.field_size_limit(_FIELD_LIMIT)
        size = max(self._path.stat().st_size, 1)
        with open_lines(str(self._path)) as lines:
            header, delimiter = self._header(lines)
            seen = _Seen()
            reader = csv.reader(seen.texts(lines), delimiter=delimiter)
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    yield seen.line, None, "引号不配对或单元格过长"
                    continue
                self._share = min(seen.read / size, 1.0)
                if seen.fault is not None:
                    fault, seen.fault = seen.fault, None
                    yield seen.line, None, fault
                elif cells and len(cells) != len(header):
                    yield seen.line, None, f"有 {len(cells)} 列，表头有 {len(header)} 列"
                elif cells:
                    yield seen.line, dict(zip(header, cells, strict=True)), ""


class _Seen:
    """Hands the text of lines on and remembers how far it came and what could not be decoded."""

    def __init__(self) -> None:
        self.line = 1
        self.read = 0
        self.fault: str | None = None

    def texts(self, lines: Iterator[Line]) -> Iterator[str]:
        for line in lines:
            self.line = line.number
            self.read += len(line.text) * 2
            if line.fault is not None:
                self.fault = line.fault
                yield "\n"
            else:
                yield line.text


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

        try:
            book = load_workbook(self._path, read_only=True, data_only=True)
        except (BadZipFile, InvalidFileException, KeyError, OSError, ValueError):
            raise DataError("不是有效的 XLSX 文件", path=self._path) from None
        try:
            if self._sheet is not None and self._sheet not in book.sheetnames:
                raise UsageError(f"没有工作表“{self._sheet}”；现有：{'、'.join(book.sheetnames)}")
            rows = book[self._sheet or book.sheetnames[0]].iter_rows(values_only=True)
            header = [str(c).strip() if c is not None else "" for c in next(rows, ())]
            while header and not header[-1]:
                header.pop()
            if not header or "" in header or len(set(header)) < len(header):
                raise DataError("首行应为互不相同的列名", path=self._path, line=1)
            for number, cells in enumerate(rows, start=2):
                if any(c is not None for c in cells):
                    row = dict.fromkeys(header)
                    row |= zip(header, map(_cell, cells), strict=False)
                    yield number, row, ""
        finally:
            book.close()


def _cell(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.isoformat() if isinstance(value, datetime | date) else value


class SqlRows(RowSource):
    """The rows of a query, streamed."""

    def __init__(self, url: str, query: str) -> None:
        super().__init__()
        self._url = url
        self._query = query

    def records(self) -> Iterator[Record]:
        """Yield the rows in the order of the query."""
        sql = need("sqlalchemy", "tables", "读数据库")
        engine = None
        try:
            engine = sql.create_engine(self._url)
            with engine.connect().execution_options(yield_per=5000) as connection:
                result = connection.execute(sql.text(self._query))
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
