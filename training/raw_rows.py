"""The rows of a data file as they stand: CSV, TSV, XLSX, JSONL, Parquet, ``datasets`` folders."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from jiesu_nlp.batch.extras import need
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.locate.xlsx import xlsx_rows
from jiesu_nlp.stream import Line, json_objects, open_lines
from training.excerpt import shown_names

_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".jsonl", ".ndjson", ".parquet", ".arrow")
_DATASET_MARKS = ("dataset_dict.json", "dataset_info.json", "state.json")
_BATCH = 4096
# Stands for what no known encoding explains.
UNREADABLE = "\ufffd\ufffd"
# A cell of more lines or characters is no ticket: a quotation mark lacks its partner.
_MOST_LINES_IN_CELL = 1000
# Where nobody knows a row by its label: so many lines in a cell that could each be a row are rows.
_ROWS_IN_CELL = 3
_BUFFER = 1 << 20
_LONGEST_CELL = 1 << 20

# Tells by the cells of a line within a cell whether the line is a row of its own.
IsRow = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in the file; ``fault`` says why it could not be read.

    With a fault there are no values: nobody knows which column they belong to.
    """

    where: str
    values: Mapping[str, Any]
    fault: str | None = None


def data_files(path: Path) -> list[Path]:
    """Return the data files of a file or folder, in name order.

    Raises
    ------
    UsageError
        If there are none.
    """
    if not path.exists():
        raise UsageError(f"没有这个文件或文件夹：{path}")
    if path.is_file():
        if path.suffix.lower() not in _SUFFIXES:
            raise UsageError(
                f"不认识的文件类型：{path}；可用 {'、'.join(s[1:] for s in _SUFFIXES)}"
            )
        return [path]
    is_dataset = any((path / mark).exists() for mark in _DATASET_MARKS)
    pattern = "**/*.arrow" if is_dataset else "*"
    files = sorted(
        p
        for p in path.glob(pattern)
        if p.is_file() and p.suffix.lower() in _SUFFIXES and not p.name.startswith((".", "cache-"))
    )
    if not files:
        raise UsageError(f"文件夹里没有可读的工单文件：{path}")
    return files


def raw_rows(path: Path, is_row: IsRow | None = None) -> Iterator[RawRow]:
    """Yield the rows of one file as they stand.

    Parameters
    ----------
    path
        The file.
    is_row
        Knows a row that a quotation mark without partner swallowed; cells that are not within
        the marks come empty. Without it only the number of cells tells.
    """
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        yield from _json_rows(path)
    elif suffix == ".xlsx":
        yield from _xlsx_rows(path)
    elif suffix in (".parquet", ".arrow"):
        yield from _arrow_rows(path)
    else:
        yield from _csv_rows(path, is_row)


def _readable(line: Line) -> str:
    return line.text.replace("\x00", "") if line.fault is None else UNREADABLE + "\n"


def _csv_rows(path: Path, is_row: IsRow | None) -> Iterator[RawRow]:
    csv.field_size_limit(_LONGEST_CELL)
    with open_lines(str(path)) as lines:
        first = next(lines, None)
        if first is None:
            raise DataError("文件是空的", path=path)
        if first.fault is not None:
            raise DataError(first.fault, path=path, line=1, remedy="转成 UTF-8")
        delimiter = max(",\t;", key=first.text.count)
        # The lines of the row that is being read.
        taken: list[Line] = []

        def source() -> Iterator[str]:
            for line in chain((first,), lines):
                taken.append(line)
                yield _readable(line)

        reader = csv.reader(source(), delimiter=delimiter)
        start = 1
        try:
            header = [name.strip() for name in next(reader)]
            if fault := _fault_of(taken, header, header, delimiter, None):
                raise DataError(fault, path=path, line=1, remedy="检查这一行的引号是否成对")
            _distinct(header, path)
            while True:
                start = reader.line_num + 1
                taken.clear()
                cells = next(reader)
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{path.name} 第 {start} 行"
                if fault := _fault_of(taken, cells, header, delimiter, is_row):
                    yield RawRow(where, {}, fault)
                else:
                    yield RawRow(where, dict(zip_longest(header, cells)))
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"不是有效的 CSV，从这一行起读不下去（{error}）",
                path=path,
                line=start,
                remedy="检查这一行的引号是否成对",
            ) from None


