"""Read the rows of an XLSX file one by one, in little memory.

openpyxl needs 5 GB and two minutes for a million rows; this reads what an address library needs
(text and numbers of the first sheet) in a fraction of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile

from jiesu_nlp.errors import DataError

_CHUNK: Final = 1 << 18
_LETTERS: Final = re.compile("[A-Z]+")
_FIRST_SHEET: Final = re.compile(rb'<(?:\w+:)?sheet\s[^>]*?\b\w+:id="([^"]+)"')
_RELATION: Final = re.compile(rb"<(?:\w+:)?Relationship\s[^>]*>")
_ATTRIBUTE: Final = re.compile(rb'(Id|Target)="([^"]*)"')
_MOST_COLUMNS: Final = 1024
_MOST_ROWS: Final = 1 << 20  # of the format


def _column(reference: str, known: dict[str, int]) -> int:
    """Return the zero-based column of a cell reference (``C7`` → 2)."""
    match = _LETTERS.match(reference)
    letters = match.group() if match is not None else ""
    column = known.get(letters)
    if column is None:
        column = 0
        for letter in letters:
            column = column * 26 + ord(letter) - 64
        column -= 1
        known[letters] = column
    return column


class _Strings:
    """Collects the shared strings; their phonetic hints are left out."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self._parts: list[str] = []
        self._inside = False
        self._hint = False

    def start(self, name: str, _: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if name == "si":
            self._parts = []
        elif name == "rPh":
            self._hint = True
        self._inside = name == "t" and not self._hint

    def end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if name == "si":
            self.strings.append("".join(self._parts))
        elif name == "rPh":
            self._hint = False
        self._inside = False

    def data(self, text: str) -> None:
        if self._inside:
            self._parts.append(text)


class _Sheet:
    """Collects the rows of a sheet; the reader takes them away chunk by chunk."""

    def __init__(self, strings: list[str]) -> None:
        # With the number of each: blank rows may be left out of the file.
        self.rows: list[tuple[int, list[str]]] = []
        self._row = 0
        self._strings = strings
        self._columns: dict[str, int] = {}
        self._cells: list[str] = []
        self._next = 0
        self._type = ""
        self._value: list[str] = []
        self._inside = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if name == "c":
            reference = attributes.get("r")
            if reference:
                self._next = _column(reference, self._columns)
            self._type = attributes.get("t", "")
            self._value = []
        elif name in {"v", "t"}:
            self._inside = True
        elif name == "row":
            self._cells = []
            self._next = 0
            self._row = int(attributes.get("r") or self._row + 1)
            if self._row > _MOST_ROWS:
                raise ValueError(f"行号 {self._row} 过大")

    def end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if name in {"v", "t"}:
            self._inside = False
        elif name == "c":
            value = "".join(self._value)
            if self._type == "s" and value:
                value = self._strings[int(value)]
            if 0 <= self._next < _MOST_COLUMNS:
                self._cells += [""] * (self._next - len(self._cells))
                self._cells.append(value)
            self._next += 1
        elif name == "row":
            self.rows.append((self._row, self._cells))

    def data(self, text: str) -> None:
        if self._inside:
            self._value.append(text)


def _parser(target: _Strings | _Sheet) -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = target.start
    parser.EndElementHandler = target.end
    parser.CharacterDataHandler = target.data
    return parser


def _feed(file: IO[bytes], parser: expat.XMLParserType) -> Iterator[None]:
    while chunk := file.read(_CHUNK):
        parser.Parse(chunk, False)
        yield
    parser.Parse(b"", True)
    yield


def _sheet_path(book: ZipFile) -> str:
    """Return where the first sheet is kept."""
    sheet = _FIRST_SHEET.search(book.read("xl/workbook.xml"))
    if sheet is not None:
        for relation in _RELATION.findall(book.read("xl/_rels/workbook.xml.rels")):
            found = dict(_ATTRIBUTE.findall(relation))
            if found.get(b"Id") == sheet.group(1):
                target = found[b"Target"].decode().lstrip("/")
                return target if target.startswith("xl/") else f"xl/{target}"
    return "xl/worksheets/sheet1.xml"


def xlsx_rows(path: Path) -> Iterator[list[str]]:
    """Yield the rows of the first sheet as text; dates and formulas as the file keeps them.

    Blank rows are given too, so that counting them gives the row numbers that Excel shows; those
    at the end are not.

    Raises
    ------
    DataError
        If the file is damaged or no XLSX.
    """
    try:
        with ZipFile(path) as book:
            strings = _Strings()
            if "xl/sharedStrings.xml" in book.namelist():
                with book.open("xl/sharedStrings.xml") as file:
                    for _ in _feed(file, _parser(strings)):
                        pass
            sheet = _Sheet(strings.strings)
            line = 0
            with book.open(_sheet_path(book)) as file:
                for _ in _feed(file, _parser(sheet)):
                    rows, sheet.rows = sheet.rows, []
                    for number, cells in rows:
                        if any(cells):
                            for _ in range(line + 1, number):
                                yield []
                            yield cells
                            line = number
    except (BadZipFile, KeyError, ValueError, IndexError, expat.ExpatError, OSError) as error:
        raise DataError(
            f"打不开这个 Excel 文件（{error}）", path=path, remedy="另存为 .xlsx 或 CSV"
        ) from None