def _fault_of(
    lines: Sequence[Line],
    cells: Sequence[str],
    header: Sequence[str],
    delimiter: str,
    is_row: IsRow | None,
) -> str | None:
    """Say what is wrong with a row of a file of such a header, if anything is."""
    for line in lines:
        if line.fault is not None:
            return line.fault
    if len(lines) > 1 and (
        _unpaired(lines, delimiter)
        or (
            _all_like_rows(lines, len(header), delimiter)
            if is_row is None
            else any(
                _swallowed(cell, k, header, delimiter, is_row)
                for k, cell in enumerate(cells[: len(header)])
            )
        )
    ):
        return f"直到第 {lines[-1].number} 行都在一对引号里，多半是引号没有配对"
    if len(cells) > len(header):
        return f"有 {len(cells)} 列，表头只有 {len(header)} 列"
    return None


def _unpaired(lines: Sequence[Line], delimiter: str) -> bool:
    """Tell whether the marks alone show that one of them without partner made one row of many.

    The mark that ends such a row was meant to begin a cell, so a cell's text follows it where a
    delimiter should; or the row ends with the file.
    """
    if len(lines) > _MOST_LINES_IN_CELL:
        return True
    try:
        next(csv.reader(map(_readable, lines), delimiter=delimiter, strict=True))
    except csv.Error:
        return True
    return False


def _swallowed(cell: str, k: int, header: Sequence[str], delimiter: str, is_row: IsRow) -> bool:
    """Tell whether at least half of the lines of the ``k``-th cell are rows of their own.

    Of the first line the cells before, of the last those after the ``k``-th are not in it: one
    line of rows that were swallowed has its label elsewhere. Delimiters to spare are taken for
    the text's, in which the mark stands.
    """
    lines = [line for line in cell.split("\n") if line.strip()]
    after = len(header) - k - 1
    rows = 0
    for number, line in enumerate(lines):
        found = line.strip("\r").split(delimiter)
        if number == 0:
            found = [""] * k + found
        if number == len(lines) - 1:
            found += [""] * after
        if len(found) >= len(header):
            end = len(found) - after
            own = (*found[:k], delimiter.join(found[k:end]), *found[end:])
            rows += is_row(dict(zip(header, own, strict=True)))
    return len(lines) > 1 and 2 * rows >= len(lines)


def _all_like_rows(lines: Sequence[Line], columns: int, delimiter: str) -> bool:
    inner = lines[1:-1]
    return (
        columns > 2
        and len(inner) >= _ROWS_IN_CELL
        and all(line.text.count(delimiter) == columns - 1 for line in inner)
    )


def _distinct(header: list[str], path: Path) -> list[str]:
    """Return the header; of two columns of one name nobody knows which is meant."""
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(
            f"列名重复：{shown_names(twice, header)}", path=path, remedy="每列一个不同的名字"
        )
    return header


def _json_rows(path: Path) -> Iterator[RawRow]:
    with open_lines(str(path)) as lines:
        for line, values, fault in json_objects(lines):
            yield RawRow(f"{path.name} 第 {line.number} 行", values or {}, fault or None)


def _xlsx_rows(path: Path) -> Iterator[RawRow]:
    header: list[str] | None = None
    for number, cells in enumerate(xlsx_rows(path), start=1):
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _distinct([cell.strip() for cell in cells], path)
            continue
        yield RawRow(f"{path.name} 第 {number} 行", dict(zip(header, cells, strict=False)))
    if header is None:
        raise DataError("工作表是空的", path=path)


def _arrow_rows(path: Path) -> Iterator[RawRow]:
    pa = need("pyarrow", "tables", f"读 {path.name} ")
    number = 0
    try:
        if path.suffix.lower() == ".parquet":
            batches = _parquet_batches(path)
        else:
            batches = _arrow_batches(pa, path)
        for batch in batches:
            for values in batch.to_pylist():
                number += 1
                yield RawRow(f"{path.name} 第 {number} 行", values)
    except (pa.ArrowException, OSError) as fault:
        raise DataError(
            f"文件损坏，或不是 {path.suffix[1:]} 文件（{' '.join(str(fault).split())[:120]}）",
            path=path,
            remedy="重新导出该文件",
        ) from None


def _parquet_batches(path: Path) -> Iterator[Any]:
    parquet = need("pyarrow.parquet", "tables", f"读 {path.name} ")
    # Buffered in advance, all that was read of a file would stay in memory until its end.
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
        yield from file.iter_batches(batch_size=_BATCH, use_threads=False)


def _arrow_batches(pa: Any, path: Path) -> Iterator[Any]:
    """Yield the batches of a ``datasets`` file: an Arrow stream, or the random-access format."""
    with pa.memory_map(str(path)) as source:
        try:
            reader = pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            source.seek(0)
            opened = pa.ipc.open_file(source)
            yield from (opened.get_batch(i) for i in range(opened.num_record_batches))
            return
        yield from reader
